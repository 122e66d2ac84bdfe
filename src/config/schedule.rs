//! `[[schedule]]`: what runs when. Refuses times that make no sense, and command
//! lines that the command itself would refuse, when the file is read and not at
//! night.

use std::fmt;
use std::path::PathBuf;

use clap::Parser;
use serde::Deserialize;

use super::file::{Entry, PolicyKeys};
use super::layers::{Layers, or_default, wrong};
use super::settings::PolicySettings;
use super::values::parse_zone;
use super::{ConfigError, Origin, Sourced};
use crate::cli::{BackupCommand, Cli, Command, Prune};
use crate::schedule::Recurrence;

const NAME_CHARACTERS_MAX: usize = 64;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleKeys {
    pub name: Entry<String>,
    pub what: Entry<String>,
    pub cron: Entry<String>,
    pub time_zone: Entry<String>,
    pub enabled: Entry<bool>,
    pub catch_up: Entry<bool>,
    pub names: Entry<Vec<String>>,
    pub paths: Entry<Vec<PathBuf>>,
    pub args: Entry<Vec<String>>,
    pub keep_last: Entry<u32>,
    pub keep_hourly: Entry<u32>,
    pub keep_daily: Entry<u32>,
    pub keep_weekly: Entry<u32>,
    pub keep_monthly: Entry<u32>,
    pub keep_yearly: Entry<u32>,
    pub keep_within: Entry<String>,
    pub max_age: Entry<String>,
    pub keep_at_least: Entry<u32>,
}

/// The command that a schedule runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Db,
    Source,
    Verify,
    Prune,
    Check,
}

impl Work {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "db" => Ok(Self::Db),
            "source" => Ok(Self::Source),
            "verify" => Ok(Self::Verify),
            "prune" => Ok(Self::Prune),
            "check" => Ok(Self::Check),
            _ => Err("not something to schedule; known are db, source, verify, prune, check"),
        }
    }

    /// The subcommand's words.
    pub fn command(self) -> &'static [&'static str] {
        match self {
            Self::Db => &["backup", "db"],
            Self::Source => &["backup", "source"],
            Self::Verify => &["verify"],
            Self::Prune => &["prune"],
            Self::Check => &["check"],
        }
    }

    fn is_of(self, command: &Command) -> bool {
        match self {
            Self::Db => matches!(command, Command::Backup(BackupCommand::Db(_))),
            Self::Source => matches!(command, Command::Backup(BackupCommand::Source(_))),
            Self::Verify => matches!(command, Command::Verify(_)),
            Self::Prune => matches!(command, Command::Prune(_)),
            Self::Check => matches!(command, Command::Check(_)),
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Db => "db",
            Self::Source => "source",
            Self::Verify => "verify",
            Self::Prune => "prune",
            Self::Check => "check",
        })
    }
}

/// One `[[schedule]]`.
pub struct ScheduleSettings {
    /// No other schedule has it.
    pub name: Sourced<String>,
    pub work: Work,
    pub recurrence: Recurrence,
    /// It has the time zone of everything.
    pub zone_of_all: bool,
    /// Off: `kluis serve` leaves it alone.
    pub enabled: bool,
    /// A run that was missed is made up for.
    pub catch_up: bool,
    /// The databases; `None`: those of `[database]`.
    pub names: Option<Sourced<Vec<String>>>,
    /// The directories; `None`: those of `[source]`.
    pub paths: Option<Sourced<Vec<PathBuf>>>,
    /// Further flags of its command.
    pub args: Vec<String>,
    /// Keep rules for what it backs up, if it has any.
    pub retention: Option<PolicySettings>,
}

impl ScheduleSettings {
    /// The command line, without `kluis` and the global flags.
    pub fn command(&self) -> Vec<String> {
        let words = self.work.command().iter().map(|word| (*word).to_owned());
        let mut words: Vec<String> = words.collect();
        if self.work == Work::Verify && self.args.is_empty() {
            words.push("--pending".to_owned());
        }
        let name = format!("--schedule={}", self.name.value);
        words.extend(["--trigger=scheduled".to_owned(), name]);
        words.extend(self.args.iter().cloned());
        words
    }

    /// The same with its flags read. Of one that was read from the file it is right.
    pub(super) fn parsed(&self) -> Result<Cli, clap::Error> {
        let words = ["kluis".to_owned()].into_iter().chain(self.command());
        Cli::try_parse_from(words)
    }

