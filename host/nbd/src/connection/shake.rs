//! The handshake with a client, within its time.

use std::future::poll_fn;
use std::task::Poll;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::INPUT;
use crate::export::Offer;
use crate::handle::{Ending, Listening, Shared};
use crate::handshake::{Agreed, Handshake, Outcome};
use crate::{Export, Geometry, Limits};

/// What was agreed on, and what came after it already. None where nothing was, and the connection is over.
pub(super) async fn hands<S: AsyncRead + AsyncWrite + Unpin>(
    geometry: &Geometry,
    export: &Export,
    limits: &Limits,
    shared: &Shared,
    stream: &mut S,
) -> Option<(Agreed, BytesMut)> {
    let listening = Listening::new(shared);
    let handed_over = poll_fn(|context| {
        listening.register(context.waker());
        if shared.ending.get() == Some(Ending::HandOver) { Poll::Ready(()) } else { Poll::Pending }
    });
    let agreed = tokio::select! {
        agreed = tokio::time::timeout(limits.handshake, haggle(geometry, export, shared, stream)) => agreed,
        () = handed_over => return None,
    };
    match agreed {
        Ok(Ok(agreed)) => agreed,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a client left during the handshake");
            None
        }
        Err(_) => {
            tracing::warn!(
                seconds = limits.handshake.as_secs(),
                "a client was turned away: its handshake took too long"
            );
            None
        }
    }
}

async fn haggle<S: AsyncRead + AsyncWrite + Unpin>(
    geometry: &Geometry,
    export: &Export,
    shared: &Shared,
    stream: &mut S,
) -> std::io::Result<Option<(Agreed, BytesMut)>> {
    let mut input = BytesMut::with_capacity(INPUT);
    let mut output = Vec::new();
    let mut handshake = Handshake::new(&mut output);
    loop {
        stream.write_all(&output).await?;
        stream.flush().await?;
        output.clear();
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(None);
        }
        let fenced = shared.fenced.borrow().clone();
        let offer = Offer::new(geometry, shared.size.get(), fenced, shared.ending.get().is_some());
        match handshake.advance(&mut input, &mut output, export, &offer) {
            Outcome::More => {}
            Outcome::End => {
                stream.write_all(&output).await?;
                return Ok(None);
            }
            Outcome::Serve(agreed) => {
                stream.write_all(&output).await?;
                stream.flush().await?;
                return Ok(Some((agreed, input)));
            }
        }
    }
}
