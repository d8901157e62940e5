//! Listens, and serves many clients in one task.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};

use crate::blocks::Blocks;
use crate::connection;
use crate::handle::{Listening, Shared};
use crate::perform::Ground;
use crate::{Device, Error, Export, Handle, Limits};

/// How long to wait after a connection could not be taken (no descriptors left, say) before the next try.
const AFTER_A_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Serves one device under one name.
#[derive(Debug)]
pub struct Server<D> {
    ground: Ground<D>,
    export: Export,
    limits: Limits,
    shared: Rc<Shared>,
}

impl<D: Device> Server<D> {
    /// # Errors
    /// Where the device's geometry is none.
    pub fn new(device: D, export: Export, limits: Limits) -> Result<Self, Error> {
        let geometry = device.geometry().checked()?;
        let shared = Rc::new(Shared::new(&geometry));
        let ground = Ground { device, geometry, blocks: Blocks::default() };
        Ok(Server { ground, export, limits, shared })
    }

    pub fn handle(&self) -> Handle {
        Handle::new(Rc::clone(&self.shared))
    }

    /// Takes connections until a [`Handle`] says to end, and then sees those that are there to their end. What a client
    /// does wrong ends its connection and nothing else.
    pub async fn listen(&self, listener: &UnixListener) {
        let mut connections = FuturesUnordered::new();
        // One, which is so asked only when it was woken: each request wakes all that is here.
        let mut arriving = FuturesUnordered::from_iter([accept(listener)]);
        let listening = Listening::new(&self.shared);
        loop {
            let ended = poll_fn(|context| {
                listening.register(context.waker());
                if self.shared.ending.get().is_some() { Poll::Ready(()) } else { Poll::Pending }
            });
            tokio::select! {
                biased;
                () = ended => break,
                Some(()) = connections.next(), if !connections.is_empty() => {}
                Some(stream) = arriving.next() => {
                    arriving.push(accept(listener));
                    if connections.len() < self.limits.connections {
                        connections.push(self.connection(stream));
                    } else {
                        tracing::warn!(most = self.limits.connections, "a client was turned away: too many connections");
                    }
                }
            }
        }
        while connections.next().await.is_some() {}
    }

    /// Serves the client at the other end of `stream`, until it or a [`Handle`] ends it.
    pub async fn connection(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        self.shared.count(|statistics| statistics.connections_seen += 1);
        connection::serve(&self.ground, &self.export, &self.limits, &self.shared, stream).await;
    }
}

async fn accept(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(AFTER_A_FAILED_ACCEPT).await;
            }
        }
    }
}
