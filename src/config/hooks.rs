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
            limit: or_default(self.parsed_key(&keys.limit, parse_wait)?, LIMIT_DEFAULT),
        })
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

    /// Whether there are some around this command: "backup db" is a "backup".
    pub fn fit(&self, command: &str) -> bool {
        let first = command.split(' ').next().unwrap_or_default();
        let all = [&self.before, &self.after, &self.failed, &self.finally];
        all.iter().any(|argvs| !argvs.value.is_empty())
            && self.commands.value.iter().any(|it| it == first)
    }
}
