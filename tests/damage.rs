//! A damage matrix through the whole of `verify`: bytes of a 256 KiB archive changed
//! in turn, the archive cut at every 97th length, every field of its manifest
//! changed. All of it is found, and a restore of what is damaged makes nothing
//! appear. `every_byte.rs` leaves no byte of a larger archive out.

use std::sync::atomic::{AtomicUsize, Ordering};

use kluis::catalog::{Catalog, Trust};
use kluis::format::manifest::Manifest;
use kluis::format::names::manifest_key;
use kluis::operations::{Encryption, OperationError, VerifyDone};
use kluis::storage::Storage;
use serde_json::Value;

use crate::support::damaged::{Damage, Damaged, Specimen, found, restore_into, verdict};
use crate::support::soak::step;

/// The content that makes an archive of 256 KiB with its 8 KiB of headers.
const CONTENT_BYTES: usize = 254_000;
const CUT_EVERY: usize = 97;
/// Bytes of both header copies.
const HEADS: usize = 8192;

/// From the catalogue on, as `kluis verify ARCHIVE` does.
fn looked_up_verdict(storage: &dyn Storage, archive: &str) -> Result<VerifyDone, OperationError> {
    let catalog = Catalog::load(storage, Trust::NoKey)?;
    verdict(
        storage,
        catalog
            .find(archive, jiff::Timestamp::MAX, "here")?
            .backup(),
    )
}

/// Verifies a copy with each damage, on every processor; returns those that were
/// not found.
fn missed(specimen: &Specimen, damages: &[Damage]) -> Vec<Damage> {
    let healthy = specimen.damaged();
    let catalog = Catalog::load(&healthy, Trust::NoKey).unwrap();
    let backup = catalog
        .find(&specimen.archive, jiff::Timestamp::MAX, "here")
        .unwrap()
        .backup();
    verdict(&healthy, backup).unwrap();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut missed = Vec::new();
    std::thread::scope(|scope| {
        let worker = || {
            let mut missed = Vec::new();
            while let Some(&damage) = damages.get(next.fetch_add(1, Ordering::Relaxed)) {
                let damaged = Damaged {
                    damage,
                    ..healthy.clone()
                };
                if !found(&verdict(&damaged, backup)) {
                    missed.push(damage);
                }
            }
            missed
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            missed.extend(worker.join().unwrap());
        }
    });
    missed
}

/// Every byte is changed once; each bit has its turn.
fn every_byte(len: usize) -> Vec<Damage> {
    (0..len).map(changed).collect()
}

fn changed(at: usize) -> Damage {
    Damage::Changed(at, 1 << (at % 8))
}

fn every_cut(len: usize) -> Vec<Damage> {
    (0..len).step_by(CUT_EVERY).map(Damage::Cut).collect()
}

/// All of the headers, a seventh of the rest in a soak: that each byte of a payload is
/// found is shown where it takes no whole reading for each.
#[test]
fn changed_bytes_of_an_encrypted_archive_are_found() {
    let specimen = Specimen::new(Encryption::Kluis1, CONTENT_BYTES);
    let len = specimen.damaged().bytes.len();
    assert!(len >= 256 << 10, "only {len} bytes");
    let heads = (0..HEADS).step_by(step());
    let payload = (HEADS..len).step_by(7 * step());
    let damages: Vec<Damage> = heads.chain(payload).map(changed).collect();
    let missed = missed(&specimen, &damages);
    let found = damages.len() - missed.len();
    eprintln!(
        "encrypted: {found} of {} changed bytes found",
        damages.len()
    );
    assert!(missed.is_empty(), "{missed:?}");
}

/// Held by the digests in the manifest alone; a sample, since it is the same code.
#[test]
fn changed_bytes_of_an_archive_that_is_not_kluis1_are_found() {
    for encryption in [Encryption::None, Encryption::Kanbu] {
        let specimen = Specimen::new(encryption, CONTENT_BYTES);
        let len = specimen.damaged().bytes.len();
        let at_an_end = |at: usize| at < 256 || at + 256 >= len;
        let chosen = |damage: &Damage| match damage {
            Damage::Changed(at, _) => at_an_end(*at) || at % (31 * step()) == 0,
            _ => false,
        };
        let damages: Vec<Damage> = every_byte(len).into_iter().filter(chosen).collect();
        let missed = missed(&specimen, &damages);
        let found = damages.len() - missed.len();
        eprintln!(
            "{encryption:?}: {found} of {} changed bytes found",
            damages.len()
        );
        assert!(missed.is_empty(), "{missed:?}");
    }
}

