//! Bytes between a hypervisor of this host and a peer, both ways, on a thread of their own: neither encryption nor a slow
//! network holds up the supervisor.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::sync::oneshot;

use super::SERVICE;
use super::words::Purpose;
use crate::error::{Context, Failure, Result};
use crate::gate::Gate;
use crate::peer::Session;
use crate::types::PeerName;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// What is on its way in each direction, in bytes: several records of TLS.
const THERE: usize = 256 << 10;
const BACK: usize = 16 << 10;

/// Connects a hypervisor to its peer's. Gives once both are connected what hears of the end, with the bytes that went there.
pub async fn connect(
    gate: &Gate,
    peer: &PeerName,
    purpose: Purpose,
    here: UnixStream,
) -> Result<oneshot::Receiver<Result<u64>>> {
    let (ready, connected) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let (gate, peer) = (gate.clone(), peer.clone());
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = runtime.context(|| "cannot move memory".to_owned()).and_then(|runtime| {
            let result = runtime.block_on(all(&gate, &peer, purpose, here, ready));
            runtime.shutdown_background();
            result
        });
        // Whoever waited may be gone.
        let _ = end.send(result);
    };
    std::thread::Builder::new().name("pump".into()).spawn(work).context(|| "cannot move memory".to_owned())?;
    match connected.await {
        Ok(()) => Ok(ended),
        Err(_) => match ended.await {
            Ok(Err(failure)) => Err(failure),
            Ok(Ok(_)) | Err(_) => Err(Failure::other("what moves memory ended at once")),
        },
    }
}

async fn all(
    gate: &Gate,
    peer: &PeerName,
    purpose: Purpose,
    here: UnixStream,
    ready: oneshot::Sender<()>,
) -> Result<u64> {
    let session = Session::connect(gate, peer, CONNECT_WITHIN).await?;
    let mut there = session.open_stream(SERVICE, &purpose, CONNECT_WITHIN).await?;
    let saying = || "memory cannot be moved".to_owned();
    here.set_nonblocking(true).context(saying)?;
    let mut here = tokio::net::UnixStream::from_std(here).context(saying)?;
    let _ = ready.send(());
    let copied = copy_bidirectional_with_sizes(&mut here, &mut there, THERE, BACK).await;
    let (sent, _) = copied.context(|| format!("the way to the peer {peer} broke"))?;
    Ok(sent)
}
