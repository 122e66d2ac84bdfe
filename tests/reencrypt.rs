//! `key rotate --reencrypt`: a backup is written anew under another data key. It
//! stays the same backup, and at no moment is there less of it than one.

use std::collections::BTreeSet;
use std::io;

use kluis::cancel::Cancel;
use kluis::catalog::{Backup, Catalog, Trust, read_whole};
use kluis::format::age::AgeIdentity;
use kluis::format::header::HeaderError;
use kluis::format::manifest::{Manifest, ProofLevel, Verification};
use kluis::format::manifest_file::ManifestFile;
use kluis::format::names::manifest_key;
use kluis::format::run_record::{RunRecord, RunStatus};
use kluis::operations::{
    Encryption, KeyOutcome, KeyPlan, KeysChanged, OperationError, Vault, keep, reencrypt, sweep,
};
use kluis::postgres::ClientSearch;
use kluis::storage::{MemoryStorage, Storage};
use kluis::wiring::{ArchivePrograms, check_target};

use crate::support::faulting::{FaultPlan, Faulting, Manner};
use crate::support::in_process::{Witness, at, back_up, prove, tree_of, vault};
use crate::support::rings::{
    Keys, archives, copied, counts, healthy, hex_key, names, opened, ring,
};

const TREE_BYTES: usize = 70_000;

fn filled(count: i64, encryption: Encryption, keys: &[&str]) -> MemoryStorage {
    let storage = MemoryStorage::new();
    let tree = tree_of(TREE_BYTES);
    let reporter = Witness::default();
    let vault = Vault {
        ring: ring(keys, &[]),
        ..vault(&storage, &reporter, "backup source")
    };
    for hour in 0..count {
        back_up(&vault, tree.path(), encryption, at(hour)).unwrap();
    }
    storage.clone()
}

/// `kluis key rotate --reencrypt`, with `--from` if a key is given.
fn anew(
    storage: &dyn Storage,
    writers: &[&str],
    from: Option<&str>,
    backups: &[&str],
) -> Result<KeysChanged, OperationError> {
    let reporter = Witness::default();
    let flags: Vec<&str> = from.into_iter().collect();
    let keys = Keys {
        writers,
        readers: &[],
        flags: &flags,
    };
    let (ring, configured) = keys.ring();
    let from = from.map(|_| configured);
    let vault = Vault {
        ring,
        ..vault(storage, &reporter, "key rotate")
    };
    let plan = KeyPlan {
        backups: backups.iter().map(|&backup| backup.to_owned()).collect(),
        configured,
        accepts_unsealed: false,
        dry_run: false,
    };
    let programs = ArchivePrograms::of_machine(ClientSearch::new(None, None), std::env::temp_dir());
    let check = |backup: &Backup| check_target(backup, &programs, &Cancel::default());
    reencrypt(&vault, from, &plan, at(2_000), &check)
}

fn failure(done: &KeysChanged) -> &OperationError {
    match &done.rows[..] {
        [row] => match &row.outcome {
            KeyOutcome::Failed(error) => error,
            other => panic!("{other:?}"),
        },
        rows => panic!("{} archives", rows.len()),
    }
}

/// Each backup of the catalogue: once, whole, and opened by one of the keys.
fn ids(storage: &dyn Storage, keys: &[&str]) -> BTreeSet<String> {
    let catalog = Catalog::load(storage, Trust::NoKey).unwrap();
    assert!(catalog.unreadable.is_empty());
    let mut ids = BTreeSet::new();
    let reporter = Witness::default();
    let vault = Vault {
        ring: ring(keys, &[]),
        ours: false,
        ..vault(storage, &reporter, "verify")
    };
    for backup in &catalog.backups {
        let file = backup.file.as_ref().expect("a manifest");
        prove(&vault, backup).unwrap();
        assert!(ids.insert(file.manifest.id.to_string()), "there twice");
    }
    ids
}

/// Archives and manifests: each has the other.
fn pairs(storage: &dyn Storage) -> usize {
    let keys: Vec<String> = storage
        .list("")
        .unwrap()
        .into_iter()
        .map(|o| o.key)
        .collect();
    let archives: Vec<&String> = keys.iter().filter(|key| key.ends_with(".enc")).collect();
    for archive in &archives {
        assert!(keys.contains(&manifest_key(archive)), "{archive} is alone");
    }
    assert_eq!(keys.len(), 2 * archives.len() + 1, "{keys:?}");
    archives.len()
}

fn manifest_of(storage: &dyn Storage, archive: &str) -> ManifestFile {
    ManifestFile::parse(&read_whole(storage, &manifest_key(archive), u64::MAX).unwrap()).unwrap()
}

