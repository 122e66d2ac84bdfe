//! Why a backup is foreign, in words; and which of that says that something is wrong.

use crate::format::header::HeaderError;

/// Why a backup is foreign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("no manifest")]
    NoManifest,
    #[error("not sealed")]
    NotSealed,
    #[error("not signed by a host of ours")]
    NotSigned,
    #[error("sealed by another key: {}", .0.join(" or "))]
    OtherKey(Vec<String>),
    #[error("opens by a recipient alone, which anybody may write for")]
    RecipientOnly,
    /// It may be ours: whoever plants slots has the passphrase tried for them.
    #[error("not tried: passphrase slots of other archives took what a run spends on them")]
    NotTried,
    #[error("its seal is by another key, or it was changed")]
    OtherSeal,
    #[error("its seal does not fit: it was changed")]
    SealBroken,
    #[error("its manifest is another archive's")]
    Misplaced,
    #[error("its archive is gone")]
    Gone,
    #[error("its header cannot be used: {0}")]
    Header(HeaderError),
    #[error("its archive cannot be read: {0}")]
    Unread(String),
}

impl Unproven {
    /// What to do about another key's, for people.
    pub const OTHER_KEY_REMEDY: &str = "set BACKUP_READ_KEY_FILES to that key, if it never left \
                                        your hands: whoever has a key that is read with can make \
                                        backups that count as yours";
    /// What to do about what was not tried.
    pub const NOT_TRIED_REMEDY: &str = "somebody may have planted them: name a backup that you \
                                        know, with kluis verify FILE; this host remembers its \
                                        salt then, and all that share it count again";

    /// Whether nothing says that it is another's: it lacks a seal, as what was
    /// made before there were any.
    pub fn lacks_seal(&self) -> bool {
        matches!(self, Self::NoManifest | Self::NotSealed | Self::NotSigned)
    }

    /// In a word or two, for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoManifest => "no manifest",
            Self::NotSealed => "not sealed",
            Self::NotSigned => "not signed",
            Self::OtherKey(_) | Self::OtherSeal => "another key",
            Self::SealBroken | Self::Misplaced => "changed",
            Self::Gone => "archive gone",
            Self::RecipientOnly => "recipient only",
            Self::NotTried => "not tried",
            Self::Header(_) | Self::Unread(_) => "unreadable",
        }
    }

    /// Whether it claims to be sealed for us, and is not what was written then:
    /// damage, or somebody's work. The others are what any directory may hold.
    pub fn is_alarming(&self) -> bool {
        match self {
            Self::NoManifest
            | Self::NotSealed
            | Self::NotSigned
            | Self::OtherKey(_)
            | Self::NotTried
            | Self::RecipientOnly => false,
            Self::OtherSeal
            | Self::SealBroken
            | Self::Misplaced
            | Self::Gone
            | Self::Header(_)
            | Self::Unread(_) => true,
        }
    }
}
