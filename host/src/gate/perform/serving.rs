//! Sandboxes that serve a volume. One outlives the supervisor that started it, as the hypervisor does that it serves;
//! what it may do is said over its control socket, which is what this gives back.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Done, Gate, Operation, Outcome};
use crate::error::{Context, Failure, Result};
use crate::gate::identity::plugin_uid;
use crate::sys::confine::{self, Life, Room};
use crate::sys::process;

/// After the request to end: nothing it holds needs more time, for whoever wants its volume closed well says so before.
const GRACE: Duration = Duration::from_millis(200);

pub(super) fn act(gate: &Gate, operation: &Operation) -> Result<Done> {
    let Operation::ServingStart { plugin, volume, .. } = operation else {
        return Err(Failure::other(format!("not an operation on served volumes: {operation:?}")));
    };
    let saying = || format!("cannot start a sandbox for volume {volume}");
    let uid = plugin_uid(gate.layout(), gate.policy(), plugin)?;
    let (here, there) = UnixStream::pair().context(saying)?;
    let mut child =
        confine::spawn(&process::sandbox_executable(), Room::Sandbox, there, uid, Life::OfItsOwn).context(saying)?;
    match process::identify(child.id()) {
        Some(process) => Ok(Done { outcome: Outcome::Process { process }, descriptors: vec![OwnedFd::from(here)] }),
        None => {
            // It has ended already; its status is all that is left.
            let status = child.wait().context(saying)?;
            Err(Failure::other(format!("it ended at once ({status})")).while_doing(saying()))
        }
    }
}

/// Without an outcome there is nothing to end: whoever died in the act held the other end of its control socket, and a
/// sandbox that was told nothing yet ends with that.
pub(super) fn undo(operation: &Operation, outcome: Option<&Outcome>) -> Result<()> {
    match (operation, outcome) {
        (Operation::ServingStart { volume, .. }, Some(Outcome::Process { process })) => {
            process::end(*process, GRACE).context(|| format!("cannot end the sandbox that serves volume {volume}"))
        }
        (_, _) => Ok(()),
    }
}