#[test]
fn it_is_the_same_backup_under_another_data_key() {
    let (old, new) = (hex_key(1), hex_key(2));
    let recipient = AgeIdentity::generate().recipient().to_string();
    let storage = filled(1, Encryption::Kluis1, &[&old, &recipient, &hex_key(3)]);
    let before = archives(&storage).remove(0);
    let reporter = Witness::default();
    let keeping = vault(&storage, &reporter, "keep");
    let catalog = Catalog::load(&storage, Trust::NoKey).unwrap();
    keep(&keeping, &catalog.backups[0], true, at(1)).unwrap();
    let mut file = manifest_of(&storage, &before);
    file.state.verification = Some(Verification {
        level: ProofLevel::Restored,
        at: at(2),
        ok: true,
        detail: None,
    });
    storage
        .replace(&manifest_key(&before), &file.to_bytes().unwrap())
        .unwrap();
    let data = |archive: &str, key: &str| {
        let opened = opened(&storage, archive, &ring(&[key], &[])).unwrap();
        *opened.keys.data.expose()
    };
    let old_data = data(&before, &old);

    let done = anew(&storage, &[&new], Some(&old), &[]).unwrap();
    assert_eq!(counts(&done), [1, 0, 0, 0, 0]);
    let KeyOutcome::Changed(Some(note)) = &done.rows[0].outcome else {
        panic!("{:?}", done.rows[0].outcome);
    };
    assert!(note.starts_with("no longer opened by key "), "{note}");
    let after = archives(&storage).remove(0);
    assert_eq!(after, before.replace(".tar", "-2.tar"));
    assert_eq!(pairs(&storage), 1);
    assert_ne!(data(&after, &new), old_data);
    assert!(opened(&storage, &after, &ring(&[&old], &[])).is_none());
    let slots = names(&healthy(&storage, &after, &ring(&[&new], &[])));
    assert!(
        slots.len() == 2 && slots[1].contains(&recipient),
        "{slots:?}"
    );

    let renewed = manifest_of(&storage, &after);
    let (was, is) = (file.manifest, renewed.manifest);
    let from = is.reencrypted_from.as_ref().unwrap();
    assert_eq!(from.file, before);
    assert_eq!(from.sha256, was.stored.sha256);
    let same = Manifest {
        stored: was.stored.clone(),
        encryption: was.encryption.clone(),
        reencrypted_from: None,
        ..is.clone()
    };
    assert_eq!(same, was);
    assert!(renewed.state.pinned);
    let proof = renewed.state.verification.unwrap();
    assert_eq!((proof.level, proof.at), (ProofLevel::Verified, at(2_000)));
    assert_eq!(ids(&storage, &[&new]), BTreeSet::from([was.id.to_string()]));

    let again = anew(&storage, &[&new], Some(&old), &[]).unwrap();
    assert_eq!(counts(&again), [0, 1, 0, 0, 0]);
    assert_eq!(archives(&storage), [after]);
}

#[test]
fn a_host_that_only_knows_recipients_writes_anew_what_it_cannot_read_afterwards() {
    let old = hex_key(1);
    let identity = AgeIdentity::generate();
    let recipient = identity.recipient().to_string();
    let storage = filled(2, Encryption::Kluis1, &[&old]);
    let done = anew(&storage, &[&recipient], Some(&old), &[]).unwrap();
    assert_eq!(counts(&done), [2, 0, 0, 0, 0]);
    assert_eq!(ids(&storage, &[&identity.expose()]).len(), 2);
}

#[test]
fn legacy_archives_become_kluis1_and_unencrypted_ones_where_they_are_named() {
    let (old, new) = (hex_key(1), hex_key(2));
    let storage = filled(2, Encryption::Kanbu, &[&old]);
    // The old key is configured to read, as it was before kluis.
    let keys = [&*new];
    let reading = |backups: &[&str]| anew(&storage, &keys, Some(&old), backups);
    assert_eq!(counts(&reading(&[]).unwrap()), [2, 0, 0, 0, 0]);
    assert_eq!(ids(&storage, &[&new]).len(), 2);
    pairs(&storage);

    let plain = filled(2, Encryption::None, &[&new]);
    let before = archives(&plain);
    assert_eq!(
        counts(&anew(&plain, &keys, None, &[]).unwrap()),
        [0, 0, 0, 2, 0]
    );
    assert_eq!(archives(&plain), before);
    let done = anew(&plain, &keys, None, &[&before[0]]).unwrap();
    assert_eq!(counts(&done), [1, 0, 0, 0, 0]);
    let after = archives(&plain);
    assert!(after.contains(&format!("{}.enc", before[0])), "{after:?}");
    assert_eq!(ids(&plain, &keys).len(), 2);
}

