//! A bad server: a relay before a real one that changes what the real one answers to reads. Not a server of its own, so
//! that all else is true: whoever talks to it talks to the real one, but for the lies that a test asks for.
//!
//! ```text
//!   plugin ─▸ calls, as they are ─▸ real server
//!          ◂─ answers, meddled with ◂─
//! ```
//! Each protocol meddles with one message at a time: `nfs.rs`, `iscsi.rs`.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};

use crate::Namespace;

mod iscsi;
mod nfs;

/// What is done to answers to reads of whole sectors. Others, such as those to a look at a lease, are left as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    None,
    /// Half of the data, and that said.
    Short,
    /// The same, and that there is no more: where the file ends (NFS alone).
    Ends,
    /// More data than was asked for, and that said.
    Long,
    /// The data is said to be as long as it was, and half of it is there (NFS alone).
    Missing,
    /// It is no message of the protocol any more: the message is said to be as long as can be.
    Garbage,
    /// It is for a request that nobody made.
    Foreign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Nfs,
    Iscsi,
}

/// What answers are to be like from now on, and how many were meddled with.
#[derive(Debug)]
struct Mind {
    lie: Lie,
    told: usize,
}

/// Its threads live as long as the test's process.
pub struct Meddler {
    address: SocketAddr,
    mind: Arc<Mutex<Mind>>,
}

impl Meddler {
    /// Honest at first. Listens on a port of its own at the server's address, in the namespace in which the server does.
    pub fn before(server: SocketAddr, namespace: &Namespace, protocol: Protocol) -> Meddler {
        let mind = Arc::new(Mutex::new(Mind { lie: Lie::None, told: 0 }));
        let (of_thread, (tell, told)) = (mind.clone(), mpsc::channel());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // What this thread starts is there, too.
                namespace.enter();
                let listener = TcpListener::bind((server.ip(), 0)).expect("a port at the server's address");
                tell.send(listener.local_addr().expect("an address")).expect("somebody who waits for it");
                std::thread::spawn(move || {
                    for client in listener.incoming().map_while(Result::ok) {
                        let Ok(behind) = TcpStream::connect(server) else { continue };
                        relay(client, behind, protocol, &of_thread);
                    }
                });
            });
        });
        Meddler { address: told.recv().expect("where it listens"), mind }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn lies(&self, lie: Lie) {
        *self.mind.lock().expect("no relay panics") = Mind { lie, told: 0 };
    }

    pub fn is_honest(&self) {
        self.lies(Lie::None);
    }

    /// How many answers were meddled with since it began to lie.
    pub fn told(&self) -> usize {
        self.mind.lock().expect("no relay panics").told
    }
}

/// Requests on their way, as far as their answers have to be known.
trait Meddle: Send + 'static {
    /// Bytes to the server; they go on as they are.
    fn request(&mut self, bytes: &[u8]);
    /// How long the first message of the server's is, once that can be told.
    fn length(bytes: &[u8]) -> Option<usize>
    where
        Self: Sized;
    /// What becomes of a whole one; none where it stays as it is.
    fn answer(&mut self, message: &[u8], lie: Lie) -> Option<Vec<u8>>;
}

fn relay(client: TcpStream, behind: TcpStream, protocol: Protocol, mind: &Arc<Mutex<Mind>>) {
    match protocol {
        Protocol::Nfs => run(client, behind, nfs::Nfs, mind.clone()),
        Protocol::Iscsi => run(client, behind, iscsi::Iscsi::default(), mind.clone()),
    }
}

fn run<M: Meddle>(client: TcpStream, behind: TcpStream, meddle: M, mind: Arc<Mutex<Mind>>) {
    let meddle = Arc::new(Mutex::new(meddle));
    let copy = |stream: &TcpStream| stream.try_clone().expect("a second descriptor");
    let (there, back) = ((copy(&client), copy(&behind)), (behind, client));
    let of_requests = meddle.clone();
    std::thread::spawn(move || {
        pump(there, |bytes| {
            of_requests.lock().expect("no relay panics").request(bytes);
            bytes.to_vec()
        });
    });
    std::thread::spawn(move || {
        let mut came = Vec::new();
        pump(back, |bytes| {
            came.extend_from_slice(bytes);
            let mut out = Vec::new();
            while let Some(length) = M::length(&came).filter(|length| *length <= came.len()) {
                let message: Vec<u8> = came.drain(..length).collect();
                let mut mind = mind.lock().expect("no relay panics");
                match meddle.lock().expect("no relay panics").answer(&message, mind.lie) {
                    Some(other) if mind.lie != Lie::None => {
                        mind.told += 1;
                        out.extend(other);
                    }
                    Some(_) | None => out.extend(message),
                }
            }
            out
        });
    });
}

/// From one to the other until either ends, then neither goes on.
fn pump((mut from, mut to): (TcpStream, TcpStream), mut each: impl FnMut(&[u8]) -> Vec<u8>) {
    let mut bytes = vec![0; 256 << 10];
    while let Ok(got @ 1..) = from.read(&mut bytes) {
        if to.write_all(&each(&bytes[..got])).is_err() {
            break;
        }
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}

/// A number of four bytes.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
}
