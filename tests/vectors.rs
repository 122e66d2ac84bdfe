//! Archives frozen for good, good and malformed ones, of two writers that share
//! nothing: Python's was made from kluis-archive(5) alone, and so was
//! `examples/decrypt.py`. The library, the binary and that script must agree on
//! every one, by the page's names of errors. `tests/data/vectors/index.json` says
//! what each of them is.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hex::ToHex;
use kluis::format::age::AgeRecipient;
use kluis::format::frames::{FrameError, FrameOpener, FrameSealer};
use kluis::format::header::{self, ArchiveKeys, CopyName, Header, HeaderError};
use kluis::format::keyring::{KeyMaterial, Keyring, NamedKey};
use kluis::format::keys::SecretKey;
use kluis::format::legacy::{LegacyError, LegacyWriter, legacy_key};
use kluis::format::slots::Slot;
use kluis::operations::{OperationError, Vault, decrypt};
use kluis::storage::LocalStorage;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::home::{Home, text};
use crate::support::in_process;
use crate::support::in_process::Witness;
use crate::support::programs;

/// Debian's: its package python3-cryptography is what an operator has.
const PYTHON: &str = "/usr/bin/python3";
const DECRYPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/decrypt.py");
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors");

#[derive(Deserialize)]
struct Vector {
    file: String,
    writer: String,
    keys: Vec<String>,
    size: Option<u64>,
    sha256: Option<String>,
    error: Option<String>,
    warning: Option<Warning>,
    needs: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Warning {
    copy: String,
    error: String,
}

/// What a reader makes of a vector.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// The content's size and SHA-256, or the page's name of the error.
    content: Result<(u64, String), String>,
    warning: Option<Warning>,
}

impl Vector {
    fn path(&self) -> PathBuf {
        Path::new(VECTORS).join(&self.file)
    }

    fn expected(&self) -> Outcome {
        let digest = self.size.zip(self.sha256.clone());
        Outcome {
            content: digest.ok_or_else(|| self.error.clone().unwrap()),
            warning: self.warning.clone(),
        }
    }

    /// What a reader says that cannot do what some vectors need.
    fn expected_without(&self, ability: &str) -> Outcome {
        match self.needs.as_deref() == Some(ability) {
            true => Outcome {
                content: Err("no-key".to_owned()),
                warning: None,
            },
            false => self.expected(),
        }
    }

    fn ring(&self) -> Keyring {
        let named = |text: &String| NamedKey {
            label: "the vector".to_owned(),
            material: KeyMaterial::parse(text).unwrap(),
            writes: false,
        };
        Keyring::new(self.keys.iter().map(named).collect())
    }

    /// Writes the keys into files of their own, one newline behind each.
    fn key_files(&self, directory: &Path) -> Vec<String> {
        let write = |(number, key): (usize, &String)| {
            let path = directory.join(format!("{}.key{number}", self.file));
            fs::write(&path, format!("{key}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            text(&path).to_owned()
        };
        self.keys.iter().enumerate().map(write).collect()
    }
}

fn vectors() -> Vec<Vector> {
    let index = fs::read(Path::new(VECTORS).join("index.json")).unwrap();
    serde_json::from_slice(&index).unwrap()
}

fn digest(content: &[u8]) -> (u64, String) {
    let sha256: String = Sha256::digest(content).encode_hex();
    (content.len() as u64, sha256)
}

/// All disagreements at once: one alone rarely tells the cause.
fn assert_none(disagreements: &[String]) {
    let count = disagreements.len();
    assert!(count == 0, "{count}:\n{}", disagreements.join("\n"));
}

// The page's ERROR NAMES.

fn name_of_header(error: &HeaderError) -> &'static str {
    match error {
        HeaderError::NotKluis => "not-kluis",
        HeaderError::Truncated { .. } => "truncated-header",
        HeaderError::UnknownVersion(_) => "unknown-version",
        HeaderError::UnknownSuite(_) => "unknown-suite",
        HeaderError::UnknownChunkSize(_) => "unknown-chunk-size",
        HeaderError::UnknownSlot(_) => "unknown-slot",
        HeaderError::Iterations(_) => "bad-iterations",
        HeaderError::Malformed(_) => "malformed-header",
        HeaderError::Forged => "header-hmac",
        HeaderError::CopiesConflict(_) => "copies-conflict",
        HeaderError::NoKey { .. } | HeaderError::TooCostly | HeaderError::DamagedSlot(_) => {
            "no-key"
        }
        HeaderError::Unwritable(what) => panic!("a reader writes: {what}"),
    }
}

fn name_of_frame(error: &FrameError) -> &'static str {
    match error {
        FrameError::Damaged { .. } => "chunk-damaged",
        FrameError::Truncated => "truncated",
        FrameError::DamagedEnd { .. } => "end-damaged",
        FrameError::Trailing => "trailing-data",
        FrameError::EmptyLast => "empty-last-chunk",
        FrameError::TooLong => "too-long",
        FrameError::Ended | FrameError::Refused => panic!("not a reader's: {error}"),
    }
}

