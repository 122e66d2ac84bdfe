//! A program that runs inside a container: the runner's arguments around its
//! own. `docker exec`, and whatever takes the same arguments (`podman exec`).
//!
//! Never a terminal: it would turn each newline of a dump into two bytes. What
//! the container's name may be, its finder has checked.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use super::Tool;
use super::environment::ENGINE;

/// The program that reaches containers, with its first arguments:
/// `["docker"]`, `["sudo", "docker"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    program: String,
    args: Vec<String>,
}

impl Runner {
    /// `None` where `argv` names no program.
    pub fn new(argv: &[String]) -> Option<Self> {
        let (program, args) = argv.split_first()?;
        Some(Self {
            program: program.clone(),
            args: args.to_vec(),
        })
    }

    /// The runner itself, for its other commands; its arguments follow.
    pub fn tool(&self) -> Tool {
        Tool::new(&self.program).args(&self.args).pass_env(ENGINE)
    }

    /// As the operator wrote it.
    pub fn text(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// Where a [`Tool`] runs instead of here.
#[derive(Clone, Debug)]
pub(super) struct Container {
    runner: Runner,
    name: String,
}

impl Container {
    pub(super) fn new(runner: &Runner, name: &str) -> Self {
        Self {
            runner: runner.clone(),
            name: name.to_owned(),
        }
    }

    pub(super) fn program(&self) -> &OsStr {
        OsStr::new(&self.runner.program)
    }

    /// All but the program's own arguments; `runner` is where its program is. A variable is `NAME=value`, so that
    /// it also passes a runner that drops its environment, as sudo does; a
    /// secret one is the name alone, and its value comes from the runner's own
    /// environment.
    pub(super) fn command(&self, runner: &OsStr, tool: &Tool) -> Command {
        let mut command = Command::new(runner);
        command.args(&self.runner.args).args(["exec", "-i"]);
        for (name, value) in &tool.env {
            let mut pair = OsString::from(name);
            pair.push("=");
            pair.push(value);
            command.arg("-e").arg(pair);
        }
        for name in tool.secret_env.keys() {
            command.arg("-e").arg(name);
        }
        command.arg(&self.name).arg(&tool.program);
        command
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::{Runner, Tool};

    #[test]
    fn variables_go_along_and_a_secret_one_by_its_name() {
        let runner = Runner::new(&["/bin/sudo".to_owned(), "docker".to_owned()]).unwrap();
        let command = Tool::new("psql")
            .arg("--quiet")
            .env("LC_ALL", "C")
            .secret_env("PGPASSWORD", Zeroizing::new("hunter2".to_owned()))
            .in_container(&runner, "shop")
            .command()
            .unwrap();
        let argv: Vec<_> = command.get_args().collect();
        assert_eq!(command.get_program(), "/bin/sudo");
        let expected = "docker exec -i -e LC_ALL=C -e PGPASSWORD shop psql --quiet";
        assert_eq!(argv, expected.split(' ').collect::<Vec<_>>());
        let set: Vec<_> = command.get_envs().map(|(name, _)| name).collect();
        assert!(set.contains(&"PGPASSWORD".as_ref()) && set.contains(&"PATH".as_ref()));
    }
}
