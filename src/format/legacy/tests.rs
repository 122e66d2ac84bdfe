//! The vectors are Node's, see `tests/data/legacy/make.mjs`.

use super::*;
use proptest::prelude::*;
use sha2::Digest;

const HEX_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

#[derive(serde::Deserialize)]
struct Vector {
    file: String,
    key: String,
    plaintext_bytes: u64,
    plaintext_sha256: String,
}

fn directory() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/legacy")
}

fn vectors() -> Vec<Vector> {
    serde_json::from_slice(&std::fs::read(directory().join("vectors.json")).unwrap()).unwrap()
}

fn file_of(name: &str) -> Vec<u8> {
    std::fs::read(directory().join(name)).unwrap()
}

/// Gives `n` bytes a time, to cross every boundary inside.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let limit = out.len().min(self.1);
        self.0.read(&mut out[..limit])
    }
}

fn decrypt(file: &[u8], key: &SecretKey) -> Result<Vec<u8>, LegacyError> {
    let mut plaintext = Vec::new();
    let mut reader = authenticate(file, key)?.decrypt(file)?;
    reader.read_to_end(&mut plaintext).unwrap();
    Ok(plaintext)
}

fn encrypt(plaintext: &[u8], key: &SecretKey, write_bytes: usize) -> Vec<u8> {
    let mut writer = LegacyWriter::new(Vec::new(), key, [7; IV_BYTES]).unwrap();
    for chunk in plaintext.chunks(write_bytes) {
        writer.write_all(chunk).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn every_vector_decrypts() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 10);
    for vector in vectors {
        let file = file_of(&vector.file);
        let key = legacy_key(&vector.key);
        let plaintext = decrypt(&file, &key).unwrap();
        assert_eq!(plaintext.len() as u64, vector.plaintext_bytes);
        assert_eq!(
            hex::encode(Sha256::digest(&plaintext)),
            vector.plaintext_sha256,
            "{}",
            vector.file
        );
    }
}

#[test]
fn every_vector_is_written_as_node_wrote_it() {
    for vector in vectors() {
        let file = file_of(&vector.file);
        let key = legacy_key(&vector.key);
        let plaintext = decrypt(&file, &key).unwrap();
        let mut iv = [0; IV_BYTES];
        iv.copy_from_slice(&file[..IV_BYTES]);
        let mut writer = LegacyWriter::new(Vec::new(), &key, iv).unwrap();
        writer.write_all(&plaintext).unwrap();
        assert!(writer.finish().unwrap() == file, "{}", vector.file);
    }
}

#[test]
fn no_file_lies_about_without_its_vector() {
    let mut listed: Vec<_> = vectors().into_iter().map(|vector| vector.file).collect();
    listed.sort();
    let mut found: Vec<_> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".enc"))
        .collect();
    found.sort();
    assert_eq!(found, listed);
}

#[test]
fn reads_and_writes_may_end_anywhere() {
    let key = legacy_key(HEX_KEY);
    let file = file_of("counter-wraps.enc");
    let plaintext = decrypt(&file, &key).unwrap();
    for bytes in [1, 7, 15, 16, 17, 65_535, 65_552] {
        let verified = authenticate(Trickle(&file, bytes), &key).unwrap();
        assert_eq!(verified.plaintext_bytes(), plaintext.len() as u64);
        let mut again = Vec::new();
        let mut reader = verified.decrypt(Trickle(&file, bytes)).unwrap();
        reader.read_to_end(&mut again).unwrap();
        assert!(again == plaintext, "reads of {bytes}");
        let written = encrypt(&plaintext, &key, bytes);
        assert!(
            decrypt(&written, &key).unwrap() == plaintext,
            "writes of {bytes}"
        );
    }
}

#[test]
fn each_flipped_bit_is_an_authentication_error() {
    for name in ["raw-key.enc", "empty.enc", "one-byte.enc"] {
        let file = file_of(name);
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let result = authenticate(&damaged[..], &legacy_key(HEX_KEY));
            assert!(
                matches!(result, Err(LegacyError::Authentication)),
                "{name}, bit {bit}"
            );
        }
    }
}