#[test]
fn all_legacy_archives_with_a_manifest_are_meant_if_no_key_is_named() {
    let key = hex_key(1);
    let storage = filled(2, Encryption::Kanbu, &[&key]);
    let lone = archives(&storage).remove(0);
    storage.remove(&manifest_key(&lone)).unwrap();
    let done = anew(&storage, &[&key], None, &[]).unwrap();
    assert_eq!(counts(&done), [1, 0, 0, 1, 0]);
    let named = anew(&storage, &[&key], None, &[&lone]).unwrap();
    assert!(failure(&named).to_string().contains("kluis adopt"));
    assert!(archives(&storage).contains(&lone));
}

/// Changes the manifest's text, as an editor would.
fn edit(storage: &dyn Storage, archive: &str, from: &str, to: &str) {
    let key = manifest_key(archive);
    let text = String::from_utf8(read_whole(storage, &key, u64::MAX).unwrap()).unwrap();
    let edited = text.replacen(from, to, 1);
    assert_ne!(edited, text);
    storage.replace(&key, edited.as_bytes()).unwrap();
}

/// What lies there: of manifests the names only, for the damage is noted in them.
fn names_and_archives(storage: &MemoryStorage) -> Vec<(String, Vec<u8>)> {
    let objects = storage.list("").unwrap().into_iter();
    let content = |key: &str| match key.ends_with(".json") {
        true => Vec::new(),
        false => read_whole(storage, key, u64::MAX).unwrap(),
    };
    objects
        .map(|it| (it.key.clone(), content(&it.key)))
        .collect()
}

