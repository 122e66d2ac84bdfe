//! The settings of `[retention]`: the keep rules for everything, and those for
//! single names.

use super::duration::parse_age;
use super::file::{Entry, PolicyKeys};
use super::layers::{Layers, Setting, flag, or_default, wrong};
use super::schedule::{ScheduleSettings, Work};
use super::scope::{coverage, refuse_two_rules};
use super::settings::{PolicySettings, RetentionSettings, ScheduledRulesSettings};
use super::values::{parse_count, parse_days, parse_kind};
use super::{ConfigError, Origin, Sourced};
use crate::cli::RetentionFlags;
use crate::retention::{Age, KeepRules, NamedRules, Policies, ScheduledRules};

const KEEP_DAILY_DEFAULT: u32 = 7;
const KEEP_WEEKLY_DEFAULT: u32 = 4;
const KEEP_MONTHLY_DEFAULT: u32 = 12;
/// What to do about rules that are idle.
pub const IDLE_REMEDY: &str = "kluis prune removes by them, and prune_after_backup = true below \
                               [retention] does so behind each backup";
/// The floor: never fewer backups of a name.
const KEEP_AT_LEAST_DEFAULT: u32 = 3;

impl Layers<'_> {
    pub(super) fn retention(
        &self,
        flags: RetentionFlags,
        chosen: Option<&ScheduleSettings>,
        scheduled: Vec<ScheduledRulesSettings>,
    ) -> Result<RetentionSettings, ConfigError> {
        let keys = &self.keys.retention;
        // What serve gives a schedule's prune holds for who names the schedule.
        let flags = match chosen.and_then(ScheduleSettings::pruning) {
            Some(own) => flags.or(own.retention),
            None => flags,
        };
        let at_least = or_default(self.key(&keys.keep_at_least), KEEP_AT_LEAST_DEFAULT);
        if at_least.value == 0 {
            return Err(wrong(&at_least.origin, "keep_at_least must be 1 or more"));
        }
        let last = flag("--keep-last", flags.keep_last);
        let last = self.count(last, "BACKUP_KEEP_LAST", &keys.keep_last)?;
        let hourly = flag("--keep-hourly", flags.keep_hourly);
        let hourly = self.count(hourly, "BACKUP_KEEP_HOURLY", &keys.keep_hourly)?;
        let daily = flag("--keep-daily", flags.keep_daily);
        let daily = self.count(daily, "BACKUP_KEEP_DAILY", &keys.keep_daily)?;
        let weekly = flag("--keep-weekly", flags.keep_weekly);
        let weekly = self.count(weekly, "BACKUP_KEEP_WEEKLY", &keys.keep_weekly)?;
        let monthly = flag("--keep-monthly", flags.keep_monthly);
        let monthly = self.count(monthly, "BACKUP_KEEP_MONTHLY", &keys.keep_monthly)?;
        let yearly = flag("--keep-yearly", flags.keep_yearly);
        let yearly = self.count(yearly, "BACKUP_KEEP_YEARLY", &keys.keep_yearly)?;
        let within = flag("--keep-within", flags.keep_within)
            .or(self.parsed_variable("BACKUP_KEEP_WITHIN", parse_age)?)
            .or(self.parsed_key(&keys.keep_within, parse_age)?);
        let max_age = flag("--max-age", flags.max_age)
            .or(self.parsed_variable("BACKUP_RETENTION_DAYS", parse_days)?)
            .or(self.parsed_key(&keys.max_age, parse_age)?);
        let counts = [&last, &hourly, &daily, &weekly, &monthly, &yearly];
        let keep_rule = within.is_some() || counts.into_iter().any(Option::is_some);
        // An age alone is the whole policy, as it was in the service that kluis
        // replaces: nothing younger may go for want of a keep rule.
        let default = |count| match (keep_rule, &max_age) {
            (false, Some(_)) => 0,
            _ => count,
        };
        let ages = [&within, &max_age].into_iter().flatten();
        let ages = ages.map(|age| &age.origin);
        let rule = counts.into_iter().flatten().map(|count| &count.origin);
        let of_variable = rule.chain(ages).find(|it| it.is_environment()).cloned();
        let policies = self.policies()?;
        refuse_two_rules(&policies, &scheduled)?;
        Ok(RetentionSettings {
            last: or_default(last, 0),
            hourly: or_default(hourly, 0),
            daily: or_default(daily, default(KEEP_DAILY_DEFAULT)),
            weekly: or_default(weekly, default(KEEP_WEEKLY_DEFAULT)),
            monthly: or_default(monthly, default(KEEP_MONTHLY_DEFAULT)),
            yearly: or_default(yearly, 0),
            within,
            max_age,
            at_least,
            prune_after_backup: self.prune_after_backup(of_variable, chosen),
            policies,
            scheduled,
            chosen: chosen.and_then(|chosen| coverage(chosen, self.keys)),
        })
    }

    /// As the service that kluis replaces: whoever says by its variables what to keep, or
    /// has backups made by a schedule, has the older ones pruned behind each, unless told
    /// otherwise. The file's own keys say what they do.
    fn prune_after_backup(
        &self,
        variable: Option<Origin>,
        chosen: Option<&ScheduleSettings>,
    ) -> Sourced<bool> {
        let scheduled = chosen.map(|schedule| schedule.name.origin.clone());
        let implied = scheduled
            .or(variable)
            .map(|origin| Sourced::new(true, origin));
        let said = self.key(&self.keys.retention.prune_after_backup);
        or_default(said.or(implied), false)
    }

    fn count(
        &self,
        flag: Option<Sourced<u32>>,
        variable: &'static str,
        key: &Entry<u32>,
    ) -> Setting<u32> {
        let variable = self.parsed_variable(variable, parse_count)?;
        Ok(flag.or(variable).or(self.key(key)))
    }

    /// What `[[retention.policy]]` says of single names.
    pub(super) fn policies(&self) -> Result<Vec<PolicySettings>, ConfigError> {
        let policies = self.keys.retention.policy.iter();
        policies.map(|policy| self.policy(policy)).collect()
    }

    pub(super) fn policy(&self, keys: &PolicyKeys) -> Result<PolicySettings, ConfigError> {
        let Some(name) = self.key(&keys.name) else {
            return Err(ConfigError::Missing {
                what: "name of a [[retention.policy]]",
                remedy: "give each [[retention.policy]] the name of a database or a tree",
            });
        };
        let at_least = self.key(&keys.keep_at_least);
        if let Some(none) = at_least.as_ref().filter(|count| count.value == 0) {
            return Err(wrong(&none.origin, "keep_at_least must be 1 or more"));
        }
        Ok(PolicySettings {
            name,
            kind: self.parsed_key(&keys.kind, parse_kind)?,
            last: self.key(&keys.keep_last),
            hourly: self.key(&keys.keep_hourly),
            daily: self.key(&keys.keep_daily),
            weekly: self.key(&keys.keep_weekly),
            monthly: self.key(&keys.keep_monthly),
            yearly: self.key(&keys.keep_yearly),
            within: self.parsed_key(&keys.keep_within, parse_age)?,
            max_age: self.parsed_key(&keys.max_age, parse_age)?,
            at_least,
        })
    }
}

