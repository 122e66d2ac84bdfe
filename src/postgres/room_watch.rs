//! Looks after the room that a throwaway server takes: what stands in a dump must
//! not fill a disk that others use. The server is stopped before that.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::PostgresError;
use crate::scratch::Scratch;

/// What is left to others: a part of the file system, and never more than that.
const LEFT_PART: u64 = 20;
const LEFT_BYTES_MAX: u64 = 1 << 30;
/// A disk takes some hundred MiB in the meantime.
const LOOK: Duration = Duration::from_millis(100);

/// Looks until it is dropped.
pub(super) struct RoomWatch {
    place: PathBuf,
    left_bytes: u64,
    ran_out: Arc<AtomicBool>,
    _until: Sender<()>,
}

impl RoomWatch {
    /// Calls `stop`, once, when the file system of `place` is nearly full.
    pub(super) fn start(
        place: &Path,
        stop: impl FnOnce() + Send + 'static,
    ) -> Result<Self, PostgresError> {
        let left_bytes = (Scratch::total_bytes(place)? / LEFT_PART).min(LEFT_BYTES_MAX);
        let ran_out = Arc::new(AtomicBool::new(false));
        let (until, ended) = bounded::<()>(0);
        let (watched, seen) = (place.to_owned(), Arc::clone(&ran_out));
        let look = move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if Scratch::free_bytes(&watched).is_ok_and(|free| free < left_bytes) {
                    seen.store(true, Ordering::SeqCst);
                    return stop();
                }
            }
        };
        let thread = thread::Builder::new().name("room".to_owned());
        thread
            .spawn(look)
            .map_err(|error| PostgresError::NotProvable {
                what: format!(
                    "the room that its server takes cannot be watched: there is no thread for \
                     it: {error}"
                ),
                remedy: "let kluis start more threads (ulimit -u, TasksMax)".to_owned(),
            })?;
        Ok(Self {
            place: place.to_owned(),
            left_bytes,
            ran_out,
            _until: until,
        })
    }

    /// Why the server was stopped, if it was.
    pub(super) fn ran_out(&self) -> Option<PostgresError> {
        let ran_out = self.ran_out.load(Ordering::SeqCst);
        ran_out.then(|| PostgresError::NotProvable {
            what: format!(
                "the restored database leaves less than {} MiB free in {}, so its server was \
                 stopped",
                self.left_bytes >> 20,
                self.place.display()
            ),
            remedy: "choose another directory with work_dir or TMPDIR, or use --in-server"
                .to_owned(),
        })
    }
}
