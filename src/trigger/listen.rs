//! Takes connections, so many at once and for so long. Every connection is good
//! for one request; who has sent none yet gives way to who comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::gate::Gate;
use super::page::Pages;
use super::routes::answer;
use super::{
    ApiKey, CONNECTIONS_MAX, Desk, EXCHANGE_TIME, FAREWELL_TIME, HEADER_BYTES_MAX, HEADER_TIME,
    HEADERS_MAX,
};

/// Where taking a connection fails, for want of file descriptors for one.
const BREATH: Duration = Duration::from_millis(100);

/// What all connections share.
pub struct Shared {
    key: RwLock<ApiKey>,
    gate: Mutex<Gate>,
    pub pages: Pages,
    pub desk: Arc<dyn Desk>,
}

impl Shared {
    pub fn new(key: ApiKey, desk: impl Desk) -> Self {
        Self {
            key: RwLock::new(key),
            gate: Mutex::default(),
            pages: Pages::default(),
            desk: Arc::new(desk),
        }
    }

    pub fn change_key(&self, key: ApiKey) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
    }

    pub fn is_key(&self, given: &[u8]) -> bool {
        let key = self.key.read().unwrap_or_else(PoisonError::into_inner);
        key.is(given)
    }

    pub fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who is connected.
#[derive(Clone)]
pub struct Guest {
    pub from: IpAddr,
    /// Shown to be somebody: does not give way, and may wait for a backup.
    welcome: Arc<AtomicBool>,
}

impl Guest {
    /// Until the guard is dropped.
    pub fn welcome(&self) -> Welcome {
        self.welcome.store(true, Ordering::Relaxed);
        Welcome(Arc::clone(&self.welcome))
    }
}

pub struct Welcome(Arc<AtomicBool>);

impl Drop for Welcome {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

struct Connection {
    guest: Guest,
    task: JoinHandle<()>,
}

pub async fn listen(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut stopped: oneshot::Receiver<()>,
) {
    // It was bound before; without a runtime of its own it would not be here.
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut open: VecDeque<Connection> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            // Also where whoever could stop us is gone.
            _ = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => admit(&mut open, stream, from, &shared),
            Err(_) => sleep(BREATH).await,
        }
    }
    drop(listener);
    let farewell = async {
        for connection in &mut open {
            let _ = (&mut connection.task).await;
        }
    };
    let _ = timeout(FAREWELL_TIME, farewell).await;
}

/// Makes room where there is none: who has waited longest without a request goes.
fn admit(
    open: &mut VecDeque<Connection>,
    stream: TcpStream,
    from: SocketAddr,
    shared: &Arc<Shared>,
) {
    open.retain(|connection| !connection.task.is_finished());
    if open.len() >= CONNECTIONS_MAX {
        let idle = |connection: &Connection| !connection.guest.welcome.load(Ordering::Relaxed);
        let Some(idle) = open.iter().position(idle) else {
            return;
        };
        if let Some(idle) = open.remove(idle) {
            idle.task.abort();
        }
    }
    let guest = Guest {
        from: from.ip(),
        welcome: Arc::default(),
    };
    let task = tokio::spawn(attend(stream, guest.clone(), Arc::clone(shared)));
    open.push_back(Connection { guest, task });
}

async fn attend(stream: TcpStream, guest: Guest, shared: Arc<Shared>) {
    let of_service = guest.clone();
    let service = service_fn(move |request| {
        let (shared, guest) = (Arc::clone(&shared), of_service.clone());
        async move { Ok::<_, Infallible>(answer(request, &shared, &guest).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // A request and its answer have their time each; a backup takes as long as it
    // takes. How it ended is the client's business.
    while timeout(2 * EXCHANGE_TIME, connection.as_mut())
        .await
        .is_err()
    {
        if !guest.welcome.load(Ordering::Relaxed) {
            return;
        }
    }
}
