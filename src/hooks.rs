//! The operator's own programs around a run: freeze an application before a
//! backup, thaw it behind. Owns how they are run and what they are told; when
//! and what a failure means is decided around the run.
//!
//! A hook is an argument array, never a shell's line. It gets the run's context
//! as `KLUIS_..` variables, and of our own ones no secrets but those that the
//! operator names.

use std::time::Duration;

use crate::process::{ProcessError, Tool, run_within};

/// When a hook is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// One that fails stops the run before it began.
    Before,
    /// The run ended well.
    After,
    /// It did not, or a part of it did not.
    Failed,
    /// Whatever came of it, also where `before` failed.
    Finally,
}

impl Moment {
    /// As in `kluis.toml` and in `KLUIS_HOOK`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Failed => "failed",
            Self::Finally => "finally",
        }
    }
}

/// What a hook's environment says of the run: name without `KLUIS_`, value.
pub type Context = Vec<(&'static str, String)>;

#[derive(Debug, thiserror::Error)]
#[error("the hook `{}`", .moment.word())]
pub struct HookError {
    pub moment: Moment,
    #[source]
    pub source: ProcessError,
}

impl HookError {
    /// What most often is wrong where a hook runs well by hand.
    pub const HINT: &str = "hooks get PATH, HOME and the locale; name further variables in \
                            pass_env under [hooks]";
}

/// Runs the hooks of one moment in order, until one fails.
pub fn run_hooks(
    moment: Moment,
    hooks: &[Vec<String>],
    context: &Context,
    pass_env: &[String],
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<(), HookError> {
    for argv in hooks {
        let (program, args) = argv.split_first().unzip();
        let program = program.map_or("", String::as_str);
        let tool = Tool::new(program).args(args.unwrap_or_default());
        // A hook that calls kluis means the same one.
        let tool = tool.pass_env(["KLUIS_CONFIG"]).pass_env(pass_env);
        let tool = context.iter().fold(tool, |tool, (name, value)| {
            // A NUL cannot be in a variable; the rest of an error's text can.
            tool.env(format!("KLUIS_{name}"), value.replace('\0', " "))
        });
        let tool = tool.env("KLUIS_HOOK", moment.word());
        run_within(&tool, limit, &mut on_line).map_err(|source| HookError { moment, source })?;
    }
    Ok(())
}