#[test]
fn each_cut_of_an_archive_is_found() {
    for encryption in [Encryption::Kluis1, Encryption::None, Encryption::Kanbu] {
        let specimen = Specimen::new(encryption, CONTENT_BYTES);
        let cuts = every_cut(specimen.damaged().bytes.len());
        let missed = missed(&specimen, &cuts);
        eprintln!(
            "{encryption:?}: {} of {} cuts found",
            cuts.len() - missed.len(),
            cuts.len()
        );
        assert!(missed.is_empty(), "{encryption:?}: {missed:?}");
    }
}

#[test]
fn a_restore_of_a_damaged_archive_makes_nothing_appear() {
    for encryption in [Encryption::Kluis1, Encryption::None] {
        let specimen = Specimen::new(encryption, CONTENT_BYTES);
        let healthy = specimen.damaged();
        let catalog = Catalog::load(&healthy, Trust::NoKey).unwrap();
        let backup = catalog
            .find(&specimen.archive, jiff::Timestamp::MAX, "here")
            .unwrap()
            .backup();
        let len = healthy.bytes.len();
        let heads = if encryption == Encryption::None {
            0
        } else {
            HEADS
        };
        // Behind the headers: of those one copy may be damaged, and it restores.
        let changed = every_byte(len).into_iter().skip(heads).step_by(1_009);
        let cuts = every_cut(len).into_iter().step_by(13);
        let mut restores = 0;
        for damage in changed.chain(cuts) {
            let parent = tempfile::tempdir().unwrap();
            let damaged = Damaged {
                damage,
                ..healthy.clone()
            };
            let result = restore_into(&damaged, backup, &parent.path().join("here"));
            let refused = result.as_ref().is_err_and(OperationError::is_integrity);
            assert!(refused, "{encryption:?} {damage:?}: {result:?}");
            let there = std::fs::read_dir(parent.path()).unwrap().count();
            assert_eq!(there, 0, "{encryption:?} {damage:?}");
            restores += 1;
        }
        let parent = tempfile::tempdir().unwrap();
        restore_into(&healthy, backup, &parent.path().join("here")).unwrap();
        eprintln!("{encryption:?}: {restores} restores of damaged archives, nothing appeared");
    }
}

/// One edit of a manifest: the place of the field, and the new document.
type Edit = (String, Value);

/// Every field changed to another value of its kind, and every field removed.
fn edits(document: &Value) -> Vec<Edit> {
    let mut places = Vec::new();
    leaves(document, String::new(), &mut places);
    let mut edits = Vec::new();
    for place in places {
        let mut changed = document.clone();
        let field = changed.pointer_mut(&place).unwrap();
        *field = another(field);
        edits.push((format!("{place} changed"), changed));
        let (parent, name) = place.rsplit_once('/').unwrap();
        let mut removed = document.clone();
        match removed.pointer_mut(parent).unwrap() {
            Value::Object(fields) => drop(fields.remove(name)),
            Value::Array(items) => drop(items.remove(name.parse().unwrap())),
            other => panic!("{other} has no fields"),
        }
        edits.push((format!("{place} removed"), removed));
    }
    edits
}

fn leaves(value: &Value, place: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => fields
            .iter()
            .for_each(|(name, field)| leaves(field, format!("{place}/{name}"), found)),
        Value::Array(items) if !items.is_empty() => {
            (0..items.len()).for_each(|n| leaves(&items[n], format!("{place}/{n}"), found))
        }
        _ => found.push(place),
    }
}

/// Another value that the field's type takes, where there is one.
fn another(value: &Value) -> Value {
    match value {
        Value::Bool(it) => (!it).into(),
        Value::Number(it) => (it.as_u64().unwrap() + 1).into(),
        Value::Array(_) => vec!["more"].into(),
        Value::String(it) => match it.as_str() {
            "source" => "db".into(),
            "gzip" => "zstd".into(),
            "MANUAL" => "EXTERNAL".into(),
            it => match it.parse::<jiff::Timestamp>() {
                Ok(at) => (at + jiff::SignedDuration::from_secs(1)).to_string().into(),
                Err(_) if it.ends_with('0') => format!("{}1", &it[..it.len() - 1]).into(),
                Err(_) => format!("{}0", &it[..it.len() - 1]).into(),
            },
        },
        other => panic!("no other value for {other}"),
    }
}