fn name_of_legacy(error: &LegacyError) -> &'static str {
    match error {
        LegacyError::Truncated { .. } => "legacy-truncated",
        LegacyError::TooLarge => "too-long",
        LegacyError::Authentication => "legacy-authentication",
        LegacyError::Read(error) => panic!("{error}"),
    }
}

// The library.

fn vault<'a>(storage: &'a LocalStorage, witness: &'a Witness, ring: Keyring) -> Vault<'a> {
    Vault {
        ours: false,
        ring,
        ..in_process::vault(storage, witness, "decrypt")
    }
}

fn head(archive: &[u8]) -> &[u8] {
    &archive[..archive.len().min(8192)]
}

/// What the payload's chunks give before one of them does not open, and its error.
fn chunks_of(archive: &[u8], ring: &Keyring) -> (Vec<u8>, Option<&'static str>) {
    let mut released = Vec::new();
    let Ok(opened) = header::open(head(archive), ring) else {
        return (released, None);
    };
    let mut frames = FrameOpener::new(&archive[8192..], &opened.keys.payload);
    loop {
        match frames.next_chunk() {
            Ok([]) => return (released, None),
            Ok(chunk) => released.extend_from_slice(chunk),
            Err(error) => {
                let error = error.downcast::<FrameError>().unwrap();
                return (released, Some(name_of_frame(&error)));
            }
        }
    }
}

fn by_library(vector: &Vector, storage: &LocalStorage) -> Outcome {
    let (archive, witness) = (fs::read(vector.path()).unwrap(), Witness::default());
    let vault = vault(storage, &witness, vector.ring());
    let mut out = Vec::new();
    let content = match decrypt(&vault, &vector.file, &mut out, "memory") {
        Ok(_) => Ok(digest(&out)),
        Err(OperationError::Header { source, .. }) => Err(name_of_header(&source)),
        Err(OperationError::Legacy { source, .. }) => Err(name_of_legacy(&source)),
        // It is not encrypted.
        Err(OperationError::Usage { .. }) => Err("not-kluis"),
        Err(OperationError::Integrity { .. }) => Err(chunks_of(&archive, &vault.ring).1.unwrap()),
        Err(error) => panic!("{}: {error}", vector.file),
    };
    let opened = header::open(head(&archive), &vault.ring).ok();
    let damaged = opened.and_then(|opened| opened.damaged_copy);
    Outcome {
        content: content.map_err(str::to_owned),
        warning: damaged.map(|(copy, error)| Warning {
            copy: copy.to_string(),
            error: name_of_header(&error).to_owned(),
        }),
    }
}

#[test]
fn the_library_reads_every_vector_as_the_index_says() {
    let storage = LocalStorage::open(Path::new(VECTORS), false).unwrap();
    let mut disagreements = Vec::new();
    for vector in vectors() {
        let (found, expected) = (by_library(&vector, &storage), vector.expected());
        if found != expected {
            disagreements.push(format!("{}: {found:?}, not {expected:?}", vector.file));
        }
    }
    assert_none(&disagreements);
}

// The binary.

/// kluis takes such a text for a spoiled key, and does not begin with it.
fn is_refused(key: &str) -> bool {
    let digits = key.bytes().all(|byte| byte.is_ascii_hexdigit());
    key.ends_with([' ', '\t', '\r', '\n']) || (digits && key.len() != 64)
}

