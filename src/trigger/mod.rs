//! The HTTP trigger: other programs ask for a backup, people look at the report.
//! Owns everything about HTTP: limits, keys, rates, the words of the answers,
//! which are those of the service that kluis replaces. A driver, because its
//! clients are an outside thing; what a backup is and whether one may begin now,
//! the [`Desk`] behind it decides.
//!
//! Invariants: nothing is done for who has no key; a client that goes away, or
//! dawdles, stops nobody else and no run; memory stays within the limits below.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::format::manifest::Kind;

mod answer;
mod gate;
mod key;
mod listen;
mod page;
mod routes;

pub use answer::{Execution, Outcome};
pub use gate::WrongKeys;
pub use key::{API_KEY_BYTES_MIN, ApiKey, ShortKey};

use listen::{Shared, listen};

/// Connections that are open at once; the longest idle one gives way.
const CONNECTIONS_MAX: usize = 64;
const HEADER_TIME: Duration = Duration::from_secs(10);
const HEADER_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
const BODY_BYTES_MAX: usize = 8 * 1024;
/// To send a whole request, and to take a whole answer.
const EXCHANGE_TIME: Duration = Duration::from_secs(30);
/// A page is shown again for so long before it is made anew.
const PAGE_TIME: Duration = Duration::from_secs(10);
/// At the end: for answers that are on their way.
const FAREWELL_TIME: Duration = Duration::from_secs(2);

/// What stands behind the server.
pub trait Desk: Send + Sync + 'static {
    /// Takes an order at once; it is answered when the backup is done.
    fn take(&self, order: Order);
    /// The report as HTML. Blocks; the error is for who asked.
    fn page(&self) -> Result<Vec<u8>, String>;
}

/// Somebody with the key asks for a backup.
pub struct Order {
    pub kind: Kind,
    reply: oneshot::Sender<Outcome>,
}

impl Order {
    /// Who asked may have gone; the outcome stands in the run's record.
    pub fn answer(self, outcome: Outcome) {
        let _ = self.reply.send(outcome);
    }
}

/// A server that listens until it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds the address and begins to listen.
    pub fn start(address: SocketAddr, key: ApiKey, desk: impl Desk) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let shared = Arc::new(Shared::new(key, desk));
        let (stop, stopped) = oneshot::channel();
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("trigger".to_owned())
            .spawn(move || {
                runtime.block_on(listen(listener, of_thread, stopped));
                // A page that is being made is nobody's any more.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens; the port is a real one, also where any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests with a wrong key that the log is to tell of now, once a minute
    /// at most.
    pub fn take_wrong_keys(&self) -> Option<WrongKeys> {
        self.shared.gate().take_wrong_keys(Instant::now())
    }

    /// From now on this key counts.
    pub fn change_key(&self, key: ApiKey) {
        self.shared.change_key(key);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where the thread has ended already there is nothing to stop.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests;
