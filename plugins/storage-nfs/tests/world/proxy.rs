//! A TCP relay before the server, whose connections can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct Proxy {
    pub address: String,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// What went over one connection.
#[derive(Default, Clone)]
pub struct Heard {
    pub calls: Vec<u8>,
    pub answers: Vec<u8>,
}

impl Proxy {
    /// Its threads live as long as the test's process.
    pub fn before(server: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let streams = Arc::new(Mutex::new(Vec::new()));
        let all = streams.clone();
        let heard = Arc::new(Mutex::new(Vec::<Heard>::new()));
        let log = heard.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(behind) = TcpStream::connect(&server) else { continue };
                all.lock().unwrap().extend([client.try_clone().unwrap(), behind.try_clone().unwrap()]);
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push(Heard::default());
                    log.len() - 1
                };
                let both = [(client.try_clone().unwrap(), behind.try_clone().unwrap(), true), (behind, client, false)];
                for (mut from, mut to, calls) in both {
                    let log = log.clone();
                    std::thread::spawn(move || {
                        let mut bytes = vec![0; 64 << 10];
                        while let Ok(got @ 1..) = from.read(&mut bytes) {
                            {
                                let heard = &mut log.lock().unwrap()[number];
                                let side = if calls { &mut heard.calls } else { &mut heard.answers };
                                side.extend_from_slice(&bytes[..got]);
                            }
                            if to.write_all(&bytes[..got]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Proxy { address, streams, heard }
    }

    /// Every connection so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Ends every connection at once, whatever is under way; gives how many.
    pub fn cut(&self) -> usize {
        let streams = std::mem::take(&mut *self.streams.lock().unwrap());
        streams.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        streams.len() / 2
    }
}