    /// What it says to prune, and by which rules.
    pub(super) fn pruning(&self) -> Option<Prune> {
        match self.parsed().ok()?.command {
            Command::Prune(prune) => Some(prune),
            _ => None,
        }
    }
}

impl Layers<'_> {
    pub(super) fn schedules(&self) -> Result<Vec<ScheduleSettings>, ConfigError> {
        let mut schedules: Vec<ScheduleSettings> = Vec::new();
        for keys in &self.keys.schedule {
            let schedule = self.schedule(keys)?;
            let name = &schedule.name;
            if schedules.iter().any(|other| other.name.value == name.value) {
                let what = format!("another [[schedule]] is called {:?} too", name.value);
                return Err(wrong(&name.origin, what));
            }
            schedules.push(schedule);
        }
        Ok(schedules)
    }

    fn schedule(&self, keys: &ScheduleKeys) -> Result<ScheduleSettings, ConfigError> {
        let name = self.key(&keys.name).ok_or(ConfigError::Missing {
            what: "name of a [[schedule]]",
            remedy: "give each [[schedule]] a name, what it runs and when (cron)",
        })?;
        check_name(&name)?;
        let work = self.parsed_key(&keys.what, Work::parse)?;
        let work = work.ok_or_else(|| lacks(&name, "what: db, source, verify, prune or check"))?;
        let work = work.value;
        let zone = self.parsed_key(&keys.time_zone, parse_zone)?;
        let zone_of_all = zone.is_none();
        let zone = zone.map_or_else(|| Ok(self.time_zone()?.value), |zone| Ok(zone.value))?;
        let recurrence = self.parsed_key(&keys.cron, |text| Recurrence::parse(text, zone.clone()));
        let lacks_cron = || {
            lacks(
                &name,
                "cron: minute, hour, day of month, month, day of week",
            )
        };
        let recurrence = recurrence?.ok_or_else(lacks_cron)?.value;
        let schedule = ScheduleSettings {
            work,
            recurrence,
            zone_of_all,
            enabled: or_default(self.key(&keys.enabled), true).value,
            catch_up: or_default(self.key(&keys.catch_up), true).value,
            names: self.key(&keys.names),
            paths: self.paths_key(&keys.paths),
            args: or_default(self.key(&keys.args), Vec::new()).value,
            retention: self.retention_of(keys)?,
            name,
        };
        fits_its_work(&schedule)?;
        if let Err(why) = check_command(&schedule) {
            let place = self.key(&keys.args).map(|args| args.origin);
            return Err(wrong(&place.unwrap_or(schedule.name.origin), why));
        }
        Ok(schedule)
    }

    /// `None` where it has no rules of its own.
    fn retention_of(&self, keys: &ScheduleKeys) -> Result<Option<PolicySettings>, ConfigError> {
        let policy = self.policy(&PolicyKeys {
            name: keys.name.clone(),
            kind: None,
            keep_last: keys.keep_last.clone(),
            keep_hourly: keys.keep_hourly.clone(),
            keep_daily: keys.keep_daily.clone(),
            keep_weekly: keys.keep_weekly.clone(),
            keep_monthly: keys.keep_monthly.clone(),
            keep_yearly: keys.keep_yearly.clone(),
            keep_within: keys.keep_within.clone(),
            max_age: keys.max_age.clone(),
            keep_at_least: keys.keep_at_least.clone(),
        })?;
        Ok(policy.has_rules().then_some(policy))
    }
}

/// The schedule that a command line belongs to; it must be one of its kinds.
pub fn chosen<'s>(
    schedules: &'s [ScheduleSettings],
    wanted: Option<(&str, &[Work])>,
) -> Result<Option<&'s ScheduleSettings>, ConfigError> {
    let Some((name, works)) = wanted else {
        return Ok(None);
    };
    let flag = Origin::Flag("--schedule");
    let mut of_work = schedules.iter().filter(|it| works.contains(&it.work));
    if let Some(found) = of_work.clone().find(|it| it.name.value == name) {
        return Ok(Some(found));
    }
    if let Some(other) = schedules.iter().find(|it| it.name.value == name) {
        let words = other.work.command().join(" ");
        let is_backup = matches!(other.work, Work::Db | Work::Source);
        let preview = match is_backup && works.contains(&Work::Prune) {
            true => {
                "; its backups are pruned by its rules whoever prunes, and --dry-run shows that"
            }
            false => "",
        };
        return Err(wrong(
            &flag,
            format!("{name:?} is a schedule of kluis {words}{preview}"),
        ));
    }
    let first = of_work.next().map(|it| format!("{:?}", it.name.value));
    let known = of_work.fold(first, |known, it| {
        known.map(|known| format!("{known}, {:?}", it.name.value))
    });
    let known = known.map_or_else(
        || {
            let words: Vec<String> = works.iter().map(|work| format!("\"{work}\"")).collect();
            let words = words.join(" or ");
            format!("kluis.toml has no [[schedule]] with what = {words}")
        },
        |known| format!("known are {known}"),
    );
    Err(wrong(
        &flag,
        format!("there is no schedule {name:?}; {known}"),
    ))
}

