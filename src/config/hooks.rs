//! The settings of `[hooks]`: the operator's programs around a run.

use std::time::Duration;

use super::duration::parse_wait;
use super::file::Entry;
use super::layers::{Layers, or_default, wrong};
use super::settings::HookSettings;
use super::{ConfigError, Sourced};
use crate::hooks::Moment;

const LIMIT_DEFAULT: Duration = Duration::from_secs(600);
const COMMANDS_DEFAULT: &str = "backup";
/// The commands that hooks can stand around.
const COMMANDS: [&str; 4] = ["backup", "restore", "verify", "check"];

impl Layers<'_> {
    pub(super) fn hooks(&self) -> Result<HookSettings, ConfigError> {
        let keys = &self.keys.hooks;
        let commands = self.key(&keys.commands);
        if let Some(commands) = &commands
            && let Some(unknown) = commands
                .value
                .iter()
                .find(|it| !COMMANDS.contains(&it.as_str()))
        {
            let known = COMMANDS.join(", ");
            let what = format!("{unknown:?} has no hooks; known are {known}");
            return Err(wrong(&commands.origin, what));
        }
        Ok(HookSettings {
            before: self.argvs(&keys.before)?,
            after: self.argvs(&keys.after)?,
            failed: self.argvs(&keys.failed)?,
            finally: self.argvs(&keys.finally)?,
            commands: or_default(commands, vec![COMMANDS_DEFAULT.to_owned()]),
            pass_env: self.variable_names(self.key(&keys.pass_env))?,
            limit: or_default(self.parsed_key(&keys.limit, parse_wait)?, LIMIT_DEFAULT),
        })
    }

    /// Names of variables of our environment.
    pub(super) fn variable_names(
        &self,
        names: Option<Sourced<Vec<String>>>,
    ) -> Result<Sourced<Vec<String>>, ConfigError> {
        let names = or_default(names, Vec::new());
        let is_none = |name: &&String| name.is_empty() || name.contains(['=', '\0', ' ']);
        let is_pattern = |name: &&String| name.contains(['*', '?', '[', ']', '{', '}']);
        if let Some(name) = names.value.iter().find(is_pattern) {
            let what = format!(
                "{name:?} is a pattern, and patterns are not taken; list each variable's name: \
                 [\"AWS_ACCESS_KEY_ID\", \"AWS_SECRET_ACCESS_KEY\"]"
            );
            return Err(wrong(&names.origin, what));
        }
        match names.value.iter().find(is_none) {
            Some(name) => {
                let what =
                    format!("{name:?} is not a variable's name; values are never written here");
                Err(wrong(&names.origin, what))
            }
            None => Ok(names),
        }
    }

    fn argvs(
        &self,
        entry: &Entry<Vec<Vec<String>>>,
    ) -> Result<Sourced<Vec<Vec<String>>>, ConfigError> {
        let argvs = or_default(self.key(entry), Vec::new());
        let names_no_program = |argv: &Vec<String>| argv.first().is_none_or(String::is_empty);
        match argvs.value.iter().any(names_no_program) {
            true => Err(wrong(
                &argvs.origin,
                "a hook is a program and its arguments: [\"/usr/local/bin/freeze\", \"shop\"]",
            )),
            false => Ok(argvs),
        }
    }
}

impl HookSettings {
    pub fn of(&self, moment: Moment) -> &[Vec<String>] {
        match moment {
            Moment::Before => &self.before.value,
            Moment::After => &self.after.value,
            Moment::Failed => &self.failed.value,
            Moment::Finally => &self.finally.value,
        }
    }

    /// Of every hook, whenever it is run.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        let all = [&self.before, &self.after, &self.failed, &self.finally];
        let all = all.into_iter().flat_map(|argvs| &argvs.value);
        all.filter_map(|argv| argv.first().map(String::as_str))
    }

    /// Whether there are some around this command: "backup db" is a "backup".
    pub fn fit(&self, command: &str) -> bool {
        let first = command.split(' ').next().unwrap_or_default();
        let all = [&self.before, &self.after, &self.failed, &self.finally];
        all.iter().any(|argvs| !argvs.value.is_empty())
            && self.commands.value.iter().any(|it| it == first)
    }
}
