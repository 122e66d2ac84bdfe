//! Stands between kluis and a cluster, on loopback: gives refusals that a server
//! cannot be made to give at will, and takes every word of the server's away, as a
//! server in another language does. What has no language stays: SQLSTATE, places
//! in the source.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::Cluster;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const WORDS: &str = "»das geht nicht«";

/// The first `count` logins are refused with this SQLSTATE.
#[derive(Clone, Copy, Default)]
pub struct Refusals {
    pub count: usize,
    pub sqlstate: &'static str,
}

pub struct Front {
    port: u16,
    logins: Arc<AtomicUsize>,
}

impl Front {
    pub fn start(cluster: &Cluster, refusals: Refusals) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let logins = Arc::new(AtomicUsize::new(0));
        let (socket, counter) = (cluster.socket(), logins.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (socket, counter) = (socket.clone(), counter.clone());
                thread::spawn(move || {
                    let _ = serve(client, socket, &counter, refusals);
                });
            }
        });
        Self { port, logins }
    }

    /// `who`: `user` or `user:password`.
    pub fn url(&self, who: &str, database: &str) -> String {
        format!("postgres://{who}@127.0.0.1:{}/{database}", self.port)
    }

    pub fn logins(&self) -> usize {
        self.logins.load(Ordering::SeqCst)
    }
}

fn serve(
    mut client: TcpStream,
    socket: PathBuf,
    logins: &AtomicUsize,
    refusals: Refusals,
) -> io::Result<()> {
    let startup = loop {
        let packet = packet(&mut client)?;
        match u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]) {
            SSL_REQUEST | GSS_REQUEST => client.write_all(b"N")?,
            _ => break packet,
        }
    };
    if logins.fetch_add(1, Ordering::SeqCst) < refusals.count {
        return client.write_all(&refusal(refusals.sqlstate));
    }
    let mut server = UnixStream::connect(socket)?;
    server.write_all(&startup)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    while let Some(message) = message(&mut server)? {
        client.write_all(&message)?;
    }
    client.shutdown(Shutdown::Both)
}

/// What a client begins with: its length, then that many bytes in all.
fn packet(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut packet = vec![0; u32::from_be_bytes(length) as usize];
    packet[..4].copy_from_slice(&length);
    from.read_exact(&mut packet[4..])?;
    Ok(packet)
}

/// One message of a server's, its words taken away; `None` at its end.
fn message(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut kind = [0];
    if from.read(&mut kind)? == 0 {
        return Ok(None);
    }
    let body = packet(from)?;
    let whole = match kind[0] {
        b'E' | b'N' => without_words(kind[0], &body[4..]),
        _ => [&kind[..], &body].concat(),
    };
    Ok(Some(whole))
}

fn without_words(kind: u8, fields: &[u8]) -> Vec<u8> {
    let fields = fields.split(|byte| *byte == 0).filter(|it| !it.is_empty());
    let changed: Vec<Vec<u8>> = fields
        .map(|field| match field[0] {
            b'S' if kind == b'N' => b"SHINWEIS".to_vec(),
            b'S' => b"SFEHLER".to_vec(),
            b'M' => format!("M{WORDS}").into_bytes(),
            _ => field.to_vec(),
        })
        .collect();
    response(kind, &changed)
}

fn refusal(sqlstate: &str) -> Vec<u8> {
    let fields = ["SFATAL".to_owned(), "VFATAL".to_owned()];
    let said = [format!("C{sqlstate}"), format!("M{WORDS}")];
    let fields = fields.into_iter().chain(said).map(String::into_bytes);
    response(b'E', &fields.collect::<Vec<_>>())
}

fn response(kind: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for field in fields {
        body.extend_from_slice(field);
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], &length[..], &body].concat()
}
