//! How far a restore came, and what is said of its destination after a failure.
//!
//! Owns the words: whatever fails, at whatever moment, is told by what had happened
//! until then, here and nowhere else. Who changes something says so to [`Reached`]
//! before the step whose answer may be lost, and after it.

use crate::checked::shell_word;
use std::error::Error;
use std::fmt;

/// How far a restore came. Each step is later than those above it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Nothing was changed that anybody sees.
    #[default]
    Nothing,
    /// It lies in a place of its own, beside the destination.
    Staged,
    /// The step that shows it was begun, and whether it was done cannot be told.
    Unknown {
        /// How to see which.
        look: String,
    },
    /// Committed where it stands, and not yet compared.
    Committed,
    /// In its place. It was compared before.
    Swapped,
}

impl Reached {
    /// The new content is at the destination, for sure.
    pub fn is_in_place(&self) -> bool {
        matches!(self, Self::Committed | Self::Swapped)
    }

    /// The destination is untouched, for sure.
    pub fn is_unchanged(&self) -> bool {
        matches!(self, Self::Nothing | Self::Staged)
    }
}

/// What an end at once leaves, before the step that shows anything. `staging`: what
/// nobody takes away then.
pub fn ended_before(to: &str, staging: Option<&str>) -> String {
    match staging {
        Some(staging) => format!(
            "nothing was restored, {to} is as it was before; {staging} stays, until the next \
             restore or backup there takes it away"
        ),
        None => format!("nothing was restored, {to} is as it was before"),
    }
}

/// What it leaves in that step, or behind it.
pub fn ended_within(to: &str) -> String {
    format!("it is not known whether {to} holds the restored content; look before you go on")
}

/// Where a restore goes.
#[derive(Clone, Debug)]
pub struct Goal {
    /// "database shop", or a directory.
    pub shown: String,
    /// Something was there before.
    pub existed: bool,
    /// It is filled where it stands: going back means that too.
    pub in_place: bool,
}

/// Why a restore did not end well, and what that means for its destination.
#[derive(Debug)]
pub struct Failed<E> {
    pub reached: Reached,
    pub goal: Goal,
    /// The backup of what was replaced, made before.
    pub backed_up: Option<String>,
    /// What the replaced database is called, where it is kept and was swapped.
    pub kept_old: Option<String>,
    /// Staging places that could not be taken away.
    pub left: Vec<String>,
    /// It was compared and differs.
    pub differs: bool,
    pub error: E,
}

impl<E> Failed<E> {
    /// The way back, where there is something to go back from.
    pub fn way_back(&self) -> Option<String> {
        if self.reached.is_unchanged() {
            return None;
        }
        let in_place = match self.goal.in_place {
            true => " --in-place",
            false => "",
        };
        match (&self.kept_old, &self.backed_up) {
            (Some(old), _) => Some(format!("the old one is kept as database {old}")),
            (None, Some(file)) => Some(format!(
                "to go back: kluis restore {} --replace{in_place}",
                shell_word(file)
            )),
            (None, None) => None,
        }
    }
}

impl<E> fmt::Display for Failed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = &self.goal.shown;
        match &self.reached {
            Reached::Nothing | Reached::Staged if self.goal.existed => {
                write!(f, "nothing was restored; {to} is as it was before")?;
            }
            Reached::Nothing | Reached::Staged => {
                write!(f, "nothing was restored; {to} was not created")?;
            }
            Reached::Unknown { look } => write!(
                f,
                "IT IS NOT KNOWN whether {to} holds the restored content: the answer was lost in \
                 that very moment; {look}"
            )?,
            Reached::Committed if self.differs => write!(
                f,
                "THE RESTORED CONTENT IS IN PLACE in {to}, and differs from its dump; do not use \
                 it before you know why"
            )?,
            Reached::Committed => write!(
                f,
                "THE RESTORED CONTENT IS IN PLACE in {to}, but was not compared with its dump to \
                 the end"
            )?,
            Reached::Swapped => write!(
                f,
                "THE RESTORED CONTENT IS IN PLACE in {to}, and whole; what failed came after that"
            )?,
        }
        if let Some(way_back) = self.way_back() {
            write!(f, "; {way_back}")?;
        }
        for left in &self.left {
            write!(
                f,
                "; {left} could not be taken away, the next restore or backup there does that"
            )?;
        }
        Ok(())
    }
}

impl<E: Error + 'static> Error for Failed<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(reached: Reached, existed: bool) -> Failed<std::io::Error> {
        Failed {
            reached,
            goal: Goal {
                shown: "database shop".to_owned(),
                existed,
                in_place: true,
            },
            backed_up: Some("5ab1".to_owned()),
            kept_old: None,
            left: Vec::new(),
            differs: false,
            error: std::io::Error::other("odd"),
        }
    }

    #[test]
    fn each_step_has_words_of_its_own_and_only_a_change_has_a_way_back() {
        let look = "look".to_owned();
        for (reached, words, back) in [
            (Reached::Nothing, "is as it was before", false),
            (Reached::Staged, "is as it was before", false),
            (Reached::Unknown { look }, "IT IS NOT KNOWN whether", true),
            (Reached::Committed, "not compared with its dump", true),
            (Reached::Swapped, "and whole", true),
        ] {
            let said = failed(reached, true).to_string();
            assert!(said.contains(words), "{said}");
            let way = "to go back: kluis restore 5ab1 --replace --in-place";
            assert_eq!(said.contains(way), back, "{said}");
        }
        let said = failed(Reached::Staged, false).to_string();
        assert!(said.ends_with("was not created"), "{said}");
    }

    #[test]
    fn what_stays_is_named_with_who_removes_it() {
        let mut failed = failed(Reached::Staged, true);
        failed.left.push("the database shop_kluis_1".to_owned());
        let said = failed.to_string();
        assert!(said.contains("shop_kluis_1 could not be taken"), "{said}");
        assert!(said.contains("next restore or backup"), "{said}");
    }
}
