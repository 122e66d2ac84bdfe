//! Short secrets that are no keys: a webhook's URL, a mail server's password.
//! Owns the reading of their files, under the same rule as a key's: nobody else
//! can have written them. No error holds what the file holds.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::SecretText;
use crate::strict::{self, StrictError};

/// URLs, tokens and passwords are shorter.
const BYTES_MAX: u64 = 4096;

/// Where a short secret is to be taken from.
pub enum SecretSource {
    /// It was written into the configuration or the environment.
    Text(SecretText),
    /// A file of the operator's.
    File(PathBuf),
    /// A systemd credential.
    Credential(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not taken: {source}; {}", path.display(), .source.remedy().unwrap_or_default())]
    NotOurs {
        path: PathBuf,
        #[source]
        source: StrictError,
    },
    #[error("{} {what}", path.display())]
    Content { path: PathBuf, what: &'static str },
}

impl SecretSource {
    /// The secret itself. The newline at a file's end is not part of it.
    pub fn read(&self) -> Result<SecretText, SecretFileError> {
        match self {
            Self::Text(text) => Ok(SecretText::new(text.expose())),
            Self::File(path) | Self::Credential(path) => read(path),
        }
    }
}

fn read(path: &Path) -> Result<SecretText, SecretFileError> {
    let unreadable = |source| SecretFileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let wrong = |what| SecretFileError::Content {
        path: path.to_owned(),
        what,
    };
    let opened = strict::open(path).map_err(|error| match error {
        StrictError::Unreadable(source) => unreadable(source),
        source => SecretFileError::NotOurs {
            path: path.to_owned(),
            source,
        },
    })?;
    // Reserved whole: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(BYTES_MAX as usize + 1));
    let read = opened.file.take(BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => wrong("is not UTF-8 text"),
        _ => unreadable(error),
    })?;
    if text.len() as u64 > BYTES_MAX {
        return Err(wrong("is longer than 4096 bytes"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(wrong("is empty"));
    }
    if line.contains(char::is_control) {
        return Err(wrong("has more than one line"));
    }
    Ok(SecretText::new(line))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn from_file(content: &[u8], mode: u32) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let read = SecretSource::File(path).read();
        read.map(|text| text.expose().to_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_files_newline_is_not_part_of_the_secret() {
        for content in ["https://x/y\n", "https://x/y\r\n", "https://x/y"] {
            assert_eq!(from_file(content.as_bytes(), 0o600).unwrap(), "https://x/y");
        }
    }

    #[test]
    fn what_others_can_write_or_is_no_line_is_refused_without_being_told() {
        for (content, mode, why) in [
            (&b"hunter2"[..], 0o602, "others"),
            (b"hunter2\nhunter3\n", 0o600, "more than one line"),
            (b"\n", 0o600, "empty"),
            (b"hunter\xff", 0o600, "UTF-8"),
            (&[b'h'; 5000], 0o600, "longer"),
        ] {
            let error = from_file(content, mode).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn a_credentials_group_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credential");
        fs::write(&path, "word").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(SecretSource::Credential(path).read().is_ok());
    }
}
