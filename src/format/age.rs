//! age as a way to a data key: a binary age file around its 32 bytes, for one
//! X25519 recipient. A host that knows only recipients can write archives and
//! read none of them.
//!
//! age keeps its recipients anonymous. An archive must tell its operator which
//! key it wants, so the age header carries one stanza more, which names the
//! recipient in the clear; readers of age ignore stanzas that they do not know.

use std::collections::HashSet;
use std::fmt;
use std::io::{Read, Write};
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::{Decryptor, EncryptError, Encryptor, x25519};
use age_core::format::{FileKey, Stanza};
use zeroize::Zeroizing;

use super::keys::SecretKey;

/// Tag of the stanza that names the recipient.
const NAMING_TAG: &str = "kluis-recipient";
const IDENTITY_PREFIX: &str = "AGE-SECRET-KEY-1";
const RECIPIENT_PREFIX: &str = "age1";

/// The public half: enough to write archives, not to read them. Shown as
/// `age1...`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AgeRecipient(x25519::Recipient);

/// The secret half. No `Debug`, no `Clone`.
pub struct AgeIdentity(x25519::Identity);

impl fmt::Display for AgeRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AgeRecipient {
    type Err = &'static str;

    /// Takes `age1...` of the X25519 kind; says what is wrong with other text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self)
            .map_err(|_| "it is no X25519 recipient of age (age1...), or lost letters on its way")
    }
}

impl AgeIdentity {
    pub fn generate() -> Self {
        Self(x25519::Identity::generate())
    }

    /// The identity in an age identity file, or in its one line
    /// `AGE-SECRET-KEY-1...`. `None`: the text is no such file. The inner error
    /// says what is wrong with one.
    pub fn parse(text: &str) -> Option<Result<Self, &'static str>> {
        let meaning = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let mut lines = text.lines().map(str::trim).filter(meaning);
        let first = lines.next().filter(|l| l.starts_with(IDENTITY_PREFIX))?;
        if lines.next().is_some() {
            return Some(Err("it holds more than one age identity"));
        }
        let identity = first.parse().map(Self);
        Some(identity.map_err(|_| "its age identity lost letters on its way"))
    }

    /// `AGE-SECRET-KEY-1...`: for the file that keeps it, never for a message.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }

    pub fn recipient(&self) -> AgeRecipient {
        AgeRecipient(self.0.to_public())
    }

    /// The data key in an age file; `None` where this identity does not open it
    /// or it holds something else.
    pub(super) fn unwrap(&self, file: &[u8]) -> Option<SecretKey> {
        let decryptor = Decryptor::new_buffered(file).ok()?;
        let identity: &dyn age::Identity = &self.0;
        let content = decryptor.decrypt(std::iter::once(identity)).ok()?;
        // Reserved whole: growing would leave copies of the key behind.
        let mut data = Zeroizing::new(Vec::with_capacity(64));
        content.take(33).read_to_end(&mut data).ok()?;
        Some(SecretKey::from_bytes(data.as_slice().try_into().ok()?))
    }
}

impl AgeRecipient {
    /// Whether a key's text is meant as one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(RECIPIENT_PREFIX)
    }

    /// A binary age file that holds the data key.
    pub(super) fn wrap(&self, data: &SecretKey) -> Option<Vec<u8>> {
        let recipient: &dyn age::Recipient = &NamedRecipient(&self.0);
        let encryptor = Encryptor::with_recipients(std::iter::once(recipient)).ok()?;
        let mut file = Vec::with_capacity(512);
        let mut output = encryptor.wrap_output(&mut file).ok()?;
        output.write_all(data.expose()).ok()?;
        output.finish().ok()?;
        Some(file)
    }
}

/// The recipient as text, where the age file's header names it. Nothing
/// vouches for it but the archive's own header.
pub(super) fn named_recipient(file: &[u8]) -> Option<String> {
    let mut lines = file.split(|&byte| byte == b'\n');
    let naming = lines
        .by_ref()
        .take_while(|line| !line.starts_with(b"---"))
        .find_map(|line| line.strip_prefix(b"-> kluis-recipient "))?;
    let name = std::str::from_utf8(naming).ok()?;
    name.parse::<AgeRecipient>().ok().map(|r| r.to_string())
}

/// A recipient whose age files name it.
struct NamedRecipient<'a>(&'a x25519::Recipient);

impl age::Recipient for NamedRecipient<'_> {
    fn wrap_file_key(
        &self,
        file_key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let (mut stanzas, labels) = self.0.wrap_file_key(file_key)?;
        stanzas.push(Stanza {
            tag: NAMING_TAG.to_owned(),
            args: vec![self.0.to_string()],
            body: Vec::new(),
        });
        Ok((stanzas, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> SecretKey {
        SecretKey::from_bytes([7; 32])
    }

    #[test]
    fn a_data_key_comes_back_with_the_identity_and_names_its_recipient() {
        let identity = AgeIdentity::generate();
        let file = identity.recipient().wrap(&data()).unwrap();
        assert!(file.len() < 512, "{} bytes", file.len());
        assert_eq!(identity.unwrap(&file).unwrap().expose(), data().expose());
        assert_eq!(
            named_recipient(&file),
            Some(identity.recipient().to_string())
        );
        assert!(AgeIdentity::generate().unwrap(&file).is_none());
    }

    #[test]
    fn an_identity_file_is_one_and_other_text_is_not() {
        let identity = AgeIdentity::generate();
        let line = identity.expose();
        let file = format!("# created: today\n# public key: x\n{}\n", *line);
        for text in [&*file, &**line] {
            let parsed = AgeIdentity::parse(text).unwrap().ok().unwrap();
            assert!(parsed.recipient() == identity.recipient());
        }
        assert!(AgeIdentity::parse("correct horse").is_none());
        assert!(AgeIdentity::parse("").is_none());
        let cut = &line[..line.len() - 1];
        assert!(AgeIdentity::parse(cut).unwrap().is_err());
        let two = format!("{}\n{}", *line, *line);
        assert!(AgeIdentity::parse(&two).unwrap().is_err());
    }

    #[test]
    fn a_recipient_with_a_letter_changed_is_refused() {
        let recipient = AgeIdentity::generate().recipient().to_string();
        assert!(recipient.parse::<AgeRecipient>().is_ok());
        let mut changed = recipient.into_bytes();
        let last = changed.len() - 1;
        changed[last] = if changed[last] == b'q' { b'p' } else { b'q' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(changed.parse::<AgeRecipient>().is_err());
    }
}
