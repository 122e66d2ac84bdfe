//! Changes bytes: [`seal()`] on the way out, [`unseal()`] on the way back.
//!
//! Out: source -> blocks of 1 MiB -> N compressing workers -> in order -> SHA-256
//! -> AES-256-GCM frames -> SHA-256 -> storage. Back: the same in reverse. Every
//! channel is bounded and every buffer recycled: memory does not grow with the
//! data. Nothing here opens a file or knows where bytes come from.

mod codec;
mod digest;
mod envelope;
mod in_order;
mod opened;
mod past_damage;
mod recycle;
mod seal;
mod split;
mod stretched;
mod unseal;

pub use codec::CodecError;
pub use digest::Digesting;
pub use envelope::{
    ArchiveMeta, Envelope, NewArchive, PassphraseSalt, new_archive, new_archive_also_for, new_slot,
};
pub use opened::Opening;
pub use past_damage::{Known, PastDamage, Piece};
pub use seal::{Receipt, SealError, Sealing, seal};
pub use stretched::{Mended, Stretched, Unbroken};
pub use unseal::{UnsealError, Unsealed, Unsealing, unseal};

/// Raw bytes in a block: large enough that a worker's hand-over costs nothing,
/// small enough that a dozen of them are little memory.
pub const BLOCK_LEN: usize = 1 << 20;
