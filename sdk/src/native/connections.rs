//! Streams for tests: TCP, connected by the plugin's own process.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use tokio::sync::Mutex;

use super::grants;
use crate::error::{Error, Result};

/// Most bytes of one `receive`, as of the host's.
const RECEIVE_MAX: u32 = 1 << 20;
/// How long a test waits for a server, to connect or to answer a plain call.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Of a stream that `connect` made.
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    stream: tokio::net::TcpStream,
    receiving: Mutex<()>,
    sending: Mutex<()>,
}

impl Connection {
    pub fn open(grant: &str) -> Result<Self> {
        let address = grants::connection(grant)?;
        let found = address.to_socket_addrs().ok().and_then(|mut all| all.next());
        let found = found.ok_or_else(|| Error::unreachable(format!("{address} is not found")))?;
        let stream = TcpStream::connect_timeout(&found, PATIENCE).map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
        Ok(Connection { stream, waiting: None })
    }

    pub fn read(&self, maximum: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; maximum as usize];
        let got = self.plain()?.read(&mut bytes).map_err(broken)?;
        bytes.truncate(got);
        Ok(bytes)
    }

    pub fn write(&self, data: &[u8]) -> Result<()> {
        self.plain()?.write_all(data).map_err(broken)
    }

    pub async fn connect(grant: String) -> Result<Self> {
        let address = grants::connection(&grant)?;
        let connecting = tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(&address)).await;
        let stream = connecting.map_err(|_| Error::timeout(format!("{address} does not answer")))?.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let stream = stream.into_std().map_err(broken)?;
        let waiting = tokio::net::TcpStream::from_std(stream.try_clone().map_err(broken)?).map_err(broken)?;
        let waiting = Waiting { stream: waiting, receiving: Mutex::default(), sending: Mutex::default() };
        Ok(Connection { stream, waiting: Some(waiting) })
    }

    pub async fn receive(&self, least: u32, most: u32) -> Result<Vec<u8>> {
        let waiting = self.waiting()?;
        let _turn = waiting.receiving.lock().await;
        let mut bytes = vec![0; most.min(RECEIVE_MAX) as usize];
        let least = (least as usize).min(bytes.len());
        let mut come = 0;
        loop {
            waiting.stream.readable().await.map_err(broken)?;
            match waiting.stream.try_read(&mut bytes[come..]) {
                Ok(got) => {
                    come += got;
                    if got == 0 || come >= least {
                        bytes.truncate(come);
                        return Ok(bytes);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(broken(error)),
            }
        }
    }

    pub async fn receive_payload(&self, length: u32) -> Result<Vec<u8>> {
        self.receive(length, length).await
    }

    pub async fn send(&self, data: Vec<u8>) -> Result<()> {
        let waiting = self.waiting()?;
        let _turn = waiting.sending.lock().await;
        let mut left = data.as_slice();
        while !left.is_empty() {
            waiting.stream.writable().await.map_err(broken)?;
            match waiting.stream.try_write(left) {
                Ok(sent) => left = &left[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(())
    }

    pub fn shut(&self) {
        // A stream that the other side has ended is ended.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn plain(&self) -> Result<&TcpStream> {
        match self.waiting {
            None => Ok(&self.stream),
            Some(_) => Err(Error::wrong_state("a plain function on a stream that was connected for `async` ones")),
        }
    }

    fn waiting(&self) -> Result<&Waiting> {
        let wrong = || Error::wrong_state("an `async` function on a stream that was opened for plain ones");
        self.waiting.as_ref().ok_or_else(wrong)
    }
}

#[allow(clippy::needless_pass_by_value)]
fn broken(error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::timeout(format!("the server does not answer: {error}")),
        _ => Error::unreachable(format!("the connection failed: {error}")),
    }
}
