//! Where keys come from, and text that must not be shown. Owns the reading of
//! keys from the environment's value, a file, a command or a systemd credential.
//!
//! Refuses what would quietly become another passphrase (white space at the
//! end) and files that others own or can write to. Nothing here has `Debug`, and no error
//! holds a secret.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::format::keyring::{KeyError, KeyMaterial};
use crate::process::{ChildReader, Tool, terminate_all};
use crate::strict::{self, StrictError};

mod key_text;
mod known_salts;
mod short;
mod signing;

pub use key_text::KeyTextError;
use key_text::{is_nearly_a_key, wrapping};
pub use known_salts::{StateDir, known_salts, remember_salts};
pub use short::{SecretFileError, SecretSource};
pub use signing::load_signing_key;

/// A key is short; a file given by mistake may not be.
const KEY_FILE_BYTES_MAX: usize = 4096;
/// A vault answers within seconds; one that asks somebody for a touch gets time.
const COMMAND_TIME: Duration = Duration::from_secs(60);

/// Text that is shown to nobody: no `Debug`, zeroized when dropped.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Never for a message, never for an argument vector.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Where the encryption key is to be taken from.
pub enum KeySource {
    /// The value of an environment variable.
    Text {
        name: &'static str,
        text: SecretText,
    },
    /// A file of the operator's.
    File(PathBuf),
    /// A program and its arguments; what it prints is the key. `pass_env` are
    /// the variables of our environment that it wants.
    Command {
        argv: Vec<String>,
        pass_env: Vec<String>,
    },
    /// A systemd credential. systemd guards it, by an access list that looks
    /// as if its group could read it.
    Credential(PathBuf),
}

impl KeySource {
    /// The place, for people.
    pub fn label(&self) -> String {
        match self {
            Self::Text { name, .. } => (*name).to_owned(),
            Self::File(path) | Self::Credential(path) => path.display().to_string(),
            Self::Command { argv, .. } => {
                let program = argv.first().map_or("", String::as_str);
                format!("what {program} prints")
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the key in {place} {}", .source)]
    Key {
        place: String,
        #[source]
        source: KeyTextError,
    },
    #[error("cannot read the key file {}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the key file {}: {source}", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// What the command said is not told: it may be the key.
    #[error("the key's command {program} {what}")]
    Command { program: String, what: String },
    #[error("the key file {} is not taken: {source}", path.display())]
    NotOurs {
        path: PathBuf,
        #[source]
        source: StrictError,
    },
}

impl SecretError {
    /// What the operator can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Key { place, source } => match source {
                KeyTextError::Empty => {
                    format!("set {place} to 64 hex digits or a passphrase, or unset it")
                }
                KeyTextError::EndsWithSpace { .. } => {
                    "remove it: taken as it is, it would be a different passphrase".to_owned()
                }
                KeyTextError::NearlyHex { .. } => {
                    "copy the key again, whole; a passphrase of that kind is not taken".to_owned()
                }
                KeyTextError::Wrapped { .. } => {
                    "remove it, so that there are 64 hex digits and nothing else: taken as it is, \
                     it would be a passphrase, and the key itself would not open the backups"
                        .to_owned()
                }
                KeyTextError::NoSigningKey => {
                    "kluis key generate --signing -o FILE makes one; a key of backups is none"
                        .to_owned()
                }
                KeyTextError::NotUtf8 | KeyTextError::TooLong | KeyTextError::SeveralLines => {
                    "a key is 64 hex digits or a passphrase, on one line".to_owned()
                }
                KeyTextError::Age(_) => {
                    "copy the age key again, whole; age-keygen prints it as one line".to_owned()
                }
            },
            Self::Unwritable { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                "a key is never overwritten: give a new name, or move the old key away if no \
                 backup wants it"
                    .to_owned()
            }
            Self::Unwritable { .. } => "check the directory and who owns it".to_owned(),
            Self::Unreadable { .. } => "check the path and who owns the file".to_owned(),
            Self::Command { .. } => {
                "run it by hand as the same user: it must print the key, and nothing else, and \
                 exit with 0; of the environment it has PATH, HOME and the like, and what \
                 key_command_env (BACKUP_ENCRYPTION_KEY_COMMAND_ENV) names, such as VAULT_ADDR \
                 and VAULT_TOKEN"
                    .to_owned()
            }
            Self::NotOurs { source, .. } => source.remedy().unwrap_or_default().to_owned(),
        }
    }
}

