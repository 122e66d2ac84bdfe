//! Which of the header's two copies.

use super::HEADER_LEN;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyName {
    A,
    B,
}

impl CopyName {
    /// Where it begins in the archive.
    pub fn offset(self) -> u64 {
        match self {
            Self::A => 0,
            Self::B => HEADER_LEN as u64,
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl std::fmt::Display for CopyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}
