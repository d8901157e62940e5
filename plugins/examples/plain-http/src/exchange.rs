//! One request over one stream, and its answer.

use std::cell::RefCell;

use fief_sdk::connections::Connection;
use fief_sdk::{Error, ErrorCode, Result};
use futures_util::FutureExt;

use crate::answer::{Answer, Body, Chunks, head};
use crate::request::Request;

/// Most bytes of a stream that are asked for at once.
const AT_ONCE: u32 = 256 << 10;

/// A stream for either kind of call.
pub(crate) trait Stream {
    async fn send(&self, bytes: Vec<u8>) -> Result<()>;
    /// None once the other side has closed; else at least `least`, where that can be waited for, or its last bytes.
    async fn receive(&self, least: u32) -> Result<Vec<u8>>;
}

/// Of plain functions: its futures are ready whenever they are looked at.
struct Plain(Connection);

impl Stream for Plain {
    async fn send(&self, bytes: Vec<u8>) -> Result<()> {
        self.0.write(&bytes)
    }
    async fn receive(&self, _: u32) -> Result<Vec<u8>> {
        self.0.read(AT_ONCE)
    }
}

impl Stream for Connection {
    async fn send(&self, bytes: Vec<u8>) -> Result<()> {
        Connection::send(self, bytes).await
    }
    async fn receive(&self, least: u32) -> Result<Vec<u8>> {
        Connection::receive(self, least.min(AT_ONCE), AT_ONCE).await
    }
}

/// Whoever asks a server: [`Once`] or a [`Client`](crate::Client). What is written against it does for control calls and for a
/// served volume alike.
#[allow(async_fn_in_trait, reason = "one thread")]
pub trait Ask {
    /// `most`: bytes of a body that are taken.
    ///
    /// # Errors
    /// Those of the implementation.
    async fn ask(&self, request: &Request, most: usize) -> Result<Answer>;
}

/// For control calls: one request after the other over one stream, to what the grant stands for.
///
/// Its errors: `unreachable`, `timeout`: another try may help. `corrupt`: the server speaks no HTTP, or says too much. `denied`:
/// not granted.
pub struct Once {
    grant: &'static str,
    kept: RefCell<Option<Plain>>,
}

impl Once {
    /// Connects when it is first asked.
    pub fn new(grant: &'static str) -> Self {
        Once { grant, kept: RefCell::default() }
    }
}

impl Ask for Once {
    async fn ask(&self, request: &Request, most: usize) -> Result<Answer> {
        let kept = self.kept.take();
        let was_kept = kept.is_some();
        let stream = match kept {
            Some(kept) => kept,
            None => Plain(Connection::open(self.grant)?),
        };
        match exchange(&stream, request, most).await {
            Ok((answer, stays)) => {
                self.kept.replace(stays.then_some(stream));
                Ok(answer)
            }
            // A server ends streams when it likes.
            Err(error) if was_kept && error.code == ErrorCode::Unreachable => {
                let stream = Plain(Connection::open(self.grant)?);
                exchange(&stream, request, most).await.map(|(answer, _)| answer)
            }
            Err(error) => Err(error),
        }
    }
}

/// Runs what asks by [`Once`], and waits for nothing else.
///
/// # Errors
/// Those of the future.
pub fn now<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    future.now_or_never().unwrap_or_else(|| Err(Error::io("a plain call waited for something that never comes")))
}

/// With the answer, whether another request may follow on this stream.
pub(crate) async fn exchange(stream: &impl Stream, request: &Request, most: usize) -> Result<(Answer, bool)> {
    stream.send(request.head()).await?;
    if !request.body.is_empty() {
        stream.send(request.body.to_vec()).await?;
    }
    let mut bytes = Vec::new();
    let head = loop {
        match head(&bytes, request.method == "HEAD", most)? {
            // `100 Continue` and its like come before the answer.
            Some(head) if (100..200).contains(&head.answer.status) => drop(bytes.drain(..head.length)),
            Some(head) => break head,
            None => more(stream, &mut bytes, 1).await?,
        }
    };
    bytes.drain(..head.length);
    let mut answer = head.answer;
    match head.body {
        Body::Length(length) => {
            while bytes.len() < length {
                let missing = length - bytes.len();
                more(stream, &mut bytes, missing).await?;
            }
            let rest = bytes.split_off(length);
            answer.body = bytes;
            Ok((answer, head.stays && rest.is_empty()))
        }
        Body::Chunks => {
            let mut chunks = Chunks::default();
            while !chunks.take(&mut bytes, most)? {
                more(stream, &mut bytes, 1).await?;
            }
            answer.body = chunks.body;
            Ok((answer, head.stays && bytes.is_empty()))
        }
        Body::ToTheEnd => {
            loop {
                if bytes.len() > most {
                    return Err(crate::answer::malformed("its body is longer than what was asked for"));
                }
                let next = stream.receive(1).await?;
                if next.is_empty() {
                    break;
                }
                bytes.extend(next);
            }
            answer.body = bytes;
            Ok((answer, false))
        }
    }
}

async fn more(stream: &impl Stream, bytes: &mut Vec<u8>, least: usize) -> Result<()> {
    let next = stream.receive(u32::try_from(least).unwrap_or(AT_ONCE)).await?;
    if next.is_empty() {
        return Err(Error::unreachable("the server closed the connection in the middle of an answer"));
    }
    match bytes.is_empty() {
        true => *bytes = next,
        false => bytes.extend(next),
    }
    Ok(())
}
