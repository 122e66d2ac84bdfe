//! Writes the data of a sparse file without the blocks of zeros in it. A file with
//! more holes than an archive's map can tell has some of them as data: written out,
//! they could take many times the disk that the file had.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What filesystems give out at least.
const BLOCK_BYTES: u64 = 4096;

/// `data` at `at`, in a file in which nothing was written there before.
pub(super) fn write_data(file: &File, data: &[u8], at: u64) -> io::Result<()> {
    let mut from = 0;
    for (start, end) in blocks(data.len(), at) {
        if data[start..end].iter().all(|byte| *byte == 0) {
            file.write_all_at(&data[from..start], at + from as u64)?;
            from = end;
        }
    }
    file.write_all_at(&data[from..], at + from as u64)
}

/// The whole blocks of the file within `length` bytes at `at`.
fn blocks(length: usize, at: u64) -> impl Iterator<Item = (usize, usize)> {
    let block = BLOCK_BYTES as usize;
    let first = (at.next_multiple_of(BLOCK_BYTES) - at) as usize;
    let whole = length.saturating_sub(first) / block;
    (0..whole).map(move |index| {
        let start = first + index * block;
        (start, start + block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_content_is_the_same_wherever_it_is_cut_and_zeros_take_no_room() {
        let mut content = vec![0; 600_000];
        for at in [0, 5, 4095, 4096, 40_000, 123_456, 300_000, 599_999] {
            content[at] = 1;
        }
        for piece_bytes in [1000, 4096, 5000, 65_536, 600_000] {
            let file = tempfile::tempfile().unwrap();
            for (index, piece) in content.chunks(piece_bytes).enumerate() {
                write_data(&file, piece, (index * piece_bytes) as u64).unwrap();
            }
            let mut read = vec![9; content.len()];
            file.read_exact_at(&mut read, 0).unwrap();
            assert!(read == content, "{piece_bytes}");
            if piece_bytes >= 65_536 {
                let taken = file.metadata().unwrap().blocks() * 512;
                assert!(taken < 300_000, "{piece_bytes}: {taken}");
            }
        }
    }
}