/// The document as kluis writes it, so that only the edit differs; as it stands
/// where kluis would not write such a thing.
fn written(document: &Value) -> String {
    match serde_json::from_value::<Manifest>(document.clone()) {
        Ok(manifest) => serde_json::to_string(&manifest).unwrap(),
        Err(_) => document.to_string(),
    }
}

/// Edits of the manifest that `verify` does not find, by the places of the fields.
fn missed_edits(specimen: &Specimen) -> (usize, Vec<String>) {
    let original = String::from_utf8(specimen.manifest()).unwrap();
    let file: Value = serde_json::from_str(&original).unwrap();
    let immutable = written(&file["manifest"]);
    assert!(original.contains(&immutable), "not written the same way");
    let edits = edits(&file["manifest"]);
    let mut missed = Vec::new();
    for (place, document) in &edits {
        let edited = original.replace(&immutable, &written(document));
        assert_ne!(edited, original, "{place}");
        put(specimen, edited.as_bytes());
        if !found(&looked_up_verdict(&specimen.storage, &specimen.archive)) {
            missed.push(place.clone());
        }
    }
    put(specimen, original.as_bytes());
    looked_up_verdict(&specimen.storage, &specimen.archive).unwrap();
    (edits.len(), missed)
}

fn put(specimen: &Specimen, manifest: &[u8]) {
    let key = manifest_key(&specimen.archive);
    specimen.storage.replace(&key, manifest).unwrap();
}

#[test]
fn each_edited_field_of_a_sealed_manifest_is_found() {
    let (edits, missed) = missed_edits(&Specimen::new(Encryption::Kluis1, CONTENT_BYTES));
    eprintln!("sealed: {} of {edits} edits found", edits - missed.len());
    assert_eq!(missed, [""; 0]);
}

/// What an unsealed manifest says and the archive does not: where it came from, what
/// was left out of it. Nothing that a restore needs.
const UNCHECKED: &[&str] = &[
    "/gzip_index/",
    "/host",
    "/id",
    "/label",
    "/source/changed",
    "/source/excludes",
    "/source/root",
    "/source/special",
    "/source/unreadable",
    "/source/vanished",
    "/tool_version",
    "/trigger",
];

/// Without a key nothing can be sealed: what is found is what the archive itself
/// says otherwise. Whoever can write there can write both.
#[test]
fn of_an_unencrypted_manifest_what_the_archive_contradicts_is_found() {
    let (edits, missed) = missed_edits(&Specimen::new(Encryption::None, CONTENT_BYTES));
    eprintln!("unsealed: {} of {edits} edits found", edits - missed.len());
    let place = |edit: &String| edit.split(' ').next().unwrap().to_owned();
    let told = |edit: &&String| UNCHECKED.iter().any(|it| place(edit).starts_with(it));
    let untold: Vec<&String> = missed.iter().filter(|edit| !told(edit)).collect();
    assert!(untold.is_empty(), "{untold:?}");
}

#[test]
fn a_seal_that_is_edited_or_removed_is_found() {
    let specimen = Specimen::new(Encryption::Kluis1, CONTENT_BYTES);
    let original = String::from_utf8(specimen.manifest()).unwrap();
    let file: Value = serde_json::from_str(&original).unwrap();
    let seal = file["seal"].as_str().unwrap();
    let mut edited = vec![
        original.replace(&format!("\"seal\":\"{seal}\","), ""),
        original.replace(&format!("\"{seal}\""), "null"),
        original.replace(seal, ""),
        original.replace(seal, &seal[..62]),
        original.replace(seal, &seal.replace(|_| true, "0")),
    ];
    for at in 0..seal.len() {
        let other = if &seal[at..=at] == "0" { "1" } else { "0" };
        let changed = format!("{}{other}{}", &seal[..at], &seal[at + 1..]);
        edited.push(original.replace(seal, &changed));
    }
    for edited in edited {
        assert_ne!(edited, original);
        put(&specimen, edited.as_bytes());
        let result = looked_up_verdict(&specimen.storage, &specimen.archive);
        assert!(found(&result), "{result:?}: {edited}");
    }
}
