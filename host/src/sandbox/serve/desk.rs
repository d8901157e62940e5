//! The control socket of a sandbox that serves: asks go out and answers come in side by side, and none of it holds up the
//! volume. Where the host is gone, asks are answered at once.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::OFlags;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use crate::sandbox::protocol::{Ask, ErrorCode, FRAME_MAX, FromSandbox, PluginError, Retry, Tell, ToSandbox};
use crate::sandbox::room::Answered;
use crate::sys::message;

/// Frames that wait for the host to read: beyond that, log lines are lost and asks are refused.
const OUTGOING_MAX: usize = 256;
/// What the host may tell before it is heard.
const TOLD_MAX: usize = 16;
/// Asks under way.
const ASKS_MAX: usize = 64;

/// Where asks are put, and frames to the host.
#[derive(Clone)]
pub(in crate::sandbox) struct Desk(Arc<Inner>);

struct Inner {
    out: mpsc::Sender<FromSandbox>,
    asks: Mutex<Asks>,
    gone: AtomicBool,
}

#[derive(Default)]
struct Asks {
    next: u64,
    open: HashMap<u64, oneshot::Sender<Answered>>,
}

/// The other end of it, for the one who serves.
pub(super) struct Back {
    pub(super) told: mpsc::Receiver<Tell>,
    /// Ends when all that was said is on its way, or the host is gone.
    pub(super) writer: tokio::task::JoinHandle<()>,
}

fn unreachable(message: &str) -> Answered {
    let error = PluginError { code: ErrorCode::Unreachable, message: message.into(), retry: Retry::AfterMs(1_000) };
    (Err(error), Vec::new())
}

impl Desk {
    /// Takes the control socket, within a runtime.
    pub(super) fn open(socket: std::os::unix::net::UnixStream) -> Result<(Desk, Back)> {
        let flags = rustix::fs::fcntl_getfl(&socket)?;
        rustix::fs::fcntl_setfl(&socket, flags | OFlags::NONBLOCK)?;
        let socket = Arc::new(UnixStream::from_std(socket)?);
        let (out, outgoing) = mpsc::channel(OUTGOING_MAX);
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let desk = Desk(Arc::new(Inner { out, asks: Mutex::default(), gone: AtomicBool::new(false) }));
        let reader = desk.clone();
        let reading = socket.clone();
        tokio::spawn(async move {
            // Whether it ended well or not: nobody is there any more.
            let _ = read(&reading, &reader, &tell).await;
            reader.close();
        });
        let writer = tokio::spawn(write(socket, outgoing));
        Ok((desk, Back { told, writer }))
    }

    /// Whether the host has closed its end.
    pub(super) fn is_alone(&self) -> bool {
        self.0.gone.load(Ordering::Acquire)
    }

    /// Says something, if there is room for it.
    pub(in crate::sandbox) fn say(&self, frame: FromSandbox) {
        let _ = self.0.out.try_send(frame);
    }

    pub(in crate::sandbox) async fn ask(&self, ask: Ask) -> Answered {
        let (send, answer) = oneshot::channel();
        {
            let Ok(mut asks) = self.0.asks.lock() else { return unreachable("the host is not asked") };
            if self.is_alone() {
                return unreachable("the host is away");
            }
            if asks.open.len() >= ASKS_MAX {
                return unreachable("the host was asked too much at a time");
            }
            asks.next += 1;
            let number = asks.next;
            if self.0.out.try_send(FromSandbox::AskAs(number, ask)).is_err() {
                return unreachable("the host does not listen");
            }
            asks.open.insert(number, send);
        }
        answer.await.unwrap_or_else(|_| unreachable("the host went away"))
    }

    fn answer(&self, number: u64, answered: Answered) {
        let waiting = self.0.asks.lock().ok().and_then(|mut asks| asks.open.remove(&number));
        if let Some(waiting) = waiting {
            // Whoever asked may have given up.
            let _ = waiting.send(answered);
        }
    }

    fn close(&self) {
        self.0.gone.store(true, Ordering::Release);
        if let Ok(mut asks) = self.0.asks.lock() {
            // Dropping the senders is the answer.
            asks.open.clear();
        }
    }
}

/// Takes what the host says until it is gone.
async fn read(socket: &UnixStream, desk: &Desk, tell: &mpsc::Sender<Tell>) -> Result<()> {
    let mut descriptors = Vec::new();
    loop {
        let mut length = [0; 4];
        fill(socket, &mut length, &mut descriptors).await?;
        let length = u32::from_le_bytes(length) as usize;
        if length > FRAME_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; length];
        fill(socket, &mut bytes, &mut descriptors).await?;
        match serde_json::from_slice(&bytes)? {
            ToSandbox::AnswerTo(number, answer) => desk.answer(number, (answer, std::mem::take(&mut descriptors))),
            ToSandbox::Tell(told) => drop(tell.try_send(told)),
            ToSandbox::Load { .. }
            | ToSandbox::Compile { .. }
            | ToSandbox::Call(_)
            | ToSandbox::Answer(_)
            | ToSandbox::Serve(_) => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

async fn fill(socket: &UnixStream, mut bytes: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> Result<()> {
    while !bytes.is_empty() {
        let (got, more) = socket.async_io(Interest::READABLE, || message::receive(socket, bytes)).await?;
        if got == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        descriptors.extend(more);
        bytes = &mut bytes[got..];
    }
    Ok(())
}

async fn write(socket: Arc<UnixStream>, mut outgoing: mpsc::Receiver<FromSandbox>) {
    while let Some(frame) = outgoing.recv().await {
        let Ok(bytes) = framed(&frame) else { continue };
        if send(&socket, &bytes).await.is_err() {
            return;
        }
    }
}

fn framed(frame: &FromSandbox) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, frame)?;
    let length = bytes.len() - 4;
    if length > FRAME_MAX {
        return Err(Error::from(ErrorKind::FileTooLarge));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

async fn send(socket: &UnixStream, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let sent = socket.async_io(Interest::WRITABLE, || message::send(socket, bytes, &[])).await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}
