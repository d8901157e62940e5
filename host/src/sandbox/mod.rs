//! The other room: `fief sandbox`, a process without privilege that runs one plugin.
//!
//! ```text
//!   started by plugin/process.rs          sys/confine.rs: other user, no capabilities, empty network, no environment
//!    └▸ run                               checks that it holds no privilege, reads the first frame
//!        ├▸ Load     load.rs              maps the compiled component, links what was granted
//!        │   └▸ lockdown.rs               Landlock, then the ticker thread, then seccomp: nothing opens, nothing runs
//!        │       └▸ Call … instance.rs    a fresh store and instance for each call, within limits.rs
//!        └▸ Compile  compile.rs           lockdown first, for the compiler reads bytes that nobody vouched for
//! ```

mod call;
mod compile;
mod engine;
mod instance;
mod interface;
mod lent;
mod limits;
mod load;
mod lockdown;
mod log;
mod outbox;
pub mod protocol;
mod room;
mod serve;
mod ticker;
mod version;

pub use engine::settings;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use protocol::wire::Wire;
use protocol::{CallError, FromSandbox, ToSandbox};

/// The whole life of a sandbox process; gives its exit code. The control socket is its standard input.
pub fn run() -> u8 {
    let Ok(wire) = control().map(Arc::new) else {
        return 2;
    };
    match live(&wire) {
        Ok(()) => 0,
        Err(reason) => {
            // The host may be gone, which is a reason to be here; then nobody is left to tell.
            let _ = wire.send(&FromSandbox::Return(Err(CallError::Trapped(reason))), &[]);
            1
        }
    }
}

fn control() -> std::io::Result<Wire> {
    let socket: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::open("/dev/null")?;
    // Nothing but `wire` holds the socket from here on.
    rustix::stdio::dup2_stdin(&null)?;
    Ok(Wire::new(UnixStream::from(socket)))
}

/// # Errors
/// Why this sandbox cannot do its work: the host shows it as the cause of a plugin fault.
fn live(wire: &Arc<Wire>) -> Result<(), String> {
    lockdown::refuse_privilege()?;
    let gone = |error: std::io::Error| format!("the control socket failed: {error}");
    let Some((first, descriptors)) = wire.receive_with_descriptors::<ToSandbox>().map_err(gone)? else {
        return Ok(());
    };
    match first {
        ToSandbox::Compile { limits } => compile::compile(wire, &limits, descriptors),
        ToSandbox::Load { plugin: _, kind, serves, interfaces, directories, limits, silence_ms, clock_ms } => {
            let silence = Duration::from_millis(silence_ms.into());
            let clock = clock_ms.map(Duration::from_millis);
            let request = load::Request { kind, serves, interfaces, directories, limits, silence, clock };
            match load::load(wire, request, descriptors)? {
                (plugin, None) => plugin.answer_calls(wire).map_err(gone),
                (plugin, Some(listener)) => match wire.receive::<ToSandbox>().map_err(gone)? {
                    Some(ToSandbox::Serve(serve)) => {
                        let control = wire.socket().try_clone().map_err(gone)?;
                        plugin.serve_volume(control, listener, serve).map_err(gone)
                    }
                    None => Ok(()),
                    Some(_) => Err("the frame after Load was not Serve".into()),
                },
            }
        }
        ToSandbox::Call(_)
        | ToSandbox::Answer(_)
        | ToSandbox::Serve(_)
        | ToSandbox::AnswerTo(..)
        | ToSandbox::Tell(_) => Err("the first frame was neither Load nor Compile".into()),
    }
}
