//! Bytes between a hypervisor of this host and a peer, both ways, on a thread of their own: neither encryption nor a slow
//! network holds up the supervisor.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::sync::oneshot;

use super::SERVICE;
use super::words::Purpose;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::peer::{Session, Stream};
use crate::types::PeerName;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// What is on its way in each direction, in bytes: several records of TLS.
const THERE: usize = 256 << 10;
const BACK: usize = 16 << 10;

/// The way to a peer, made before there is anything to send.
#[derive(Debug)]
pub struct Pump {
    load: oneshot::Sender<Load>,
}

#[derive(Debug)]
struct Load {
    purpose: Purpose,
    here: UnixStream,
    ready: oneshot::Sender<Result<()>>,
    end: oneshot::Sender<Result<u64>>,
}

impl Pump {
    /// Begins to connect; that it does not work is told where there is something to send. Dropped, it ends.
    pub fn begin(gate: &Gate, peer: &PeerName) -> Result<Pump> {
        let (load, loaded) = oneshot::channel();
        let (gate, peer) = (gate.clone(), peer.clone());
        let work = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                runtime.block_on(carry(&gate, &peer, loaded));
                runtime.shutdown_background();
            }
            Err(error) => tracing::error!(%error, "memory cannot be moved"),
        };
        std::thread::Builder::new().name("pump".into()).spawn(work).context(saying)?;
        Ok(Pump { load })
    }

    /// Connects a hypervisor to its peer's. Gives once both are connected what hears of the end, with the bytes that went there.
    pub async fn connect(self, purpose: Purpose, here: UnixStream) -> Result<oneshot::Receiver<Result<u64>>> {
        let (ready, connected) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let over = || Failure::other("what moves memory ended at once");
        self.load.send(Load { purpose, here, ready, end }).map_err(|_| over())?;
        connected.await.unwrap_or_else(|_| Err(over()))?;
        Ok(ended)
    }
}

fn saying() -> String {
    "memory cannot be moved".to_owned()
}

async fn carry(gate: &Gate, peer: &PeerName, loaded: oneshot::Receiver<Load>) {
    let session = Session::connect(gate, peer, CONNECT_WITHIN).await;
    let Ok(Load { purpose, here, ready, end }) = loaded.await else { return };
    let streams = async {
        // A way that broke while nothing was to be sent is made anew.
        let (session, there) = match session {
            Ok(session) => match session.open_stream(SERVICE, &purpose, CONNECT_WITHIN).await {
                Err(failure) if failure.kind == Kind::Unreachable => anew(gate, peer, &purpose).await?,
                there => (session, there?),
            },
            Err(_) => anew(gate, peer, &purpose).await?,
        };
        here.set_nonblocking(true).context(saying)?;
        Ok((session, tokio::net::UnixStream::from_std(here).context(saying)?, there))
    };
    // Whoever waited may be gone, here and below.
    let (_session, mut here, mut there) = match streams.await {
        Ok(streams) => streams,
        Err(failure) => return drop(ready.send(Err(failure))),
    };
    let _ = ready.send(Ok(()));
    let copied = copy_bidirectional_with_sizes(&mut here, &mut there, THERE, BACK).await;
    let _ = end.send(copied.map(|(sent, _)| sent).context(|| format!("the way to the peer {peer} broke")));
}

async fn anew(gate: &Gate, peer: &PeerName, purpose: &Purpose) -> Result<(Session, Stream)> {
    let session = Session::connect(gate, peer, CONNECT_WITHIN).await?;
    let there = session.open_stream(SERVICE, purpose, CONNECT_WITHIN).await?;
    Ok((session, there))
}
