//! `fief:storage/connections`: streams that the gate connected and handed over. The sandbox never sees an address, and
//! could not connect anything by itself.

use std::fmt::Display;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::net::Shutdown;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Mutex;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::{Payload, mismatch, words};
use crate::sandbox::outbox::Mailer;
use crate::sandbox::protocol::{Ask, Reply};
use crate::sandbox::room::{self, Room};
use crate::sandbox::version::v0_1::fief::storage::connections::{Host, HostConnection, HostConnectionWithStore};
use crate::sandbox::version::v0_1::fief::types::types::{Error, ErrorCode, Retry};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// Most bytes of one `receive`, and those for which a buffer is kept for each stream that is read.
const RECEIVE_MAX: usize = 1 << 20;
const KEPT: usize = 256 << 10;

/// An open stream.
pub struct Stream(Arc<Shared>);

struct Shared {
    /// The socket once more, to end it while others read and write.
    socket: OwnedFd,
    receiving: Mutex<Receiving>,
    sending: Arc<Mailer>,
}

struct Receiving {
    half: OwnedReadHalf,
    buffer: Vec<u8>,
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn broken(error: impl Display) -> Error {
    Error {
        code: ErrorCode::Unreachable,
        message: format!("the connection failed: {error}"),
        retry: Retry::AfterMs(1_000),
    }
}

fn silent(silence: Duration) -> Error {
    let message = format!("the server has said nothing for {} s", silence.as_secs());
    Error { code: ErrorCode::Timeout, message, retry: Retry::AfterMs(1_000) }
}

/// A stream out of the host's answer, taken into this runtime.
async fn connect(host: room::Host, grant: String) -> Answer<Stream> {
    let (answer, descriptors) = host.ask_for_descriptors(Ask::Connect { grant }).await?;
    let socket = match (answer, descriptors.into_iter().next()) {
        (Err(error), _) => return Ok(Err(words::error(error))),
        (Ok(Reply::Connection), Some(socket)) => socket,
        (Ok(reply), _) => return mismatch(&reply),
    };
    // What the standard library does here is ioctl(2), which is not among the allowed calls.
    rustix::fs::fcntl_setfl(&socket, OFlags::RDWR | OFlags::NONBLOCK)?;
    let stream = TcpStream::from_std(socket.as_fd().try_clone_to_owned()?.into())?;
    let (half, sending) = stream.into_split();
    let receiving = Receiving { half, buffer: Vec::new() };
    Ok(Ok(Stream(Arc::new(Shared { socket, receiving: Mutex::new(receiving), sending: Mailer::new(sending) }))))
}

impl Shared {
    async fn receive(&self, least: usize, most: u32) -> Result<Vec<u8>, Error> {
        let mut receiving = self.receiving.lock().await;
        let Receiving { half, buffer } = &mut *receiving;
        let most = (most as usize).min(RECEIVE_MAX);
        if most == 0 {
            let message = "no bytes at most are no question".into();
            return Err(Error { code: ErrorCode::Invalid, message, retry: Retry::Never });
        }
        let least = least.clamp(1, most);
        // What is asked for at most is mostly more than comes.
        buffer.reserve_exact(KEPT.min(most).max(least));
        // Somebody who gave up may have left something here.
        while buffer.len() < least {
            let room = most - buffer.len();
            if (&mut *half).take(room as u64).read_buf(buffer).await.map_err(broken)? == 0 {
                break;
            }
        }
        if buffer.len() > most {
            let rest = buffer.split_off(most);
            return Ok(std::mem::replace(buffer, rest));
        }
        // Little is copied, so that the buffer stays; much changes hands.
        if buffer.len() < KEPT / 8 {
            let bytes = buffer.clone();
            buffer.clear();
            Ok(bytes)
        } else {
            Ok(std::mem::take(buffer))
        }
    }
}

impl Room {
    fn stream(&self, stream: &Resource<Stream>) -> wasmtime::Result<Arc<Shared>> {
        Ok(self.table.get(stream)?.0.clone())
    }
}

impl Host for Room {}

/// Plain functions: the plugin waits, and this process goes on.
impl HostConnection for Room {
    async fn open(&mut self, grant: String) -> Answer<Resource<Stream>> {
        match connect(self.host.clone(), grant).await? {
            Ok(stream) => Ok(Ok(self.table.push(stream)?)),
            Err(error) => Ok(Err(error)),
        }
    }
    async fn read(&mut self, stream: Resource<Stream>, maximum: u32) -> Answer<Vec<u8>> {
        let stream = self.stream(&stream)?;
        let read = tokio::time::timeout(self.silence, stream.receive(1, maximum)).await;
        Ok(read.unwrap_or_else(|_| Err(silent(self.silence))))
    }
    async fn write(&mut self, stream: Resource<Stream>, data: Vec<u8>) -> Answer<()> {
        Ok(self.stream(&stream)?.sending.write(data).await.map_err(broken))
    }
    fn shut(&mut self, stream: Resource<Stream>) -> wasmtime::Result<()> {
        // One that the other side has ended is ended.
        let _ = rustix::net::shutdown(&self.stream(&stream)?.socket, Shutdown::Both);
        Ok(())
    }
    fn drop(&mut self, stream: Resource<Stream>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        if let Some(outbox) = &self.outbox {
            outbox.bound();
        }
        Ok(())
    }
}

impl HostConnectionWithStore<Room> for HasSelf<Room> {
    async fn connect(accessor: &Accessor<Room, Self>, grant: String) -> Answer<Resource<Stream>> {
        let host = accessor.with(|mut access| access.get().host.clone());
        match connect(host, grant).await? {
            Ok(stream) => Ok(Ok(accessor.with(|mut access| access.get().table.push(stream))?)),
            Err(error) => Ok(Err(error)),
        }
    }
    async fn receive(
        accessor: &Accessor<Room, Self>,
        stream: Resource<Stream>,
        least: u32,
        most: u32,
    ) -> Answer<Vec<u8>> {
        let stream = accessor.with(|mut access| access.get().stream(&stream))?;
        Ok(stream.receive(least as usize, most).await)
    }
    async fn receive_payload(
        accessor: &Accessor<Room, Self>,
        stream: Resource<Stream>,
        length: u32,
    ) -> Answer<Resource<Payload>> {
        let stream = accessor.with(|mut access| access.get().stream(&stream))?;
        match stream.receive(length as usize, length).await {
            Ok(bytes) => Ok(Ok(accessor.with(|mut access| access.get().keep(bytes))?)),
            Err(error) => Ok(Err(error)),
        }
    }
    async fn send(accessor: &Accessor<Room, Self>, stream: Resource<Stream>, data: Vec<u8>) -> Answer<()> {
        let (stream, outbox) = accessor.with(|mut access| -> wasmtime::Result<_> {
            let room = access.get();
            Ok((room.stream(&stream)?, room.outbox.clone()))
        })?;
        let sent = match outbox {
            Some(outbox) => stream.sending.post(data, &outbox).await,
            None => stream.sending.write(data).await,
        };
        Ok(sent.map_err(broken))
    }
}
