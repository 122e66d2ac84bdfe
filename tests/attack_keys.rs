//! Keys that went missing, that cost too much to try, or that anybody has. Each
//! succeeds on 861f450.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use kluis::format::age::AgeIdentity;
use kluis::format::header::{ArchiveKeys, CopyName, FIRST_GENERATION, Header};
use kluis::format::keys::{SecretKey, derive_passphrase_key};
use kluis::format::signing::Signer;
use kluis::format::slots::Slot;
use zeroize::Zeroizing;

use crate::support::house::program;
use crate::support::planting::{archives, genuine, house, listed, made_elsewhere};

#[test]
fn without_the_key_that_the_backups_have_none_is_made_in_plain_text() {
    let house = house();
    genuine(&house);
    fs::create_dir(house.path("credentials")).unwrap();
    let backup = |flags: &[&str]| {
        let mut kluis = house.kluis();
        kluis.env_remove("BACKUP_ENCRYPTION_KEY");
        kluis.env("CREDENTIALS_DIRECTORY", house.path("credentials"));
        kluis.args(["backup", "source", "app"]).args(flags);
        kluis.output().unwrap()
    };
    let refused = backup(&[]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(archives(&house).len(), 1);
    // Who says it means it, unless the configuration says otherwise.
    assert!(backup(&["--no-encrypt"]).status.success());
    fs::write(house.path("kluis.toml"), "[encryption]\nrequired = true\n").unwrap();
    assert_eq!(backup(&["--no-encrypt"]).status.code(), Some(2));
    assert_eq!(archives(&house).len(), 2);
}

/// An archive that nobody can open, whose 8 slots take 10 million rounds each.
fn dear_archive() -> Vec<u8> {
    let mut header = Header {
        generation: FIRST_GENERATION,
        archive_id: [1; 16],
        salt: [2; 32],
        meta: br#"{"kind":"source","name":"app","created":"2020-11-01T12:00:00Z","codec":"gzip"}"#
            .to_vec(),
        slots: Vec::new(),
    };
    let key = || SecretKey::from_bytes([3; 32]);
    for number in 0..8 {
        let kdf = ([number; 16], 10_000_000);
        let (id, salt) = (&header.archive_id, &header.salt);
        let slot = Slot::passphrase(&key(), kdf, &key(), [0; 12], id, salt);
        header.slots.push(slot.unwrap());
    }
    let keys = ArchiveKeys::derive(key(), &header.archive_id, &header.salt, &header.meta);
    let copies = [CopyName::A, CopyName::B].map(|copy| header.encode(copy, &keys.header));
    let mut archive: Vec<u8> = copies.into_iter().flat_map(Result::unwrap).collect();
    archive.extend_from_slice(&[0; 1000]);
    archive
}

#[test]
fn slots_that_open_nothing_cost_a_run_no_minutes() {
    let house = house();
    genuine(&house);
    let planted = "app_source_2020-11-01T12-00-00.tar.gz.enc";
    fs::write(house.storage().join(planted), dear_archive()).unwrap();
    let mut kluis = house.command("sh");
    kluis.env("BACKUP_ENCRYPTION_KEY", "a passphrase of several words");
    // Seconds of processor time: of 80 million rounds a quarter, and something.
    let begun = std::time::Instant::now();
    drop(derive_passphrase_key("x", &[1; 16], 100_000));
    let seconds = 10 + begun.elapsed().as_millis() * 200 / 1000;
    let limited = format!("ulimit -t {seconds}; exec \"$@\"");
    kluis.args(["-c", &limited, "sh"]);
    kluis.arg(program()).args(["verify", planted]);
    let output = kluis.output().unwrap();
    assert_eq!(output.status.signal(), None, "{output:?}");
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("rounds"), "{said}");
}

#[test]
fn a_planted_salt_is_not_that_of_new_backups() {
    let house = house();
    let run = || {
        let mut kluis = house.kluis();
        kluis.env("BACKUP_ENCRYPTION_KEY", "a passphrase of several words");
        let output = kluis.args(["backup", "source", "app"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run();
    let marker = house.storage().join("kluis.json");
    let mut told: serde_json::Value = serde_json::from_slice(&fs::read(&marker).unwrap()).unwrap();
    told["passphrase_salt"] = "41".repeat(16).into();
    fs::write(&marker, told.to_string()).unwrap();
    // As many newer ones of somebody else's as any look at the newest would ask.
    let theirs = made_elsewhere(&house, &[], &[("BACKUP_ENCRYPTION_KEY", &"bb".repeat(32))]);
    for number in 10..22 {
        let planted = format!("app_source_2036-11-{number}T12-00-00.tar.gz.enc");
        fs::write(house.storage().join(planted), &theirs.archive).unwrap();
    }
    run();
    let holds_it = |name: &String| {
        let archive = fs::read(house.storage().join(name)).unwrap();
        archive.windows(16).any(|bytes| bytes == [0x41; 16])
    };
    let with = archives(&house).into_iter().filter(holds_it).count();
    assert_eq!(with, 0, "a new backup has the planted salt");
}

#[test]
fn what_anybody_encrypts_for_our_recipient_is_not_ours_where_hosts_sign() {
    let house = house();
    let recipient = AgeIdentity::generate().recipient().to_string();
    let signing = house.path("signing.key");
    let signer = Signer::generate(&Zeroizing::new([7; 32]));
    fs::write(&signing, signer.expose().as_bytes()).unwrap();
    fs::set_permissions(&signing, fs::Permissions::from_mode(0o600)).unwrap();
    let on_the_host = |arguments: &[&str]| {
        let mut kluis = house.kluis();
        kluis.env_remove("BACKUP_ENCRYPTION_KEY");
        kluis.env("BACKUP_AGE_RECIPIENTS", &recipient);
        kluis.env("BACKUP_SIGNING_KEY_FILE", &signing);
        let output = kluis.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    on_the_host(&["backup", "source", "app"]);
    let genuine = archives(&house);
    let planted = made_elsewhere(&house, &[], &[("BACKUP_AGE_RECIPIENTS", &recipient)]);
    planted.at("2036-11-01").put(&house);
    let shown = on_the_host(&["list", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
    let ours = shown["backups"].as_array().unwrap().iter();
    let ours: Vec<&str> = ours.map(|row| row["file"].as_str().unwrap()).collect();
    assert_eq!(ours, genuine);
}

#[test]
fn a_marker_beside_a_single_file_is_not_believed() {
    let house = house();
    genuine(&house);
    let other = house.path("other");
    fs::create_dir(&other).unwrap();
    let name = &listed(&house).0[0];
    fs::copy(house.storage().join(name), other.join(name)).unwrap();
    fs::write(other.join("kluis.json"), "{}").unwrap();
    let path = other.join(name);
    house.run(&["verify", path.to_str().unwrap()]);
    assert!(!other.join("runs").exists() && !other.join("kluis.lock").exists());
}