impl RetentionSettings {
    /// The rules for everything, for single names and for what schedules back up: the
    /// same whoever prunes, previews or simulates. A flag beats the file's
    /// policies too, and what a policy leaves open is as for everything.
    pub fn policies(&self) -> Policies {
        let rules = self.rules();
        let named = self.policies.iter().map(|policy| NamedRules {
            kind: policy.kind.as_ref().map(|kind| kind.value),
            name: policy.name.value.clone(),
            rules: self.rules_of(policy, &rules),
        });
        let scheduled = self.scheduled.iter().map(|scheduled| ScheduledRules {
            coverage: scheduled.coverage.clone(),
            rules: self.rules_of(&scheduled.policy, &rules),
        });
        Policies {
            named: named.collect(),
            scheduled: scheduled.collect(),
            rules,
        }
    }

    /// Where rules stand that nothing carries out by itself; `None` where something
    /// does, or where somebody said that nothing is to.
    pub fn idle(&self, schedules: &[ScheduleSettings]) -> Option<&Origin> {
        let prunes = |it: &ScheduleSettings| {
            it.enabled && matches!(it.work, Work::Db | Work::Source | Work::Prune)
        };
        let prune = &self.prune_after_backup;
        if prune.value || prune.origin != Origin::Default || schedules.iter().any(prunes) {
            return None;
        }
        let counts = [
            &self.last,
            &self.hourly,
            &self.daily,
            &self.weekly,
            &self.monthly,
            &self.yearly,
        ];
        let ages = [&self.within, &self.max_age].into_iter().flatten();
        let named = self.policies.iter().map(|policy| &policy.name.origin);
        let origins = counts.into_iter().map(|count| &count.origin);
        let mut origins = origins.chain(ages.map(|age| &age.origin)).chain(named);
        origins.find(|origin| origin.is_file())
    }

    /// A count of 0 is no rule.
    fn rules(&self) -> KeepRules {
        KeepRules {
            last: set(&self.last),
            hourly: set(&self.hourly),
            daily: set(&self.daily),
            weekly: set(&self.weekly),
            monthly: set(&self.monthly),
            yearly: set(&self.yearly),
            within: self.within.as_ref().map(|age| age.value),
            max_age: self.max_age.as_ref().map(|age| age.value),
            floor: self.at_least.value,
        }
    }

