//! Buffers that go round: a fresh mebibyte from the allocator costs 256 page
//! faults, a used one none.

use crossbeam_channel::{Receiver, Sender, unbounded};

/// A shared stock of empty buffers. How many are under way is bounded by the
/// channels between the threads, not here.
#[derive(Clone)]
pub(super) struct Stock {
    give: Sender<Vec<u8>>,
    take: Receiver<Vec<u8>>,
}

impl Stock {
    pub fn new() -> Self {
        let (give, take) = unbounded();
        Self { give, take }
    }

    /// An empty buffer, used before if there is one.
    pub fn take(&self) -> Vec<u8> {
        self.take.try_recv().unwrap_or_default()
    }

    pub fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        // The stock's own receiver lives as long as this sender.
        let _ = self.give.send(buffer);
    }
}
