//! `kluis key generate`.

use zeroize::Zeroizing;

use crate::cli::KeyGenerate;
use crate::commands::session::Session;
use crate::exit::Exit;
use crate::format::age::AgeIdentity;
use crate::format::keys::SecretKey;
use crate::format::signing::Signer;
use crate::render::{GeneratedKey, KeyGenerateReport};
use crate::secrets::write_new_key;

pub fn generate(session: &Session<'_>, wanted: &KeyGenerate) -> anyhow::Result<Exit> {
    let (text, key) = match (wanted.age, wanted.signing) {
        (true, _) => age_identity(session),
        (_, true) => signing_key()?,
        _ => raw_key()?,
    };
    write_new_key(&wanted.output, &text)?;
    session.print(&KeyGenerateReport {
        file: wanted.output.display().to_string(),
        key,
    })?;
    Ok(Exit::Done)
}

fn raw_key() -> anyhow::Result<(Zeroizing<String>, GeneratedKey)> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut())?;
    let text = Zeroizing::new(format!(
        "{}\n",
        *Zeroizing::new(hex::encode(bytes.as_ref()))
    ));
    let key_id = SecretKey::from_bytes(*bytes).id().to_string();
    Ok((text, GeneratedKey::Key { key_id }))
}

fn signing_key() -> anyhow::Result<(Zeroizing<String>, GeneratedKey)> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut())?;
    let signer = Signer::generate(&bytes);
    let text = Zeroizing::new(format!("{}\n", *signer.expose()));
    let verify_key = signer.verifier().to_string();
    Ok((text, GeneratedKey::Signing { verify_key }))
}

/// As age-keygen writes it, for age's own programs.
fn age_identity(session: &Session<'_>) -> (Zeroizing<String>, GeneratedKey) {
    let identity = AgeIdentity::generate();
    let recipient = identity.recipient().to_string();
    let text = Zeroizing::new(format!(
        "# created: {:.0}\n# public key: {recipient}\n{}\n",
        session.now,
        *identity.expose()
    ));
    (text, GeneratedKey::Age { recipient })
}
