//! One of an archive's two header copies could not be used, and the other could:
//! what that means and what to do about it, in one place for all who read.

use std::fmt;

use crate::checked::shell_word;
use crate::format::header::{CopyName, HeaderError};

/// The copy that did not open. The archive restores by the other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusedCopy {
    pub copy: CopyName,
    pub why: HeaderError,
}

impl UnusedCopy {
    /// Whether its bytes are wrong. If not, it is whole and wants a key that is
    /// not configured: a rotation has not come to its end.
    pub fn is_damaged(&self) -> bool {
        !matches!(self.why, HeaderError::NoKey { .. } | HeaderError::TooCostly)
    }

    /// The next step; `backup` as a command takes it.
    pub fn remedy(&self, backup: &str) -> String {
        match self.is_damaged() {
            true => format!("kluis key repair {} writes it anew", shell_word(backup)),
            false => "run the key rotation once more, it goes on where it ended".to_owned(),
        }
    }
}

impl fmt::Display for UnusedCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { copy, why } = self;
        let other = copy.other();
        match why {
            HeaderError::NoKey { wants } => write!(
                f,
                "copy {copy} of its header wants another key ({}) than copy {other}, which opens it",
                wants.join(" or ")
            ),
            why => write!(
                f,
                "one of the two copies of its header is damaged (copy {copy}: {why}); it still \
                 restores, by copy {other}"
            ),
        }
    }
}
