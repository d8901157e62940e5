//! A Unix socket's bytes over a stream: QEMU on one host speaks with QEMU on another (a disk that is mirrored, memory), and
//! neither sees the network.

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::Stream;
use crate::error::{Context, Result};

/// What is handed on at once, in bytes.
const PIECE: usize = 256 << 10;

/// Hands on what either side says, until both have ended, or one of them breaks. Gives how much went from the socket to the
/// stream, and back.
pub async fn bridge(mut socket: UnixStream, mut stream: impl Stream) -> Result<(u64, u64)> {
    let both = tokio::io::copy_bidirectional_with_sizes(&mut socket, &mut stream, PIECE, PIECE).await;
    // Either way neither is to wait for more.
    let (_, _) = tokio::join!(socket.shutdown(), stream.shutdown());
    both.context(|| "the way between the two hypervisors broke".to_owned())
}