fn lacks(name: &Sourced<String>, what: &str) -> ConfigError {
    let what = format!("the [[schedule]] {:?} has no {what}", name.value);
    wrong(&name.origin, what)
}

/// It stands in records, log lines and command lines.
fn check_name(name: &Sourced<String>) -> Result<(), ConfigError> {
    let text = &name.value;
    let long = text.chars().count() > NAME_CHARACTERS_MAX;
    if text.is_empty() || long || text.trim() != text || text.chars().any(char::is_control) {
        let what = format!(
            "{text:?}: a schedule's name has 1 to {NAME_CHARACTERS_MAX} characters, no control \
             characters, and no blank at its ends"
        );
        return Err(wrong(&name.origin, what));
    }
    Ok(())
}

/// Refuses what another kind of schedule would need.
fn fits_its_work(schedule: &ScheduleSettings) -> Result<(), ConfigError> {
    let work = schedule.work;
    if let Some(names) = schedule.names.as_ref().filter(|_| work != Work::Db) {
        let what = "names are databases, and belong to what = \"db\"";
        return Err(wrong(&names.origin, what));
    }
    if let Some(paths) = schedule.paths.as_ref().filter(|_| work != Work::Source) {
        let what = "paths are directories, and belong to what = \"source\"";
        return Err(wrong(&paths.origin, what));
    }
    let backs_up = matches!(work, Work::Db | Work::Source);
    if schedule.retention.is_some() && !backs_up {
        let what = "keep rules belong to what = \"db\" or \"source\"; prune has those of \
                    [retention] and of its args";
        return Err(wrong(&schedule.name.origin, what));
    }
    Ok(())
}