#[test]
fn the_binary_decrypts_the_good_ones_and_leaves_nothing_of_the_others() {
    let home = Home::new();
    let out = home.path("out");
    fs::create_dir(&out).unwrap();
    let mut disagreements = Vec::new();
    for vector in vectors() {
        let target = out.join("content");
        let files = vector.key_files(&home.path(""));
        let mut kluis = home.kluis(&["decrypt", text(&vector.path()), "-o", text(&target)]);
        kluis.env_remove("BACKUP_ENCRYPTION_KEY_FILE");
        if let Some((first, others)) = files.split_first() {
            kluis.env("BACKUP_ENCRYPTION_KEY_FILE", first);
            kluis.env("BACKUP_READ_KEY_FILES", others.join(":"));
        }
        let output = kluis.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = vector.expected();
        let code = match &expected.content {
            _ if vector.keys.iter().any(|key| is_refused(key)) => 2,
            Ok(_) => 0,
            Err(name) if name == "not-kluis" => 2,
            Err(_) => 4,
        };
        let content = fs::read(&target).ok();
        let is_right = match &expected.content {
            Ok(digest_) if code == 0 => content.as_deref().map(digest).as_ref() == Some(digest_),
            _ => content.is_none(),
        };
        // Where it fails, the failure is what is told.
        let is_told = code != 0
            || expected.warning.is_none_or(|warning| {
                let copy = warning.copy;
                said.contains(&format!("copy {copy} of its header"))
                    || said.contains(&format!("(copy {copy}: "))
            });
        let _ = fs::remove_file(&target);
        let left = fs::read_dir(&out).unwrap().count();
        if output.status.code() != Some(code) || !is_right || !is_told || left != 0 {
            let file = &vector.file;
            disagreements.push(format!(
                "{file}: exit {:?}, not {code}; content right: {is_right}; warned: {is_told}; \
                 {left} left behind: {said}",
                output.status.code()
            ));
        }
    }
    assert_none(&disagreements);
}

// The script.

/// Whether Debian's Python and its cryptography are here; where not, the test
/// says so, and fails with CI=true.
fn python_is_here() -> bool {
    let mut python = Command::new(PYTHON);
    python.args(["-c", "import cryptography"]);
    if python.output().is_ok_and(|output| output.status.success()) {
        return true;
    }
    let required = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!required, "{PYTHON} has no cryptography");
    eprintln!("skipped: {PYTHON} has no cryptography");
    false
}

/// Runs decrypt.py once for each line of stdin, a JSON array of arguments, in one
/// process: starting Python takes longer than most vectors. Prints exit code and
/// stderr of each.
const RUN_EACH: &str = r#"
import contextlib, importlib.util, io, json, sys
spec = importlib.util.spec_from_file_location("decrypt", sys.argv[1])
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
for line in sys.stdin:
    sys.argv[1:] = json.loads(line)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            code = script.main()
        except SystemExit as stop:
            code = stop.code
    print(json.dumps([code, said.getvalue()]), flush=True)
"#;

/// What decrypt.py said: the error's and the warning's names. Anything but one
/// line for each is a panic.
fn names_told(said: &str) -> (Option<String>, Option<Warning>) {
    let (mut error, mut warning) = (None, None);
    for line in said.lines() {
        let mut parts = line.splitn(3, ": ");
        let (kind, name, words) = (parts.next(), parts.next(), parts.next());
        let (name, words) = (name.unwrap().to_owned(), words.unwrap());
        match kind.unwrap() {
            "error" if error.is_none() => error = Some(name),
            "warning" if warning.is_none() => {
                let copy = words.strip_prefix("copy ").unwrap()[..1].to_owned();
                warning = Some(Warning { copy, error: name });
            }
            _ => panic!("{said}"),
        }
    }
    (error, warning)
}