#[test]
fn an_edited_manifest_is_not_sealed_anew() {
    let (old, new) = (hex_key(1), hex_key(2));
    let sealed = filled(1, Encryption::Kluis1, &[&old]);
    let legacy = filled(1, Encryption::Kanbu, &[&old]);
    let cases = [
        (&sealed, r#""host":"here""#, r#""host":"there""#),
        // Sealed by the configured key: what does not fit is not believed.
        (&legacy, r#""files":1"#, r#""files":2"#),
        (&legacy, r#""raw_bytes":"#, r#""raw_bytes":1"#),
    ];
    for (whole, from, to) in cases {
        let storage = copied(whole);
        let archive = archives(&storage).remove(0);
        edit(&storage, &archive, from, to);
        let before = names_and_archives(&storage);
        let done = anew(&storage, &[&new], Some(&old), &[]).unwrap();
        let error = failure(&done);
        let is_disbelieved = matches!(error, OperationError::Refused { .. });
        assert!(error.is_integrity() || is_disbelieved, "{from}: {done:?}");
        assert!(names_and_archives(&storage) == before, "{from}");
    }
}

#[test]
fn an_archive_that_no_key_opens_is_told_with_the_keys_that_it_wants() {
    let (old, new) = (hex_key(1), hex_key(2));
    let storage = filled(1, Encryption::Kluis1, &[&old]);
    let archive = archives(&storage).remove(0);
    let done = anew(&storage, &[&new], None, &[&archive]).unwrap();
    let wants_key = |error: &OperationError| {
        matches!(
            error,
            OperationError::Header {
                source: HeaderError::NoKey { .. },
                ..
            }
        )
    };
    assert!(wants_key(failure(&done)), "{done:?}");
}

#[test]
fn at_each_step_that_fails_the_backups_are_there_once_and_the_next_run_goes_on() {
    let (old, new) = (hex_key(1), hex_key(2));
    let whole = filled(2, Encryption::Kluis1, &[&old]);
    let known = ids(&whole, &[&old]);
    let counting = FaultPlan::count_only();
    let storage = Faulting::new(copied(&whole), counting.clone());
    anew(&storage, &[&new], Some(&old), &[]).unwrap();
    let steps = counting.steps_taken();
    let mut tried = 0;
    for manner in Manner::ALL {
        for step in 0..steps {
            let storage = copied(&whole);
            let plan = FaultPlan::fail_at(step, manner, io::ErrorKind::Other);
            let _ = anew(
                &Faulting::new(storage.clone(), plan),
                &[&new],
                Some(&old),
                &[],
            );
            let case = format!("{manner:?} at step {step} of {steps}");
            assert_eq!(ids(&storage, &[&old, &new]), known, "{case}");
            let catalog = Catalog::load(&storage, Trust::NoKey).unwrap();
            assert!(
                catalog.find("latest", jiff::Timestamp::MAX, "here").is_ok(),
                "{case}"
            );
            for id in &known {
                assert!(
                    catalog.find(id, jiff::Timestamp::MAX, "here").is_ok(),
                    "{case}"
                );
            }

            let done = anew(&storage, &[&new], Some(&old), &[]).unwrap();
            assert_eq!(counts(&done)[4], 0, "{case}: {done:?}");
            assert_eq!(ids(&storage, &[&new]), known, "{case}");
            assert_eq!(pairs(&storage), 2, "{case}");
            tried += 1;
        }
    }
    eprintln!("{tried} failures at {steps} steps: each backup there once, and whole");
}

/// As a crash leaves it between the new manifest and the old archive's end.
fn both_there(storage: &MemoryStorage, old: &str, new: &str) -> (String, String) {
    let before = archives(storage).remove(0);
    let saved = copied(storage);
    anew(storage, &[new], Some(old), &[]).unwrap();
    let after = archives(storage).remove(0);
    for key in [&before, &manifest_key(&before)] {
        let bytes = read_whole(&saved, key, u64::MAX).unwrap();
        storage.replace(key, &bytes).unwrap();
    }
    // Its run has not ended.
    let record = storage.list("runs/").unwrap().pop().unwrap().key;
    let bytes = read_whole(storage, &record, u64::MAX).unwrap();
    let mut running: RunRecord = serde_json::from_slice(&bytes).unwrap();
    running.status = RunStatus::Running;
    running.backup = Some(after.clone());
    let running = running.sealed(&ring(&[new], &[]), None);
    storage.replace(&record, &running.to_bytes()).unwrap();
    (before, after)
}

fn swept(storage: &dyn Storage, key: &str) -> Vec<String> {
    let reporter = Witness::default();
    let vault = Vault {
        ring: ring(&[key], &[]),
        ..vault(storage, &reporter, "prune")
    };
    sweep(&vault, at(3_000)).unwrap().names
}

#[test]
fn where_both_are_there_the_new_one_counts_and_the_next_sweep_removes_the_old() {
    let (old, new) = (hex_key(1), hex_key(2));
    // Under a key that opens neither, nothing is removed on the word of either.
    for (sweeper, knows) in [(&new, true), (&hex_key(9), false)] {
        let storage = filled(1, Encryption::Kluis1, &[&old]);
        let (before, after) = both_there(&storage, &old, &new);
        let catalog = Catalog::load(&storage, Trust::NoKey).unwrap();
        assert_eq!(catalog.backups.len(), 1);
        assert_eq!(
            catalog
                .find("latest", jiff::Timestamp::MAX, "")
                .unwrap()
                .backup()
                .archive,
            after
        );
        assert_eq!(
            catalog
                .find(&before, jiff::Timestamp::MAX, "")
                .unwrap()
                .backup()
                .archive,
            before
        );
        if !knows {
            assert_eq!(swept(&storage, sweeper), [""; 0]);
            assert_eq!(pairs(&storage), 2);
            continue;
        }
        assert_eq!(swept(&storage, sweeper), [before]);
        assert_eq!(archives(&storage), [after]);
        assert_eq!(pairs(&storage), 1);
    }
}

#[test]
fn an_old_archive_is_not_swept_while_the_new_one_is_not_whole() {
    let (old, new) = (hex_key(1), hex_key(2));
    let whole = filled(1, Encryption::Kluis1, &[&old]);
    let (before, after) = both_there(&whole, &old, &new);
    let payload = copied(&whole);
    let was = read_whole(&payload, &after, u64::MAX).unwrap();
    payload
        .overwrite(&after, 9_000, &was[9_000..9_008], &[0; 8])
        .unwrap();
    let edited = copied(&whole);
    edit(&edited, &after, r#""host":"here""#, r#""host":"hell""#);
    let other = copied(&whole);
    let sha256 = manifest_of(&other, &before).manifest.stored.sha256;
    edit(&other, &before, &sha256, &"0".repeat(64));
    for storage in [payload, edited, other] {
        assert!(swept(&storage, &new).is_empty());
        let there = storage.list("").unwrap();
        assert!(there.iter().any(|object| object.key == before));
        assert!(
            Catalog::load(&storage, Trust::NoKey)
                .unwrap()
                .find(&before, jiff::Timestamp::MAX, "")
                .is_ok()
        );
    }
    // Cut short, it does not even hide the old one.
    let cut = copied(&whole);
    let bytes = read_whole(&cut, &after, u64::MAX).unwrap();
    cut.replace(&after, &bytes[..bytes.len() - 1]).unwrap();
    assert!(archives(&cut).contains(&before));
    assert!(swept(&cut, &new).is_empty());
}
