//! Frames on their way to the other host, whichever of the two connected.

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::FRAME;

/// Sends what comes out of the queue until nobody puts anything in, or the other host takes it no more: the reader finds
/// that out as well, and tells.
pub(super) async fn write(mut to: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        let written = async {
            to.write_all(&bytes).await?;
            to.flush().await
        };
        if !matches!(tokio::time::timeout(FRAME, written).await, Ok(Ok(()))) {
            break;
        }
    }
    let _ = tokio::time::timeout(FRAME, to.shutdown()).await;
}