    fn rules_of(&self, policy: &PolicySettings, rules: &KeepRules) -> KeepRules {
        // An age alone is the whole policy, here too.
        let counts = [
            &policy.last,
            &policy.hourly,
            &policy.daily,
            &policy.weekly,
            &policy.monthly,
            &policy.yearly,
        ];
        let keep_rule = policy.within.is_some() || counts.into_iter().any(Option::is_some);
        let by_age_alone = policy.max_age.is_some() && !keep_rule;
        let count = |own: &Option<Sourced<u32>>, all: &Sourced<u32>| match own {
            _ if all.origin.is_flag() => set(all),
            Some(own) => set(own),
            None if by_age_alone => None,
            None => set(all),
        };
        KeepRules {
            last: count(&policy.last, &self.last),
            hourly: count(&policy.hourly, &self.hourly),
            daily: count(&policy.daily, &self.daily),
            weekly: count(&policy.weekly, &self.weekly),
            monthly: count(&policy.monthly, &self.monthly),
            yearly: count(&policy.yearly, &self.yearly),
            within: age(&policy.within, &self.within),
            max_age: age(&policy.max_age, &self.max_age),
            floor: policy
                .at_least
                .as_ref()
                .map_or(rules.floor, |count| count.value),
        }
    }
}

fn set(count: &Sourced<u32>) -> Option<u32> {
    (count.value > 0).then_some(count.value)
}

fn age(own: &Option<Sourced<Age>>, all: &Option<Sourced<Age>>) -> Option<Age> {
    let by_flag = all.as_ref().filter(|age| age.origin.is_flag());
    let age = by_flag.or(own.as_ref()).or(all.as_ref());
    age.map(|age| age.value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{ConfigFile, Environment, Flags, resolve};
    use crate::format::manifest::Kind;
    use crate::retention::Policies;
    use crate::series::Series;

    fn policies(text: &str, flags: Flags) -> Policies {
        let file = ConfigFile::parse(Path::new("kluis.toml"), text.to_owned()).unwrap();
        let settings = resolve(flags, &Environment::of([]), Some(&file));
        settings.unwrap().retention.policies()
    }

    const TEXT: &str = "[retention]\nkeep_daily = 5\n\
        [[retention.policy]]\nname = \"shop\"\nkind = \"db\"\nkeep_daily = 30\n\
        [[retention.policy]]\nname = \"logs\"\nmax_age = \"7d\"\nkeep_at_least = 1\n";

    #[test]
    fn a_policy_holds_for_its_name_and_leaves_the_rest_as_for_all() {
        let policies = policies(TEXT, Flags::default());
        let shop = policies.of(&Series::called(Kind::Db, "shop"));
        assert_eq!(
            (shop.daily, shop.weekly, shop.floor),
            (Some(30), Some(4), 3)
        );
        for (kind, name) in [(Kind::Source, "shop"), (Kind::Db, "wiki")] {
            assert_eq!(policies.of(&Series::called(kind, name)).daily, Some(5));
        }
    }

    #[test]
    fn a_policy_of_an_age_alone_keeps_what_is_younger_and_nothing_older() {
        let policies = policies(TEXT, Flags::default());
        let logs = policies.of(&Series::called(Kind::Db, "logs"));
        assert_eq!((logs.daily, logs.weekly, logs.floor), (None, None, 1));
        assert_eq!(logs.max_age, "7d".parse().ok());
    }

    #[test]
    fn a_flag_beats_a_policy_of_the_file() {
        let mut flags = Flags::default();
        flags.retention.keep_daily = Some(2);
        flags.retention.max_age = "9d".parse().ok();
        let policies = policies(TEXT, flags);
        assert_eq!(
            policies.of(&Series::called(Kind::Db, "shop")).daily,
            Some(2)
        );
        assert_eq!(
            policies.of(&Series::called(Kind::Db, "logs")).max_age,
            "9d".parse().ok()
        );
    }

    #[test]
    fn who_says_by_variables_what_to_keep_has_the_rest_pruned() {
        for (name, value, prunes) in [
            ("BACKUP_RETENTION_DAYS", "30", true),
            ("BACKUP_KEEP_DAILY", "5", true),
            ("BACKUP_LOCAL_PATH", "/b", false),
        ] {
            let environment = Environment::of([(name, value)]);
            let settings = resolve(Flags::default(), &environment, None).unwrap();
            let prune = settings.retention.prune_after_backup;
            assert_eq!(prune.value, prunes, "{name}");
            assert!(!prunes || prune.origin.to_string() == name);
        }
    }

    #[test]
    fn a_policy_without_a_name_is_refused() {
        let text = "[[retention.policy]]\nkeep_daily = 3\n";
        let file = ConfigFile::parse(Path::new("kluis.toml"), text.to_owned()).unwrap();
        let settings = resolve(Flags::default(), &Environment::of([]), Some(&file));
        assert!(settings.err().unwrap().to_string().contains("name"));
    }
}
