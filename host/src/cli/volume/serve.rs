//! `fief volume serve`

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::Context;
use crate::domain::{hold, lease};
use crate::error::{Context as _, Failure, Result};
use crate::gate::{Gate, Ledger};
use crate::plugin::Heard;
use crate::sandbox::protocol::AttachAccess;
use crate::storage::{Pool, Service};
use crate::types::{DomainName, Span, VolumeRef};

/// Who holds a volume that is served by hand, beside the names of domains.
const BY_HAND: &str = "by-hand";
/// The generation of an export that nobody writes to.
const UNWRITTEN: u64 = 0;
/// How long the plugin may take to let go of the volume.
const CLOSE_WITHIN: Duration = Duration::from_secs(40);

/// Serve a volume to NBD clients on a socket, until ended
///
/// The pool's plugin serves it, as it serves a domain that uses the volume: `nbdinfo`, `nbdcopy`, `qemu-img` and the like
/// reach it as `nbd+unix:///?socket=PATH`. Ends with Ctrl-C or SIGTERM. A volume that a running domain uses can only be
/// served read-only.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeRef,
    /// Where to listen; the socket is made, and removed at the end
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Refuse every write
    #[arg(long)]
    read_only: bool,
    /// How long the storage may take to answer
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: Span,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let volume = &args.volume;
    let mut pool = Pool::open(&gate, &volume.pool)?;
    if args.read_only {
        let service = Service {
            volume: volume.volume.clone(),
            access: AttachAccess::ReadOnly,
            holder: None,
            generation: UNWRITTEN,
        };
        return wait(context, &gate, &mut pool, service, args);
    }
    super::refuse_in_use(context, volume, "serve")?;
    lease::hold(context.layout(), volume)?;
    let served = serve_held(context, &gate, &mut pool, args);
    served.and(lease::let_go(context.layout(), volume))
}

/// With the volume taken, on this host and for others.
fn serve_held(context: &Context, gate: &Gate, pool: &mut Pool, args: &Args) -> Result<()> {
    let volume = &args.volume;
    let hand: DomainName = BY_HAND.parse().map_err(|error| Failure::other("a name is none").because(error))?;
    let holder = hold::take(gate, pool, volume, &hand)?;
    let generation = holder.generation;
    let service =
        Service { volume: volume.volume.clone(), access: AttachAccess::Exclusive, holder: Some(holder), generation };
    let served = wait(context, gate, pool, service, args);
    served.and(hold::release(gate, pool, volume, &hand))
}

fn wait(context: &Context, gate: &Gate, pool: &mut Pool, service: Service, args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context(|| String::from("cannot wait for signals"))?;
    let name = SocketName(&args.socket);
    runtime.block_on(serve(context, gate, pool, service, name, args.timeout.0))
}

async fn serve(
    context: &Context,
    gate: &Gate,
    pool: &mut Pool,
    service: Service,
    name: SocketName<'_>,
    patience: Duration,
) -> Result<()> {
    let waiting = |kind| signal(kind).context(|| String::from("cannot wait for signals"));
    let (mut interrupt, mut terminate) = (waiting(SignalKind::interrupt())?, waiting(SignalKind::terminate())?);
    let listener = name.listen()?;
    let (tell, mut told) = mpsc::unbounded_channel();
    let heard = move |heard| match heard {
        Heard::Ended(result) => drop(tell.send(result)),
        Heard::Failed(failure) => drop(tell.send(Err(failure))),
        Heard::Resized(geometry) => tracing::info!(size = geometry.size, "the volume has another size"),
        Heard::Fenced(by) => tracing::error!(by, "another host holds the volume"),
        Heard::Degraded(why) => tracing::warn!(why, "the storage does not answer"),
        Heard::Restored => tracing::info!("the storage answers again"),
    };
    let mut ledger = Ledger::volatile();
    let (volume, read_only) = (service.volume.clone(), service.holder.is_none());
    let serving = pool.serve(&mut ledger, service, listener, patience, heard)?;
    let how = if read_only { "served read-only" } else { "served" };
    let item = serde_json::json!({ "socket": name.0, "process": serving.process().pid });
    context.changed("volume", &volume, how, item)?;
    let ended = tokio::select! {
        ended = told.recv() => ended.unwrap_or(Ok(())),
        _ = interrupt.recv() => serving.close(CLOSE_WITHIN),
        _ = terminate.recv() => serving.close(CLOSE_WITHIN),
    };
    let left = gate.undo(&mut ledger).map_err(|failures| {
        failures.into_iter().next().unwrap_or_else(|| Failure::other("the sandbox could not be ended"))
    });
    ended.and(left).map_err(|failure| failure.while_doing(format!("volume {volume} is served no more")))
}

/// The socket in the file system, gone with this.
struct SocketName<'a>(&'a Path);

impl SocketName<'_> {
    /// # Errors
    /// Where something stands there already.
    fn listen(&self) -> Result<OwnedFd> {
        let listener = std::os::unix::net::UnixListener::bind(self.0);
        Ok(listener.context(|| format!("cannot listen on {}", self.0.display()))?.into())
    }
}

impl Drop for SocketName<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}
