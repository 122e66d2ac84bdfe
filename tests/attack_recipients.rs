//! Somebody who can write to the storage, has no key, and read the recipient out of a
//! header. What he makes for it opens, and is his. Each of these attacks succeeded once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use hmac::{Hmac, KeyInit, Mac};
use kluis::format::age::AgeIdentity;
use kluis::format::header;
use kluis::format::keyring::{KeyMaterial, Keyring, NamedKey};
use kluis::format::manifest::{Codec, Manifest, ProofLevel, Verification};
use kluis::format::manifest_file::{ManifestFile, SealedBy};
use kluis::format::signing::Signer;
use kluis::pipeline::{ArchiveMeta, Envelope, Sealing, new_archive, seal};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::support::house::House;
use crate::support::planting;
use crate::support::planting::{Planted, archives, made_elsewhere, manifest_of};

const THEIRS: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// A house with an age identity in `id1`, a raw key in `k1`, and a key that signs.
struct Keyed {
    house: House,
    recipient: String,
}

/// Which keys a command has.
#[derive(Clone, Copy, PartialEq)]
enum Has {
    Identity,
    RawAndIdentity,
    IdentityAndSigner,
    All,
}

fn keyed() -> Keyed {
    let house = planting::house();
    let identity = AgeIdentity::generate();
    let recipient = identity.recipient().to_string();
    let secret = |name: &str, text: &str| {
        fs::write(house.path(name), text).unwrap();
        fs::set_permissions(house.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    secret("id1", identity.expose().as_ref());
    secret(
        "k1",
        &"c0ffee"
            .repeat(10)
            .chars()
            .chain("0123".chars())
            .collect::<String>(),
    );
    let signer = Signer::generate(&Zeroizing::new([7; 32]));
    secret("signing.key", signer.expose().as_ref());
    Keyed { house, recipient }
}

impl Keyed {
    fn path(&self, name: &str) -> PathBuf {
        self.house.path(name)
    }

    fn run(&self, has: Has, arguments: &[&str], code: i32) -> Output {
        let mut kluis = self.house.kluis();
        kluis.env_remove("BACKUP_ENCRYPTION_KEY");
        match has {
            Has::RawAndIdentity | Has::All => {
                kluis.env("BACKUP_ENCRYPTION_KEY_FILE", self.path("k1"));
                kluis.env("BACKUP_READ_KEY_FILES", self.path("id1"));
            }
            Has::Identity | Has::IdentityAndSigner => {
                kluis.env("BACKUP_ENCRYPTION_KEY_FILE", self.path("id1"));
            }
        }
        if matches!(has, Has::IdentityAndSigner | Has::All) {
            kluis.env("BACKUP_SIGNING_KEY_FILE", self.path("signing.key"));
        }
        let output = kluis.args(arguments).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        output
    }

    /// Backs `app` up with these keys, and gives the archive's name.
    fn genuine(&self, has: Has) -> String {
        let before = archives(&self.house);
        self.run(has, &["backup", "source", "app"], 0);
        let mut after = archives(&self.house);
        after.retain(|name| !before.contains(name));
        after.remove(0)
    }

    /// What he makes for the recipient and a key of his own, of a tree with a setuid
    /// file.
    fn theirs(&self) -> Planted {
        let keys = [
            ("BACKUP_ENCRYPTION_KEY", THEIRS),
            ("BACKUP_AGE_RECIPIENTS", &self.recipient),
        ];
        loop {
            let planted = made_elsewhere(&self.house, &[], &keys);
            // A name has whole seconds only.
            if !archives(&self.house).contains(&planted.file) {
                return planted;
            }
        }
    }

    fn text(&self, has: Has, arguments: &[&str], code: i32) -> String {
        String::from_utf8(self.run(has, arguments, code).stdout).unwrap()
    }

    /// Whether the raw key opens it.
    fn has_raw_slot(&self, archive: &str) -> bool {
        let key = fs::read_to_string(self.path("k1")).unwrap();
        let ring = Keyring::of(KeyMaterial::parse(&key).unwrap());
        let bytes = fs::read(self.house.storage().join(archive)).unwrap();
        header::open(&bytes[..8192], &ring).is_ok()
    }

    /// With its manifest to the byte, for that is what is sealed.
    fn put_theirs(&self) -> String {
        let file = self.theirs().file;
        for name in [file.clone(), format!("{file}.json")] {
            let made = self.path("elsewhere/storage").join(&name);
            fs::copy(made, self.house.storage().join(&name)).unwrap();
        }
        file
    }

    fn row(&self, has: Has, archive: &str) -> (&'static str, Value) {
        let output = self.run(has, &["list", "--json"], 0);
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = ["backups", "foreign"].into_iter().find_map(|part| {
            let mut rows = shown[part].as_array()?.iter();
            let row = rows.find(|row| row["file"] == archive)?;
            Some((part, row.clone()))
        });
        found.unwrap_or_else(|| panic!("{archive} is not in {shown}"))
    }
}

/// The signature stays right, for it is of the manifest alone.
#[test]
fn a_proof_sealed_by_the_key_of_an_archive_put_in_anothers_place_is_none() {
    let keyed = keyed();
    let signs = Has::IdentityAndSigner;
    let noise: Vec<u8> = (0..200_000_u32)
        .flat_map(|it| it.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    fs::write(keyed.path("app/noise"), noise).unwrap();
    let archive = keyed.genuine(signs);
    let path = keyed.house.storage().join(&archive);
    let bytes = fs::read(&path).unwrap().len();
    let mut theirs = keyed.theirs().archive;
    assert!(theirs.len() < bytes);
    theirs.resize(bytes, 0);
    let ring = Keyring::of(KeyMaterial::parse(THEIRS).unwrap());
    let opened = header::open(&theirs[..8192], &ring).unwrap();
    let manifest = keyed.house.storage().join(format!("{archive}.json"));
    let mut file = ManifestFile::parse(&fs::read(&manifest).unwrap()).unwrap();
    file.state.verification = Some(Verification {
        level: ProofLevel::Restored,
        at: jiff::Timestamp::now(),
        ok: true,
        detail: None,
    });
    let by = SealedBy::Archive(&opened.keys.manifest);
    file.seal_state(&by).unwrap();
    fs::write(&manifest, file.to_bytes().unwrap()).unwrap();
    fs::write(&path, theirs).unwrap();
    let (part, row) = keyed.row(signs, &archive);
    assert_eq!(part, "foreign", "{row}");
    assert_eq!(row["why"], "its seal does not fit: it was changed", "{row}");
    keyed.run(signs, &["verify", "--pending"], 4);
    assert!(manifest_of(&keyed.house, &archive)["state"]["verification"]["level"] != "verified");
}

/// An archive for the recipient that says of itself what `manifest` says, as long as the
/// genuine one, and the manifest sealed anew by its key: its signature is as it was.
fn in_its_place(keyed: &Keyed, archive: &str) {
    let path = keyed.house.storage().join(archive);
    let beside = keyed.house.storage().join(format!("{archive}.json"));
    let mut envelope: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(&fs::read(&beside).unwrap()).unwrap();
    let manifest: Manifest = serde_json::from_str(envelope["manifest"].get()).unwrap();
    let mut ring = Keyring::of(KeyMaterial::parse(THEIRS).unwrap());
    ring.push(NamedKey {
        label: "the recipient".to_owned(),
        material: KeyMaterial::parse(&keyed.recipient).unwrap(),
        writes: true,
    });
    let meta = ArchiveMeta {
        kind: manifest.kind,
        name: manifest.name.clone(),
        created: manifest.created_at,
        codec: manifest.content.codec,
    };
    let sealing = Sealing {
        codec: Codec::None,
        level: 0,
        workers: 1,
        envelope: Envelope::Kluis1(Box::new(new_archive(&ring, &meta, &[0; 16]).unwrap())),
        cancel: Default::default(),
    };
    let mut theirs = Vec::new();
    seal(&mut &b"theirs"[..], &mut theirs, sealing, &|_| {}).unwrap();
    let key = header::open(&theirs[..8192], &ring).unwrap().keys.manifest;
    theirs.resize(fs::metadata(&path).unwrap().len() as usize, 0);
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).unwrap();
    mac.update(envelope["manifest"].get().as_bytes());
    let seal = hex::encode(mac.finalize().into_bytes());
    envelope.insert("seal".to_owned(), to_raw_value(&seal).unwrap());
    let sealed_anew = serde_json::to_vec(&envelope).unwrap();
    let mut file = ManifestFile::parse(&sealed_anew).unwrap();
    file.state.verification = Some(Verification {
        level: ProofLevel::Restored,
        at: jiff::Timestamp::now(),
        ok: true,
        detail: None,
    });
    file.seal_state(&SealedBy::Archive(&key)).unwrap();
    fs::write(&beside, file.to_bytes().unwrap()).unwrap();
    fs::write(&path, theirs).unwrap();
}

#[test]
fn a_signed_manifest_sealed_anew_by_somebodys_archive_has_no_proof() {
    let keyed = keyed();
    let signs = Has::IdentityAndSigner;
    fs::write(keyed.path("app/noise"), [7; 50_000]).unwrap();
    let archive = keyed.genuine(signs);
    in_its_place(&keyed, &archive);
    let (_, row) = keyed.row(signs, &archive);
    assert_eq!(row["proof"], "stored", "{row}");
    // So it is looked at, and found.
    keyed.run(signs, &["verify", "--pending"], 4);
}

/// His says that it was written anew, and was not: what it hides could be removed.
#[test]
fn an_archive_for_the_recipient_takes_the_place_of_no_backup_of_its_id() {
    let keyed = keyed();
    let archive = keyed.genuine(Has::Identity);
    let mut genuine = manifest_of(&keyed.house, &archive);
    let theirs = keyed.theirs();
    let bytes = fs::read(keyed.path("elsewhere/storage").join(&theirs.file)).unwrap();
    let ring = Keyring::of(KeyMaterial::parse(THEIRS).unwrap());
    let key = header::open(&bytes[..8192], &ring).unwrap().keys.manifest;
    let mut manifest: Manifest =
        serde_json::from_value(theirs.manifest["manifest"].clone()).unwrap();
    let taken = genuine["manifest"].take();
    manifest.id = serde_json::from_value(taken["id"].clone()).unwrap();
    manifest.reencrypted_from = Some(
        serde_json::from_value(serde_json::json!({
            "file": archive, "sha256": taken["stored"]["sha256"], "times": 7,
        }))
        .unwrap(),
    );
    let file = ManifestFile::seal(manifest, &SealedBy::Archive(&key), None).unwrap();
    let storage = keyed.house.storage();
    fs::write(storage.join(&theirs.file), bytes).unwrap();
    fs::write(
        storage.join(format!("{}.json", theirs.file)),
        file.to_bytes().unwrap(),
    )
    .unwrap();
    let (part, row) = keyed.row(Has::Identity, &archive);
    assert_eq!(part, "backups", "{row}");
    let latest = keyed.text(Has::Identity, &["show", "latest", "--json"], 0);
    assert!(latest.contains(&archive), "{latest}");
}

#[test]
fn a_backup_that_opens_by_a_recipient_alone_is_foreign_beside_a_raw_key() {
    let keyed = keyed();
    let archive = keyed.genuine(Has::Identity);
    assert_eq!(keyed.row(Has::Identity, &archive).0, "backups");
    let (part, row) = keyed.row(Has::RawAndIdentity, &archive);
    assert_eq!(part, "foreign", "{row}");
}

/// The genuine ones are as little told from his: none is passed over in silence, for
/// who then throws the identity away loses them.
#[test]
fn no_change_of_keys_gives_what_a_recipient_alone_opens_a_raw_key() {
    let keyed = keyed();
    let genuine = keyed.genuine(Has::Identity);
    let theirs = keyed.put_theirs();
    let (from, k1) = (keyed.path("id1"), keyed.path("k1"));
    let (from, k1) = (from.to_str().unwrap(), k1.to_str().unwrap());
    let rotate = ["key", "rotate", "--from", from];
    let add = ["key", "add", "--key-file", k1, "--all"];
    let named = ["key", "add", "--key-file", k1, &theirs];
    let anew = [&rotate[..], &["--reencrypt"]].concat();
    for (arguments, count) in [(&rotate[..], 2), (&add, 2), (&named, 1), (&anew, 2)] {
        let said = keyed.text(Has::RawAndIdentity, arguments, 3);
        assert!(said.contains(&theirs), "{arguments:?}: {said}");
        assert!(count == 1 || said.contains(&genuine), "{said}");
    }
    assert!(!keyed.has_raw_slot(&theirs) && !keyed.has_raw_slot(&genuine));
    let known = [&rotate[..], &["--accept-unsealed", &genuine]].concat();
    keyed.run(Has::RawAndIdentity, &known, 0);
    assert_eq!(keyed.row(Has::RawAndIdentity, &genuine).0, "backups");
    assert_eq!(keyed.row(Has::RawAndIdentity, &theirs).0, "foreign");
}

/// He knows his archive's key, and seals another's signed manifest by it.
#[test]
fn a_signed_manifest_gives_an_archive_in_anothers_place_no_raw_key() {
    let keyed = keyed();
    let archive = keyed.genuine(Has::IdentityAndSigner);
    let theirs = keyed.theirs().archive;
    let ring = Keyring::of(KeyMaterial::parse(THEIRS).unwrap());
    let opened = header::open(&theirs[..8192], &ring).unwrap();
    let path = keyed.house.storage().join(&archive);
    let manifest = keyed.house.storage().join(format!("{archive}.json"));
    let text = fs::read_to_string(&manifest).unwrap();
    let file = ManifestFile::parse(text.as_bytes()).unwrap();
    let by = SealedBy::Archive(&opened.keys.manifest);
    let forged = ManifestFile::seal(file.manifest, &by, None).unwrap();
    let seal = |bytes: &[u8]| {
        let file: Value = serde_json::from_slice(bytes).unwrap();
        file["seal"].as_str().unwrap().to_owned()
    };
    let forged = seal(&forged.to_bytes().unwrap());
    fs::write(&manifest, text.replace(&seal(text.as_bytes()), &forged)).unwrap();
    let file = ManifestFile::parse(&fs::read(&manifest).unwrap()).unwrap();
    file.check_seal(&opened.keys.manifest).unwrap();
    fs::write(&path, &theirs).unwrap();
    let from = keyed.path("id1");
    let rotate = ["key", "rotate", "--from", from.to_str().unwrap()];
    assert!(keyed.text(Has::All, &rotate, 3).contains(&archive));
    let anew = [&rotate[..], &["--reencrypt"]].concat();
    keyed.run(Has::All, &anew, 4);
    assert!(!keyed.has_raw_slot(&archive));
    assert_eq!(archives(&keyed.house), [archive]);
}

#[test]
fn all_is_adopted_but_what_opens_by_a_recipient_alone() {
    let keyed = keyed();
    keyed.genuine(Has::IdentityAndSigner);
    let theirs = keyed.put_theirs();
    let manifest = keyed.house.storage().join(format!("{theirs}.json"));
    for with_manifest in [true, false] {
        if !with_manifest {
            fs::remove_file(&manifest).unwrap();
        }
        for has in [Has::IdentityAndSigner, Has::RawAndIdentity] {
            let said = keyed.text(has, &["adopt", "--all", "--json"], 0);
            let report: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(report["adopted"], serde_json::json!([]), "{report}");
            assert_eq!(keyed.row(has, &theirs).0, "foreign");
        }
    }
    let known = ["adopt", "--all", "--accept-unsealed"];
    keyed.run(Has::IdentityAndSigner, &known, 0);
    let row = keyed.row(Has::IdentityAndSigner, &theirs);
    assert_eq!(row.0, "backups");
}

#[test]
fn what_opens_by_a_recipient_alone_lends_no_rights() {
    let keyed = keyed();
    keyed.genuine(Has::IdentityAndSigner);
    let theirs = keyed.put_theirs();
    let manifest = keyed.house.storage().join(format!("{theirs}.json"));
    let (file, out) = (&*theirs, keyed.path("out"));
    let out = out.to_str().unwrap();
    for with_manifest in [true, false] {
        if !with_manifest {
            fs::remove_file(&manifest).unwrap();
        }
        for has in [Has::IdentityAndSigner, Has::RawAndIdentity] {
            keyed.run(has, &["restore", file, "--to", out, "--yes"], 2);
            keyed.run(has, &["verify", "--restore", file], 2);
            let known = ["--accept-unsealed", "--yes"];
            let restore = [&["restore", file, "--to", out][..], &known].concat();
            keyed.run(has, &restore, 0);
            let mode = fs::metadata(keyed.path("out/tool")).unwrap().permissions();
            assert_eq!(mode.mode() & 0o7777, 0o755);
            fs::remove_dir_all(keyed.path("out")).unwrap();
        }
    }
}