#[test]
fn a_flipped_bit_in_each_part_of_a_long_file_is_found() {
    let key = legacy_key(HEX_KEY);
    let file = file_of("64k-and-1.enc");
    for at in (0..file.len())
        .step_by(997)
        .chain([15, 16, file.len() - 16, file.len() - 1])
    {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        assert!(authenticate(&damaged[..], &key).is_err(), "byte {at}");
    }
}

#[test]
fn each_truncation_is_an_error() {
    let key = legacy_key(HEX_KEY);
    let file = file_of("raw-key.enc");
    for bytes in 0..file.len() {
        match authenticate(&file[..bytes], &key) {
            Err(LegacyError::Truncated { bytes: told }) => {
                assert!(bytes < IV_BYTES + TAG_BYTES);
                assert_eq!(told, bytes);
            }
            Err(LegacyError::Authentication) => assert!(bytes >= IV_BYTES + TAG_BYTES),
            _ => panic!("{bytes} bytes were taken for whole"),
        }
    }
}

#[test]
fn another_key_is_an_authentication_error() {
    let file = file_of("hex-with-newline.enc");
    // Trimming the newline would make this the raw key, which is another.
    assert!(matches!(
        authenticate(&file[..], &legacy_key(HEX_KEY)),
        Err(LegacyError::Authentication)
    ));
}

#[test]
fn hex_digits_count_in_both_cases_and_only_64_of_them() {
    let lower = legacy_key(&HEX_KEY.to_lowercase());
    assert_eq!(lower.expose(), legacy_key(HEX_KEY).expose());
    for text in [&HEX_KEY[1..], &HEX_KEY[2..], &format!(" {HEX_KEY}")] {
        assert_ne!(legacy_key(text).expose(), lower.expose());
    }
}

#[test]
fn a_file_that_changed_between_the_passes_is_a_read_error() {
    let key = legacy_key(HEX_KEY);
    let file = file_of("64k-and-1.enc");
    let flipped = |at: usize| {
        let mut changed = file.clone();
        changed[at] ^= 1;
        changed
    };
    let longer = [&file[..], b"x"].concat();
    let shorter = file[..file.len() - 1].to_vec();
    let cut = file[..1000].to_vec();
    let other = encrypt(&vec![0; 65_537], &key, 4096);
    for changed in [
        flipped(0),
        flipped(16),
        flipped(file.len() - 1),
        longer,
        shorter,
        cut,
        other,
    ] {
        let verified = authenticate(&file[..], &key).unwrap();
        let Ok(mut reader) = verified.decrypt(&changed[..]) else {
            continue;
        };
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        // And it stays one: a second read must not look like the end.
        assert!(reader.read(&mut [0; 16]).is_err());
    }
}

#[test]
fn a_broken_disk_is_told_apart_from_a_wrong_key() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let start = &file_of("raw-key.enc")[..20];
    let result = authenticate(start.chain(Broken), &legacy_key(HEX_KEY));
    assert!(matches!(result, Err(LegacyError::Read(_))));
}

#[test]
fn more_than_gcm_may_encrypt_is_refused() {
    let key = legacy_key(HEX_KEY);
    let mut writer = LegacyWriter::new(io::sink(), &key, [0; IV_BYTES]).unwrap();
    // As if all but one byte had gone through already.
    writer.gcm.hashed_bytes = MAX_PLAINTEXT_BYTES - 1;
    assert!(writer.write_all(b"x").is_ok());
    let error = writer.write_all(b"x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}

proptest! {
    #[test]
    fn arbitrary_bytes_come_back_and_agree_with_the_one_shot_cipher(
        plaintext in proptest::collection::vec(any::<u8>(), 0..2_000),
        key in any::<[u8; 32]>(),
        write_bytes in 1_usize..300,
    ) {
        use aes_gcm::aead::Aead;
        use aes_gcm::aead::consts::U16;
        use aes_gcm::{AesGcm, KeyInit as _, Nonce};

        let file = encrypt(&plaintext, &SecretKey::from_bytes(key), write_bytes);
        let one_shot = AesGcm::<Aes256, U16>::new(&key.into())
            .encrypt(&Nonce::<U16>::from([7; IV_BYTES]), plaintext.as_slice())
            .unwrap();
        prop_assert_eq!(&file[IV_BYTES..], one_shot);
        prop_assert_eq!(decrypt(&file, &SecretKey::from_bytes(key)).unwrap(), plaintext);
    }
}