/// The configured key; `None` where none is configured.
pub fn load_key(source: Option<&KeySource>) -> Result<Option<KeyMaterial>, SecretError> {
    match source {
        None => Ok(None),
        Some(KeySource::Text { name, text }) => parse_key(text.expose(), name).map(Some),
        Some(KeySource::File(path)) => load_key_file(path).map(Some),
        Some(KeySource::Command { argv, pass_env }) => ask_command(argv, pass_env).map(Some),
        Some(KeySource::Credential(path)) => match load_key_file(path) {
            // The directory is there for other credentials of the unit too.
            Err(SecretError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            key => key.map(Some),
        },
    }
}

/// The key in a file that nobody else can have written.
pub fn load_key_file(path: &Path) -> Result<KeyMaterial, SecretError> {
    key_of_bytes(&read_key_file(path)?, &path.display().to_string())
}

/// What a key's file holds; one byte too much of one that is too long.
fn read_key_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let unreadable = |source| SecretError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let opened = strict::open(path).map_err(|error| match error {
        StrictError::Unreadable(source) => unreadable(source),
        source => SecretError::NotOurs {
            path: path.to_owned(),
            source,
        },
    })?;
    let mut bytes = key_buffer();
    opened
        .file
        .take(KEY_FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// Runs without a shell. Its words go nowhere: stdout is the key, and stderr of
/// a vault's client may quote it.
fn ask_command(argv: &[String], pass_env: &[String]) -> Result<KeyMaterial, SecretError> {
    let (program, args) = argv.split_first().unzip();
    let program = program.map_or("", String::as_str);
    let failed = |what: &str| SecretError::Command {
        program: program.to_owned(),
        what: what.to_owned(),
    };
    let tool = Tool::new(program).args(args.unwrap_or_default());
    let tool = tool.pass_env(pass_env);
    let output = ChildReader::spawn(&tool).map_err(|_| failed("cannot be started"))?;
    let (send, printed) = mpsc::channel();
    let wait = move || {
        let mut bytes = key_buffer();
        let read = output
            .take(KEY_FILE_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes);
        // Nobody waits any more where it took too long.
        let _ = send.send(read.map(|_| bytes));
    };
    let thread = thread::Builder::new().name("key".to_owned());
    let waiting = thread.spawn(wait);
    waiting.map_err(|_| failed("cannot be waited for: there is no thread for that"))?;
    match printed.recv_timeout(COMMAND_TIME) {
        Ok(Ok(bytes)) => key_of_bytes(&bytes, &format!("what {program} prints")),
        Ok(Err(_)) => Err(failed("did not exit with 0")),
        Err(_) => {
            // Keys are asked for before anything else is started.
            terminate_all(Duration::from_secs(1));
            Err(failed("has not printed the key and ended within 60 s"))
        }
    }
}

/// Reserved whole: growing would leave copies of the key behind.
fn key_buffer() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX + 1))
}

fn key_of_bytes(bytes: &[u8], place: &str) -> Result<KeyMaterial, SecretError> {
    let wrong = |source| SecretError::Key {
        place: place.to_owned(),
        source,
    };
    if bytes.len() > KEY_FILE_BYTES_MAX {
        return Err(wrong(KeyTextError::TooLong));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| wrong(KeyTextError::NotUtf8))?;
    // Editors and `echo` end a file with one newline; that one is not the key.
    let text = text.strip_suffix('\n').unwrap_or(text);
    parse_key(text, place)
}

/// Writes a new key's text into a new file of mode 0600, durably. What exists is
/// never written over.
pub fn write_new_key(path: &Path, text: &str) -> Result<(), SecretError> {
    let unwritable = |source| SecretError::Unwritable {
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(unwritable)?;
    // Whatever the umask says.
    let written = file
        .set_permissions(Permissions::from_mode(0o600))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all());
    written.map_err(|source| {
        // Half a key must not be taken for one.
        let _ = std::fs::remove_file(path);
        unwritable(source)
    })
}

