//! Archives must open without kluis: every common reader takes a stream of
//! several members, and of several zstd frames, for one file.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use kluis::format::{gzip, zstd_frame};
use libdeflater::{CompressionLvl, Compressor};

const BLOCK_BYTES: usize = 1024 * 1024;

/// Text and noise, over several blocks, the last of them short.
fn content() -> Vec<u8> {
    let mut content = Vec::new();
    for n in 0_u64..120_000 {
        let noise = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        content.extend_from_slice(format!("{n}\trow {}\t{noise:x}\n", n % 13).as_bytes());
    }
    assert!(content.len() > 3 * BLOCK_BYTES);
    content
}

fn gzip_stream(content: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::new(6).unwrap());
    let mut stream = Vec::new();
    for block in blocks(content) {
        gzip::encode_member(block, &mut compressor, &mut stream).unwrap();
    }
    stream
}

fn zstd_stream(content: &[u8]) -> Vec<u8> {
    let mut compressor = zstd_frame::compressor(3).unwrap();
    let mut stream = Vec::new();
    for block in blocks(content) {
        zstd_frame::encode_frame(block, &mut compressor, &mut stream).unwrap();
    }
    stream
}

/// An empty archive still has one block.
fn blocks(content: &[u8]) -> Vec<&[u8]> {
    if content.is_empty() {
        return vec![content];
    }
    content.chunks(BLOCK_BYTES).collect()
}

fn is_installed(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\"", program])
        .stdout(Stdio::null())
        .status()
        .unwrap()
        .success();
    if !found {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "{program} must be installed when CI=true"
        );
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// What `argv` prints when it is fed `stream`.
fn piped(argv: &[&str], stream: &[u8]) -> Vec<u8> {
    let mut child = Command::new(argv[0])
        .args(&argv[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(stream).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{argv:?}");
    output.stdout
}

fn check_reader(argv: &[&str], encode: fn(&[u8]) -> Vec<u8>) {
    if !is_installed(argv[0]) {
        return;
    }
    for content in [content(), Vec::new()] {
        assert!(
            piped(argv, &encode(&content)) == content,
            "{argv:?}, {} bytes",
            content.len()
        );
    }
}

#[test]
fn gunzip_reads_the_members() {
    check_reader(&["gunzip", "-c"], gzip_stream);
}

#[test]
fn pigz_reads_the_members() {
    check_reader(&["pigz", "-dc"], gzip_stream);
}

#[test]
fn python_reads_the_members() {
    let program =
        "import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    check_reader(&["python3", "-c", program], gzip_stream);
}

#[test]
fn node_reads_the_members() {
    let program = "process.stdout.write(require('zlib').gunzipSync(require('fs').readFileSync(0)))";
    check_reader(&["node", "-e", program], gzip_stream);
}

#[test]
fn node_streams_the_members() {
    let program = "process.stdin.pipe(require('zlib').createGunzip()).pipe(process.stdout)";
    check_reader(&["node", "-e", program], gzip_stream);
}

#[test]
fn bsdtar_reads_the_members() {
    if !is_installed("bsdtar") {
        return;
    }
    let content = content();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o600);
    archive
        .append_data(&mut header, "rows", content.as_slice())
        .unwrap();
    let stream = gzip_stream(&archive.into_inner().unwrap());
    assert!(piped(&["bsdtar", "-xOf", "-", "rows"], &stream) == content);
}

#[test]
fn our_fallback_reads_the_members() {
    let content = content();
    let stream = gzip_stream(&content);
    let mut decoded = Vec::new();
    flate2::read::MultiGzDecoder::new(stream.as_slice())
        .read_to_end(&mut decoded)
        .unwrap();
    assert!(decoded == content);
}

#[test]
fn zstd_reads_the_frames() {
    check_reader(&["zstd", "-dc"], zstd_stream);
}

#[test]
fn pzstd_reads_the_frames() {
    check_reader(&["pzstd", "-dc", "-p", "2"], zstd_stream);
}

#[test]
fn pzstds_own_frames_are_cut_as_ours() {
    if !is_installed("pzstd") {
        return;
    }
    let stream = piped(&["pzstd", "-c", "-p", "2"], &content().repeat(8));
    let size = u32::from_le_bytes(stream[8..12].try_into().unwrap()) as usize;
    let next = zstd_frame::SKIPPABLE_BYTES + size;
    assert_eq!(stream[..8], stream[next..next + 8]);
    assert_eq!(stream[..8], zstd_stream(b"x")[..8]);
}
