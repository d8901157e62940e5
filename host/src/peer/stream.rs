//! Bytes between two hosts, once both know what they are for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::sys::stream::{Watch, watch_over};

/// Encrypted, or in the clear where it does not leave the machine and both operators said so.
#[derive(Debug)]
pub enum Stream {
    Encrypted(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

impl Stream {
    pub fn is_encrypted(&self) -> bool {
        match self {
            Stream::Encrypted(_) => true,
            Stream::Plain(_) => false,
        }
    }

    /// What is sent from here is read at once, whatever comes: where none of it is acknowledged for half a minute, the other
    /// side is gone.
    pub fn is_read_at_once(&self) -> std::io::Result<()> {
        match self {
            Stream::Encrypted(stream) => watch_over(stream.get_ref().0, Watch::Words),
            Stream::Plain(stream) => watch_over(stream, Watch::Words),
        }
    }
}

macro_rules! either {
    ($stream:ident, $inner:ident => $what:expr) => {
        match $stream.get_mut() {
            Stream::Encrypted(stream) => {
                let $inner = Pin::new(stream.as_mut());
                $what
            }
            Stream::Plain(stream) => {
                let $inner = Pin::new(stream);
                $what
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, inner => inner.poll_write(cx, bytes))
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_flush(cx))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, inner => inner.poll_shutdown(cx))
    }
}