fn parse_key(text: &str, place: &str) -> Result<KeyMaterial, SecretError> {
    let wrong = |source| SecretError::Key {
        place: place.to_owned(),
        source,
    };
    let what = match text.chars().next_back() {
        Some('\n') => "a newline",
        Some('\r') => "a carriage return",
        Some(' ') => "a space",
        Some('\t') => "a tab",
        _ if is_nearly_a_key(text) => {
            let digits = text.len();
            return Err(wrong(KeyTextError::NearlyHex { digits }));
        }
        _ => {
            if let Some(what) = wrapping(text) {
                return Err(wrong(KeyTextError::Wrapped { what }));
            }
            return match KeyMaterial::parse(text) {
                // Two keys in one file would be a passphrase that nobody has.
                Ok(KeyMaterial::Passphrase(text)) if text.contains(['\n', '\r']) => {
                    Err(wrong(KeyTextError::SeveralLines))
                }
                Ok(material) => Ok(material),
                Err(KeyError::Empty) => Err(wrong(KeyTextError::Empty)),
                Err(KeyError::Age(what)) => Err(wrong(KeyTextError::Age(what))),
            };
        }
    };
    Err(wrong(KeyTextError::EndsWithSpace { what }))
}

/// A connection URL for people: its password, and those in its parameters,
/// become `***`. Where it is not clear what is a password, more is hidden; what
/// is no URL at all is hidden whole.
pub fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "***".to_owned();
    };
    // A password may hold a raw `/` or `?`: the last `@` is the one that counts.
    let (user_info, place) = rest
        .rsplit_once('@')
        .map_or((None, rest), |(user, place)| (Some(user), place));
    let user = user_info.map(|info| match info.split_once(':') {
        Some((user, _)) => format!("{user}:***@"),
        None => format!("{info}@"),
    });
    let (address, parameters) = place
        .split_once('?')
        .map_or((place, None), |(address, query)| (address, Some(query)));
    let user = user.unwrap_or_default();
    let mut shown = format!("{scheme}://{user}{address}");
    for (index, parameter) in parameters.iter().flat_map(|q| q.split('&')).enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("pass") => {
                shown.push_str(name);
                shown.push_str("=***");
            }
            _ => shown.push_str(parameter),
        }
    }
    shown
}

