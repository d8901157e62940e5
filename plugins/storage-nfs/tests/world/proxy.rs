//! A TCP relay before the server, whose connections can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct Proxy {
    pub address: String,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// Its threads live as long as the test's process.
    pub fn before(server: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let streams = Arc::new(Mutex::new(Vec::new()));
        let all = streams.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(behind) = TcpStream::connect(&server) else { continue };
                all.lock().unwrap().extend([client.try_clone().unwrap(), behind.try_clone().unwrap()]);
                for (mut from, mut to) in [(client.try_clone().unwrap(), behind.try_clone().unwrap()), (behind, client)]
                {
                    std::thread::spawn(move || {
                        let mut bytes = vec![0; 64 << 10];
                        while let Ok(got @ 1..) = from.read(&mut bytes) {
                            if to.write_all(&bytes[..got]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Proxy { address, streams }
    }

    /// Ends every connection at once, whatever is under way; gives how many.
    pub fn cut(&self) -> usize {
        let streams = std::mem::take(&mut *self.streams.lock().unwrap());
        streams.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        streams.len() / 2
    }
}