/// Refuses a command line that would be refused at night.
fn check_command(schedule: &ScheduleSettings) -> Result<(), String> {
    let cli = schedule.parsed().map_err(|error| {
        let said = error.render().to_string();
        let first = said.lines().next().unwrap_or_default();
        let first = first.strip_prefix("error: ").unwrap_or(first);
        format!(
            "kluis {} does not take its args: {first}",
            schedule.work.command().join(" ")
        )
    })?;
    let global = &cli.global;
    if global.config.is_some() || global.env_file.is_some() || global.storage.is_some() {
        return Err("-c, --env-file and -s are those of kluis serve".to_owned());
    }
    match schedule.work.is_of(&cli.command) {
        true => Ok(()),
        false => Err("args are flags of the schedule's own command".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Work, chosen};
    use crate::config::{ConfigError, ConfigFile, Environment, Flags, Settings, resolve};
    use crate::format::manifest::Kind;
    use crate::series::Series;

    const NIGHTLY: &str =
        "[[schedule]]\nname = \"nightly\"\nwhat = \"db\"\ncron = \"17 3 * * *\"\n";

    fn settings(
        text: &str,
        schedule: Option<(&str, &'static [Work])>,
    ) -> Result<Settings, ConfigError> {
        let file = ConfigFile::parse(Path::new("kluis.toml"), text.to_owned())?;
        let flags = Flags {
            schedule: schedule.map(|(name, work)| (name.to_owned(), work)),
            ..Flags::default()
        };
        resolve(flags, &Environment::of([]), Some(&file))
    }

    fn refusal(text: &str) -> String {
        match settings(text, None) {
            Ok(_) => panic!("was accepted: {text}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_schedule_has_its_zone_or_the_files() {
        let text = format!(
            "time_zone = \"Europe/Amsterdam\"\n{NIGHTLY}\
             [[schedule]]\nname = \"b\"\nwhat = \"check\"\ncron = \"0 * * * *\"\n\
             time_zone = \"Asia/Kolkata\"\nenabled = false\ncatch_up = false\n"
        );
        let settings = settings(&text, None).unwrap();
        let zones = settings
            .schedules
            .iter()
            .map(|it| it.recurrence.zone().iana_name());
        assert_eq!(
            zones.collect::<Vec<_>>(),
            [Some("Europe/Amsterdam"), Some("Asia/Kolkata")]
        );
        let [a, b] = &settings.schedules[..] else {
            panic!("two schedules");
        };
        assert!(a.enabled && a.catch_up && !b.enabled && !b.catch_up);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        for (line, said) in [
            (
                "cron = \"17 3 * *\"",
                "kluis.toml:4: \"17 3 * *\": a schedule has 5 fields",
            ),
            (
                "cron = \"0 0 30 2 *\"",
                "kluis.toml:4: \"0 0 30 2 *\": no day ever fits it",
            ),
            (
                "what = \"dbs\"",
                "kluis.toml:3: \"dbs\": not something to schedule",
            ),
            (
                "time_zone = \"Mars\"",
                "kluis.toml:5: \"Mars\": not a time zone",
            ),
            (
                "name = \" x\"",
                "kluis.toml:2: \" x\": a schedule's name has",
            ),
            ("paths = [\"/srv\"]", "kluis.toml:5: paths are directories"),
            (
                "args = [\"--nonsense\"]",
                "kluis.toml:5: kluis backup db does not take its args",
            ),
            (
                "args = [\"-s\", \"/x\"]",
                "kluis.toml:5: -c, --env-file and -s are",
            ),
            (
                "keep_at_least = 0",
                "kluis.toml:5: keep_at_least must be 1 or more",
            ),
        ] {
            let key = line.split(' ').next().unwrap();
            let kept = NIGHTLY
                .lines()
                .map(|old| match old.starts_with(&format!("{key} ")) {
                    true => line,
                    false => old,
                });
            let mut text: Vec<&str> = kept.collect();
            if !text.contains(&line) {
                text.push(line);
            }
            let refusal = refusal(&text.join("\n"));
            assert!(refusal.starts_with(said), "{refusal}");
        }
    }

    #[test]
    fn what_is_missing_is_named_and_a_name_is_no_twos() {
        assert!(refusal("[[schedule]]\nwhat = \"db\"\n").contains("name of a"));
        assert!(refusal("[[schedule]]\nname = \"a\"\n").contains("\"a\" has no what"));
        let no_cron = "[[schedule]]\nname = \"a\"\nwhat = \"db\"\n";
        assert!(refusal(no_cron).contains("\"a\" has no cron"));
        assert_eq!(
            refusal(&format!("{NIGHTLY}{NIGHTLY}")),
            "kluis.toml:6: another [[schedule]] is called \"nightly\" too"
        );
    }

    #[test]
    fn keep_rules_belong_to_backups() {
        let text = NIGHTLY.replace("\"db\"", "\"verify\"") + "keep_daily = 3\n";
        assert!(refusal(&text).contains("keep rules belong to"));
    }

    #[test]
    fn a_schedules_rules_hold_for_what_it_backs_up_whoever_prunes() {
        let text = format!(
            "[database]\nnames = [\"other\"]\nall = true\n[retention]\nkeep_daily = 5\n\
             {NIGHTLY}names = [\"shop\", \"wiki\"]\nkeep_daily = 30\nmax_age = \"90d\"\n"
        );
        let chosen = settings(&text, Some(("nightly", &[Work::Db]))).unwrap();
        assert_eq!(chosen.database.dump.names.value, ["shop", "wiki"]);
        assert!(!chosen.database.dump.all.value);
        assert!(chosen.retention.prune_after_backup.value);
        let without = settings(&text, None).unwrap();
        assert_eq!(without.database.dump.names.value, ["other"]);
        assert!(!without.retention.prune_after_backup.value);
        let policies = chosen.retention.policies();
        assert_eq!(policies, without.retention.policies());
        let rules = policies.of(&Series::called(Kind::Db, "shop"));
        assert_eq!((rules.daily, rules.weekly), (Some(30), Some(4)));
        assert_eq!(rules.max_age, "90d".parse().ok());
        let others = [(Kind::Db, "other"), (Kind::Source, "shop")];
        for (kind, name) in others {
            assert_eq!(policies.of(&Series::called(kind, name)).daily, Some(5));
        }
    }

    #[test]
    fn two_rules_for_one_series_are_refused() {
        let shop = format!("{NIGHTLY}names = [\"shop\"]\nkeep_daily = 30\n");
        let policy = "[[retention.policy]]\nname = \"shop\"\nkeep_daily = 99\n";
        let hourly = shop.replace("nightly", "hourly");
        let all = |name: &str| NIGHTLY.replace("nightly", name) + "keep_daily = 9\n";
        let twice = policy.to_owned() + "kind = \"db\"\n" + policy;
        for text in [
            format!("{policy}{shop}"),
            format!("{shop}{hourly}"),
            all("a") + &all("b"),
            twice,
        ] {
            let said = refusal(&text);
            assert!(said.starts_with("kluis.toml:"), "{said}");
        }
        // Who names it goes before who takes all, and another kind is another's.
        let text = format!("{}{shop}{}", all("a"), policy.replace("shop", "wiki"));
        let policies = settings(&text, None).unwrap().retention.policies();
        let daily = |name| policies.of(&Series::called(Kind::Db, name)).daily;
        assert_eq!(
            [daily("shop"), daily("wiki"), daily("x")],
            [Some(30), Some(99), Some(9)]
        );
    }

    #[test]
    fn trees_of_one_name_have_the_rules_of_their_roots() {
        let tree = |name: &str, keep: u32| {
            format!(
                "[[schedule]]\nname = \"{name}\"\nwhat = \"source\"\ncron = \"0 4 * * *\"\n\
                 paths = [\"/{name}/app\"]\nkeep_daily = {keep}\n"
            )
        };
        let text = tree("x", 30) + &tree("y", 2);
        let policies = settings(&text, None).unwrap().retention.policies();
        for (root, keep) in [("/x/app", 30), ("/y/app", 2)] {
            let series = Series {
                root: Some(root.to_owned()),
                ..Series::called(Kind::Source, "app")
            };
            assert_eq!(policies.of(&series).daily, Some(keep), "{root}");
        }
    }

    #[test]
    fn the_chosen_schedule_names_the_directories() {
        let text = "[source]\npaths = [\"/a\"]\n[[schedule]]\nname = \"trees\"\n\
                    what = \"source\"\ncron = \"0 4 * * *\"\npaths = [\"/b\", \"c\"]\n";
        let chosen = settings(text, Some(("trees", &[Work::Source]))).unwrap();
        assert_eq!(chosen.source.paths.value, [Path::new("/b"), Path::new("c")]);
    }

    #[test]
    fn a_schedule_prunes_behind_its_backups_unless_told_otherwise() {
        let prunes = |text: &str, chosen: Option<(&str, &'static [Work])>| {
            let settings = settings(text, chosen).unwrap();
            settings.retention.prune_after_backup.value
        };
        let nightly: Option<(_, &'static [Work])> = Some(("nightly", &[Work::Db]));
        assert!(!prunes(NIGHTLY, None));
        assert!(prunes(NIGHTLY, nightly));
        let off = format!("[retention]\nprune_after_backup = false\nkeep_daily = 5\n{NIGHTLY}");
        assert!(!prunes(&off, None) && !prunes(&off, nightly));
    }

    #[test]
    fn an_unknown_schedule_is_refused_with_the_known_ones() {
        let refused = |name, works: &'static [Work]| {
            let settings = settings(NIGHTLY, None).unwrap();
            let refused = chosen(&settings.schedules, Some((name, works)));
            refused.err().unwrap().to_string()
        };
        assert_eq!(
            refused("nigthly", &[Work::Db]),
            "--schedule: there is no schedule \"nigthly\"; known are \"nightly\""
        );
        assert_eq!(
            refused("nightly", &[Work::Verify]),
            "--schedule: \"nightly\" is a schedule of kluis backup db"
        );
        assert!(refused("x", &[Work::Source]).contains("no [[schedule]] with what = \"source\""));
    }

    #[test]
    fn its_command_line_says_what_started_it() {
        let text = format!(
            "{NIGHTLY}args = [\"--globals\"]\n\
             [[schedule]]\nname = \"proof\"\nwhat = \"verify\"\ncron = \"0 5 * * *\"\n"
        );
        let settings = settings(&text, None).unwrap();
        let lines: Vec<String> = settings
            .schedules
            .iter()
            .map(|it| it.command().join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "backup db --trigger=scheduled --schedule=nightly --globals",
                "verify --pending --trigger=scheduled --schedule=proof",
            ]
        );
    }
}
