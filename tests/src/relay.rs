//! A wire that can be meddled with byte by byte: a TCP relay before a host, by whose address the other host knows it
//! ([`Pair::by_relay`]). What is encrypted stays so; a relay may be late, say things twice, stop in the middle, or hang up.
//!
//! [`Pair::by_relay`]: crate::Pair::by_relay

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustix::net::sockopt;

use crate::Namespace;

/// What becomes of bytes from now on. Counts begin anew with each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Honest,
    /// Each piece comes so much later.
    Late(Duration),
    /// Each piece comes twice.
    Twice,
    /// After so many bytes nothing comes any more, and the connection stays.
    StallsAfter(u64),
    /// After so many bytes the connection is reset.
    CutsAfter(u64),
}

/// Which way it is in that mood; the other way it is honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    ToClient,
    Both,
}

struct Mind {
    mood: Mood,
    way: Way,
    open: Vec<TcpStream>,
}

/// Its threads live as long as the test's process.
pub struct Relay {
    address: SocketAddr,
    mind: Arc<Mutex<Mind>>,
}

impl Relay {
    /// Honest at first. Listens on a port of its own at `at`, in the namespace.
    pub fn before(server: SocketAddr, namespace: &Namespace, at: IpAddr) -> Relay {
        let mind = Arc::new(Mutex::new(Mind { mood: Mood::Honest, way: Way::Both, open: Vec::new() }));
        let (of_thread, (tell, told)) = (mind.clone(), mpsc::channel());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // What this thread starts is there, too.
                namespace.enter();
                let listener = TcpListener::bind((at, 0)).expect("a port in that namespace");
                tell.send(listener.local_addr().expect("an address")).expect("somebody who waits for it");
                std::thread::spawn(move || {
                    for client in listener.incoming().map_while(Result::ok) {
                        let Ok(behind) = TcpStream::connect_timeout(&server, Duration::from_secs(5)) else { continue };
                        join(client, behind, &of_thread);
                    }
                });
            });
        });
        Relay { address: told.recv().expect("where it listens"), mind }
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn is(&self, mood: Mood, way: Way) {
        let mut mind = self.mind.lock().expect("no relay panics");
        (mind.mood, mind.way) = (mood, way);
    }

    /// Resets all that is open.
    pub fn cuts(&self) {
        for stream in self.mind.lock().expect("no relay panics").open.drain(..) {
            reset(&stream);
        }
    }
}

fn reset(stream: &TcpStream) {
    // Closed with something unsent and no time to send it: RST (socket(7), SO_LINGER).
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
}

fn join(client: TcpStream, behind: TcpStream, mind: &Arc<Mutex<Mind>>) {
    let copy = |stream: &TcpStream| stream.try_clone().expect("a second descriptor");
    let ways = [(copy(&client), copy(&behind), Way::ToServer), (copy(&behind), copy(&client), Way::ToClient)];
    mind.lock().expect("no relay panics").open.extend([client, behind]);
    for (from, to, way) in ways {
        let mind = mind.clone();
        std::thread::spawn(move || pump(from, to, way, &mind));
    }
}

/// From one to the other until either ends, then neither goes on.
fn pump(mut from: TcpStream, mut to: TcpStream, way: Way, mind: &Mutex<Mind>) {
    let mut bytes = vec![0; 64 << 10];
    let mut passed = 0;
    while let Ok(got @ 1..) = from.read(&mut bytes) {
        let (mood, of) = {
            let mind = mind.lock().expect("no relay panics");
            (mind.mood, mind.way)
        };
        let piece = &bytes[..got];
        let within = |most: u64| usize::try_from(most.saturating_sub(passed)).unwrap_or(usize::MAX).min(got);
        let went = match mood {
            _ if of != Way::Both && of != way => to.write_all(piece),
            Mood::Honest => to.write_all(piece),
            Mood::Late(late) => {
                std::thread::sleep(late);
                to.write_all(piece)
            }
            Mood::Twice => to.write_all(piece).and_then(|()| to.write_all(piece)),
            Mood::StallsAfter(most) => to.write_all(&piece[..within(most)]),
            Mood::CutsAfter(most) => to.write_all(&piece[..within(most)]).and_then(|()| match within(most) < got {
                true => {
                    [&from, &to].into_iter().for_each(reset);
                    Err(std::io::ErrorKind::ConnectionReset.into())
                }
                false => Ok(()),
            }),
        };
        if went.is_err() {
            break;
        }
        passed += got as u64;
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an echo gives back for 8 bytes, as far as it comes.
    fn says(relay: &Relay, namespace: &Namespace) -> Vec<u8> {
        std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                namespace.enter();
                let mut stream = TcpStream::connect(relay.address).unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
                stream.write_all(b"12345678").unwrap();
                let (mut heard, mut bytes) = (Vec::new(), [0; 64]);
                while let Ok(got @ 1..) = stream.read(&mut bytes) {
                    heard.extend_from_slice(&bytes[..got]);
                }
                heard
            });
            client.join().unwrap()
        })
    }

    #[test]
    fn a_relay_does_as_it_is_told() {
        let namespace = Namespace::new();
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                namespace.enter();
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                std::thread::spawn(move || {
                    for mut stream in listener.incoming().flatten() {
                        std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
                    }
                });
            });
        });
        let relay = Relay::before(told.recv().unwrap(), &namespace, "127.0.0.1".parse().unwrap());
        let said = |mood, way| {
            relay.is(mood, way);
            String::from_utf8(says(&relay, &namespace)).unwrap()
        };
        assert_eq!(said(Mood::Honest, Way::Both), "12345678");
        assert_eq!(said(Mood::Late(Duration::from_millis(20)), Way::Both), "12345678");
        assert_eq!(said(Mood::Twice, Way::ToServer), "1234567812345678");
        assert_eq!(said(Mood::StallsAfter(3), Way::ToClient), "123");
        assert!(said(Mood::CutsAfter(3), Way::ToServer).len() <= 3);
        relay.cuts();
        assert_eq!(said(Mood::Honest, Way::Both), "12345678");
    }
}
