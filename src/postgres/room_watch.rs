//! Looks after the room that a throwaway server takes: what stands in a dump must
//! not fill a disk that others use, by bytes or by files. The server is stopped before
//! that.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::PostgresError;
use crate::scratch::{Scratch, Shortage};

/// A disk takes some hundred MiB in the meantime.
const LOOK: Duration = Duration::from_millis(100);

/// Looks until it is dropped.
pub(super) struct RoomWatch {
    place: PathBuf,
    ran_out: Arc<OnceLock<Shortage>>,
    _until: Sender<()>,
}

impl RoomWatch {
    /// Calls `stop`, once, when the file system of `place` is nearly full.
    pub(super) fn start(
        place: &Path,
        stop: impl FnOnce() + Send + 'static,
    ) -> Result<Self, PostgresError> {
        let (watched, reserve) = Scratch::reserve_for_others(place)?;
        let ran_out = Arc::new(OnceLock::new());
        let (until, ended) = bounded::<()>(0);
        let seen = Arc::clone(&ran_out);
        let look = move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if let Some(shortage) = reserve.shortage(&watched) {
                    let _ = seen.set(shortage);
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
            ran_out,
            _until: until,
        })
    }

    /// Why the server was stopped, if it was.
    pub(super) fn ran_out(&self) -> Option<PostgresError> {
        let shortage = self.ran_out.get()?;
        Some(PostgresError::NotProvable {
            what: format!(
                "the restored database takes too much of {}: {shortage}, so its server was \
                 stopped",
                self.place.display()
            ),
            remedy: "choose another directory with work_dir or TMPDIR, or use --in-server"
                .to_owned(),
        })
    }
}