#[test]
fn decrypt_py_reads_every_vector_as_the_index_says_and_leaves_nothing_behind() {
    if !python_is_here() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    fs::create_dir(&out).unwrap();
    let runs = place.path().join("runs");
    let mut lines = String::new();
    for vector in vectors() {
        let mut arguments = vec![text(&vector.path()).to_owned()];
        arguments.extend(["-o".to_owned(), text(&out.join(&vector.file)).to_owned()]);
        for file in vector.key_files(place.path()) {
            arguments.extend(["--key-file".to_owned(), file]);
        }
        lines += &format!("{}\n", json!(arguments));
    }
    fs::write(&runs, lines).unwrap();
    let mut python = Command::new(PYTHON)
        .args(["-c", RUN_EACH, DECRYPT])
        .env_remove("BACKUP_ENCRYPTION_KEY")
        .env_remove("BACKUP_ENCRYPTION_KEY_FILE")
        .stdin(Stdio::from(File::open(&runs).unwrap()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = BufReader::new(python.stdout.take().unwrap()).lines();
    let mut disagreements = Vec::new();
    let mut made = BTreeSet::new();
    for vector in vectors() {
        let answer = answers.next().unwrap().unwrap();
        let (code, said): (i32, String) = serde_json::from_str(&answer).unwrap();
        let (error, warning) = names_told(&said);
        let content = fs::read(out.join(&vector.file));
        let expected = vector.expected_without("age");
        let found = Outcome {
            content: match error {
                Some(name) => Err(name),
                None => Ok(digest(content.as_ref().unwrap())),
            },
            warning,
        };
        if found.content.is_ok() {
            made.insert(vector.file.clone());
        }
        let fits = code == if found.content.is_ok() { 0 } else { 4 };
        if found != expected || !fits {
            let file = &vector.file;
            disagreements.push(format!("{file}: exit {code}, {found:?}, not {expected:?}"));
        }
    }
    assert!(python.wait().unwrap().success());
    assert_none(&disagreements);
    let entries = fs::read_dir(&out).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let there: BTreeSet<String> = entries.map(name).collect();
    assert_eq!(there, made, "outputs of malformed archives, or temporaries");
}

/// decrypt.py as an operator runs it, with the vector's keys.
fn script(vector: &Vector, place: &Path) -> Command {
    let mut command = Command::new(PYTHON);
    command.arg(DECRYPT).arg(vector.path());
    for file in vector.key_files(place) {
        command.args(["--key-file", &file]);
    }
    command.env_remove("BACKUP_ENCRYPTION_KEY");
    command.env_remove("BACKUP_ENCRYPTION_KEY_FILE");
    command
}

#[test]
fn decrypt_py_writes_to_stdout_what_was_authenticated_and_not_a_byte_more() {
    if !python_is_here() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mut partial = 0;
    for vector in vectors() {
        let in_payload = [
            "chunk-damaged",
            "truncated",
            "end-damaged",
            "trailing-data",
            "empty-last-chunk",
            "header-hmac",
            "legacy-authentication",
        ];
        let Some(error) = vector.error.as_deref() else {
            continue;
        };
        if !in_payload.contains(&error) {
            continue;
        }
        let output = script(&vector, place.path())
            .args(["-o", "-"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{}: {said}", vector.file);
        assert_eq!(names_told(&said).0.as_deref(), Some(error));
        let archive = fs::read(vector.path()).unwrap();
        let (authenticated, _) = chunks_of(&archive, &vector.ring());
        partial += usize::from(!authenticated.is_empty());
        assert!(output.stdout == authenticated, "{}", vector.file);
    }
    assert!(partial > 5, "{partial} that break behind a whole chunk");
}

#[test]
fn decrypt_py_keeps_what_lies_at_its_target() {
    if !python_is_here() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("taken");
    fs::write(&target, "mine").unwrap();
    let vectors = vectors();
    let good = vectors.iter().find(|vector| vector.file == "raw-1.enc");
    let output = script(good.unwrap(), place.path())
        .arg("-o")
        .arg(&target)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_to_string(target).unwrap(), "mine");
}

#[test]
fn decrypt_py_takes_the_key_from_the_environment_and_legacy_by_its_flag() {
    if !python_is_here() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let unnamed = place.path().join("file");
    let vectors = vectors();
    let legacy = vectors
        .iter()
        .find(|vector| vector.file == "legacy-page-raw.enc");
    fs::copy(legacy.unwrap().path(), &unnamed).unwrap();
    let run = |flags: &[&str]| {
        let mut command = Command::new(PYTHON);
        command
            .arg(DECRYPT)
            .arg(&unnamed)
            .args(["-o", "-"])
            .args(flags);
        command.env_remove("BACKUP_ENCRYPTION_KEY_FILE");
        let key = &legacy.unwrap().keys[0];
        command.env("BACKUP_ENCRYPTION_KEY", key).output().unwrap()
    };
    let output = run(&["--legacy"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout, b"SELECT 2;\n");
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("error: not-kluis: "), "{said}");
}

#[test]
fn the_hint_of_decrypt_py_opens_an_age_slot() {
    if !python_is_here() || !programs::are_here(&["age"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let vectors = vectors();
    let vector = vectors.iter().find(|v| v.file == "page-age.enc").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = script(vector, place.path());
        let command = command.args(["-o", "-"]).args(arguments);
        command.output().unwrap()
    };
    let said = String::from_utf8(run(&[]).stderr).unwrap();
    assert!(said.starts_with("error: no-key: "), "{said}");
    assert!(said.contains("age1fylg9lr5ge99jf5gza3r6gznch4cutxy4xytflhp08kxkqgd2vwskusw5c"));
    let identity = place.path().join("page-age.enc.key0");
    let data_key = place.path().join("data key");
    let shell = said
        .split('`')
        .nth(1)
        .unwrap()
        .replace("IDENTITY", text(&identity))
        .replace("DATA_KEY", &format!("'{}'", text(&data_key)));
    let status = Command::new("sh").args(["-c", &shell]).status().unwrap();
    assert!(status.success(), "{shell}");
    let output = run(&["--data-key-file", text(&data_key)]);
    assert_eq!(output.stdout, b"SELECT 1;\n", "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn decrypt_py_reads_what_the_binary_writes() {
    if !python_is_here() {
        return;
    }
    let tree = in_process::tree_of(2 << 20);
    for (key, flags) in [
        ("5a".repeat(32), &["--codec", "none"][..]),
        (
            "a passphrase – ünïcode".to_owned(),
            &["--codec", "zstd"][..],
        ),
        ("5a".repeat(32), &["--format", "kanbu"][..]),
    ] {
        let home = Home::with_key(&key);
        let settings = "[encryption]\nformat = \"kanbu\"\n";
        let (home, flags) = match flags[0] == "--format" {
            true => (home.configure(settings), &[][..]),
            false => (home, flags),
        };
        let arguments = [&["backup", "source", text(tree.path())], flags].concat();
        let done = home.json(&arguments);
        let file = done["backups"][0]["file"].as_str().unwrap();
        let archive = home.storage().join(file);
        let (ours, theirs) = (home.path("ours"), home.path("theirs"));
        home.run(&["decrypt", text(&archive), "-o", text(&ours)]);
        let mut python = Command::new(PYTHON);
        python.arg(DECRYPT).arg(&archive).arg("-o").arg(&theirs);
        python.env_remove("BACKUP_ENCRYPTION_KEY");
        python.env("BACKUP_ENCRYPTION_KEY_FILE", home.path("key"));
        let output = python.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(
            fs::read(ours).unwrap() == fs::read(theirs).unwrap(),
            "{file}"
        );
    }
}

// The frozen files.

#[test]
fn every_file_is_in_the_index_and_both_writers_are() {
    let vectors = vectors();
    let listed: BTreeSet<String> = vectors.iter().map(|vector| vector.file.clone()).collect();
    assert_eq!(listed.len(), vectors.len(), "a file twice");
    let entries = fs::read_dir(VECTORS).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = names
        .filter(|name| name.ends_with(".enc") || name.ends_with(".bin"))
        .collect();
    assert_eq!(listed, there);
    let of = |writer: &str| vectors.iter().filter(|v| v.writer == writer).count();
    assert!(of("python") >= 250 && of("rust") >= 13);
}

const RAW: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER_RAW: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";
const PASSPHRASE: &str = "correct horse battery staple";
const RECIPIENT: &str = "age1fylg9lr5ge99jf5gza3r6gznch4cutxy4xytflhp08kxkqgd2vwskusw5c";

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn raw_key(text: &str) -> SecretKey {
    SecretKey::from_bytes(<[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap())
}

/// A whole archive with a slot for each of the keys.
fn kluis1(keys: &[&str], content: &[u8]) -> Vec<u8> {
    let data = SecretKey::from_bytes(random());
    let mut header = Header {
        generation: 1,
        archive_id: random(),
        salt: random(),
        meta:
            json!({"kind": "db", "name": "app", "created": "2026-01-18T10:30:00Z", "codec": "none"})
                .to_string()
                .into_bytes(),
        slots: Vec::new(),
    };
    for key in keys {
        let (id, salt) = (&header.archive_id, &header.salt);
        let slot = match KeyMaterial::parse(key).unwrap() {
            KeyMaterial::Raw(key) => Slot::raw(&key, &data, random(), id, salt),
            KeyMaterial::Recipient(recipient) => Slot::age(&recipient, &data),
            material => {
                let kdf = (random(), 600_000);
                let ring = Keyring::of(material);
                let key = ring.passphrase_key(0, &kdf.0, kdf.1).unwrap();
                Slot::passphrase(&key, kdf, &data, random(), id, salt)
            }
        };
        header.slots.push(slot.unwrap());
    }
    let keys = ArchiveKeys::derive(data, &header.archive_id, &header.salt, &header.meta);
    let mut archive = Vec::new();
    for copy in [CopyName::A, CopyName::B] {
        archive.extend(header.encode(copy, &keys.header).unwrap());
    }
    let mut sealer = FrameSealer::new(archive, keys.payload);
    sealer.write_all(content).unwrap();
    sealer.finish().unwrap()
}

fn kanbu(key: &SecretKey, content: &[u8]) -> Vec<u8> {
    let mut writer = LegacyWriter::new(Vec::new(), key, random()).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

/// Rows of a dump, cut at so many bytes.
fn rows(bytes: usize) -> Vec<u8> {
    let rows = (0..bytes / 17 + 1).map(|n| format!("{n}\trow {n} of a table\n"));
    let mut rows = rows.collect::<String>().into_bytes();
    rows.truncate(bytes);
    rows
}

/// Not a test: writes what this version writes, once. What is there stays as it
/// is, and another version's files get other names.
///
///     cargo nextest run --run-ignored only write_the_vectors
#[test]
#[ignore = "writes frozen files"]
fn write_the_vectors_of_the_library() {
    let index = Path::new(VECTORS).join("index.json");
    let listed = fs::read_to_string(&index).unwrap();
    let mut lines: Vec<String> = listed
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| line.trim_end_matches(',').to_owned())
        .collect();
    let mut put = |file: String, format: &str, keys: &[&str], archive: Vec<u8>, content: &[u8]| {
        let path = Path::new(VECTORS).join(&file);
        if path.exists() {
            return;
        }
        fs::write(path, archive).unwrap();
        let (size, sha256) = digest(content);
        let vector = json!({
            "file": file, "writer": "rust", "format": format, "keys": keys, "size": size,
            "sha256": sha256,
        });
        lines.push(vector.to_string());
    };
    for size in [0, 1, 65_535, 65_536, 65_537] {
        let (content, file) = (rows(size), format!("rust-raw-{size}.enc"));
        put(file, "KLUIS1", &[RAW], kluis1(&[RAW], &content), &content);
    }
    for size in [0, 1, 1000] {
        let (content, keys) = (rows(size), [PASSPHRASE]);
        let file = format!("rust-passphrase-{size}.enc");
        put(file, "KLUIS1", &keys, kluis1(&keys, &content), &content);
    }
    let content = rows(1000);
    for (what, slots, keys) in [
        ("two-keys-first", [RAW, PASSPHRASE], [RAW]),
        ("two-keys-second", [RAW, OTHER_RAW], [OTHER_RAW]),
        ("age-beside-raw", [RECIPIENT, RAW], [RAW]),
    ] {
        let file = format!("rust-{what}.enc");
        put(file, "KLUIS1", &keys, kluis1(&slots, &content), &content);
    }
    RECIPIENT.parse::<AgeRecipient>().unwrap();
    for size in [0, 1000] {
        let (content, file) = (rows(size), format!("rust-kanbu-raw-{size}.enc"));
        put(
            file,
            "kanbu",
            &[RAW],
            kanbu(&raw_key(RAW), &content),
            &content,
        );
    }
    let key = legacy_key(PASSPHRASE);
    let file = "rust-kanbu-passphrase.enc".to_owned();
    put(
        file,
        "kanbu",
        &[PASSPHRASE],
        kanbu(&key, &content),
        &content,
    );
    fs::write(&index, format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
}