/// Whether [`mask_url`] has something to hide.
pub fn has_password(url: &str) -> bool {
    mask_url(url) != url
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn from_text(text: &str) -> Result<KeyMaterial, String> {
        let source = KeySource::Text {
            name: "BACKUP_ENCRYPTION_KEY",
            text: SecretText::new(text),
        };
        match load_key(Some(&source)) {
            Ok(Some(key)) => Ok(key),
            Ok(None) => Err("no key".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn key_file(bytes: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    fn from_file(bytes: &[u8], mode: u32) -> Result<KeyMaterial, SecretError> {
        let (_directory, path) = key_file(bytes, mode);
        load_key(Some(&KeySource::File(path))).map(|key| key.expect("a key"))
    }

    #[test]
    fn sixty_four_hex_digits_are_a_key_and_anything_else_a_passphrase() {
        assert!(matches!(from_text(HEX), Ok(KeyMaterial::Raw(_))));
        assert!(matches!(
            from_text("correct horse"),
            Ok(KeyMaterial::Passphrase(_))
        ));
    }

    #[test]
    fn white_space_at_the_end_is_refused_and_named() {
        for (end, what) in [
            ("\n", "newline"),
            ("\r", "carriage"),
            (" ", "space"),
            ("\t", "tab"),
        ] {
            let error = from_text(&format!("{HEX}{end}")).err().unwrap_or_default();
            assert!(
                error.contains(what) && error.contains("BACKUP_ENCRYPTION_KEY"),
                "{error}"
            );
            assert!(!error.contains(HEX), "the key is in the message");
        }
    }

    #[test]
    fn what_an_editor_or_a_shell_put_around_the_digits_is_refused_and_named() {
        let short = &HEX[1..];
        for (text, what) in [
            (format!("\u{feff}{HEX}"), "byte order mark"),
            (format!("\"{HEX}\""), "quotes"),
            (format!("'{HEX}'"), "quotes"),
            (format!(" {HEX}"), "white space"),
            (format!("0x{HEX}"), "0x"),
            (format!("\u{feff}\"0x{short}\""), "byte order mark"),
        ] {
            let error = from_file(text.as_bytes(), 0o600).err();
            let Some(SecretError::Key { source, .. }) = &error else {
                panic!("taken: {text}: {error:?}");
            };
            assert!(source.to_string().contains(what), "{source}");
            assert!(error.is_some_and(|it| it.hint().contains("remove it")));
        }
        for passphrase in ["\"quoted words\"", "0xdead", " words", "'"] {
            let taken = from_text(passphrase);
            assert!(
                matches!(taken, Ok(KeyMaterial::Passphrase(_))),
                "{passphrase}"
            );
        }
    }

    #[test]
    fn an_empty_key_is_refused() {
        assert_eq!(
            from_text("").err(),
            Some("the key in BACKUP_ENCRYPTION_KEY is empty".to_owned())
        );
        assert!(from_file(b"\n", 0o600).is_err());
    }

    #[test]
    fn one_newline_at_a_files_end_is_not_part_of_the_key() {
        let file = format!("{HEX}\n");
        assert!(matches!(
            from_file(file.as_bytes(), 0o600),
            Ok(KeyMaterial::Raw(_))
        ));
        let Ok(KeyMaterial::Passphrase(text)) = from_file(b"  two  words\n", 0o400) else {
            panic!("no passphrase");
        };
        assert_eq!(*text, "  two  words");
    }

    #[test]
    fn two_lines_are_no_passphrase() {
        let error = from_file(b"one\ntwo\n", 0o600).err().expect("accepted");
        assert!(error.to_string().contains("more than one line"), "{error}");
    }

    #[test]
    fn a_second_newline_or_a_carriage_return_at_a_files_end_is_refused() {
        assert!(from_file(b"secret\n\n", 0o600).is_err());
        assert!(from_file(b"secret\r\n", 0o600).is_err());
    }

    #[test]
    fn a_file_that_others_can_write_is_refused_with_the_remedy() {
        for mode in [0o602, 0o622, 0o666] {
            let error = from_file(HEX.as_bytes(), mode).err().expect("accepted");
            let hint = error.hint();
            assert!(hint.starts_with("chmod go-w /"), "{hint}");
        }
    }

    #[test]
    fn a_file_that_others_can_only_read_is_taken_as_containers_have_them() {
        for mode in [0o444, 0o640, 0o644] {
            assert!(from_file(HEX.as_bytes(), mode).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_link_to_an_open_file_is_refused_too() {
        let (directory, path) = key_file(HEX.as_bytes(), 0o646);
        let link = directory.path().join("link");
        symlink(path, &link).unwrap();
        assert!(load_key(Some(&KeySource::File(link))).is_err());
    }

    #[test]
    fn a_credential_is_not_judged_by_its_mode() {
        let (_directory, path) = key_file(HEX.as_bytes(), 0o440);
        assert!(load_key(Some(&KeySource::Credential(path))).is_ok());
    }

    #[test]
    fn a_long_or_binary_file_is_refused() {
        assert!(from_file(&[b'a'; KEY_FILE_BYTES_MAX + 1], 0o600).is_err());
        assert!(from_file(&[0xff, 0xfe, 0x00], 0o600).is_err());
    }

    #[test]
    fn passwords_in_urls_are_masked() {
        for (url, shown) in [
            ("postgres://u:pw@h/db", "postgres://u:***@h/db"),
            ("postgres://u:p@w/x?y@h:1/db", "postgres://u:***@h:1/db"),
            (
                "postgres://u@h/db?sslmode=require",
                "postgres://u@h/db?sslmode=require",
            ),
            (
                "postgres:///db?user=u&password=pw&sslPassword=x",
                "postgres:///db?user=u&password=***&sslPassword=***",
            ),
            ("host=h password=pw", "***"),
        ] {
            assert_eq!(mask_url(url), shown);
            assert_eq!(has_password(url), shown.contains("***"), "{url}");
        }
    }
}
