//! A plugin into a process of its own: its compiled code, and the directories that it has.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::config::policy::Limits;
use crate::error::{Failure, Kind, Result};
use crate::gate::{Actor, Gate, Ledger, Mode, Operation};
use crate::plugin::process::Process;
use crate::plugin::{Effective, Installed, Patience, cache, failure};
use crate::sandbox::protocol::{Ability, FromSandbox, Preopen, ToSandbox};
use crate::types::{Access, PluginId};

/// A sandbox that has been told to load and says nothing for this long is stuck.
const LOAD_WAIT: Duration = Duration::from_secs(30);

/// Loads a plugin that is not installed yet, with all that it asks for and no directory, to see that it fits.
pub(super) fn try_load(gate: &Gate, installed: &Installed) -> Result<()> {
    use crate::plugin::manifest::Permission;
    let asked = installed.manifest.permissions.iter().filter_map(|permission| match permission {
        Permission::Interface { interface, .. } => Some(*interface),
        Permission::Directory { .. } | Permission::Connect { .. } | Permission::Secret { .. } => None,
    });
    let all = Effective { interfaces: asked.collect(), ..Effective::default() };
    load(gate, installed, &all, (&Limits::default(), Patience::Work), &[]).map(|_| ())
}

/// The directories that the plugin has, opened by the gate.
pub(super) fn open_directories(
    gate: &Gate,
    plugin: &PluginId,
    effective: &Effective,
) -> Result<Vec<(Preopen, OwnedFd)>> {
    let mut opened = Vec::new();
    for (name, access) in &effective.directories {
        // A dry run changes nothing, and a plugin that could write would.
        let access = match gate.mode() {
            Mode::Perform => *access,
            Mode::DryRun => Access::ReadOnly,
        };
        let operation = Operation::DirectoryOpen { plugin: plugin.clone(), directory: name.clone(), access };
        let done = gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?;
        let descriptor = done
            .descriptors
            .into_iter()
            .next()
            .ok_or_else(|| Failure::other(format!("the directory {name} of the plugin {plugin} was not opened")))?;
        opened.push((Preopen { name: name.to_string(), access }, descriptor));
    }
    Ok(opened)
}

/// A process with the plugin loaded, and the optional interfaces that it exports. Compiled code that the engine
/// refuses is compiled anew, once: it may be of another version of fief, or another processor's.
pub(super) fn load(
    gate: &Gate,
    installed: &Installed,
    effective: &Effective,
    (limits, patience): (&Limits, Patience),
    directories: &[(Preopen, OwnedFd)],
) -> Result<(Process, Vec<Ability>)> {
    let id = &installed.manifest.id;
    let uid = identity(gate, id)?;
    let code = cache::open(gate.layout(), installed.digest, uid, false)?;
    let begin = |code: &File| -> Result<(Process, Vec<Ability>)> {
        let mut process = Process::start(uid)?;
        let frame = ToSandbox::Load {
            plugin: id.clone(),
            kind: installed.manifest.kind,
            serves: false,
            interfaces: effective.interfaces.clone(),
            directories: directories.iter().map(|(preopen, _)| preopen.clone()).collect(),
            limits: limits.clone(),
            silence_ms: patience.silence_ms(),
            clock_ms: None,
        };
        let descriptors: Vec<_> =
            std::iter::once(code.as_fd()).chain(directories.iter().map(|(_, fd)| fd.as_fd())).collect();
        process.send(&frame, &descriptors)?;
        match process.receive(Instant::now() + LOAD_WAIT)? {
            FromSandbox::Ready { exports } => Ok((process, exports)),
            FromSandbox::Return(Err(error)) => Err(failure::of_load(&error)),
            FromSandbox::Compiled
            | FromSandbox::Ask(_)
            | FromSandbox::AskAs(..)
            | FromSandbox::Serving(_)
            | FromSandbox::Event(_)
            | FromSandbox::Log { .. }
            | FromSandbox::Return(Ok(_)) => {
                Err(Failure::new(Kind::PluginFault, "its sandbox sent a frame that is no answer"))
            }
        }
    };
    begin(&code)
        .or_else(|first| match cache::open(gate.layout(), installed.digest, uid, true) {
            Ok(code) => begin(&code),
            // What does not compile says more than that it did not load.
            Err(second) if second.kind == Kind::PluginFault => Err(second),
            Err(_) => Err(first),
        })
        .map_err(|failure| failure.while_doing(format!("the plugin {id} does not load")))
}

/// The user that the plugin's sandbox runs as; none where this process is not root.
fn identity(gate: &Gate, plugin: &PluginId) -> Result<Option<u32>> {
    crate::gate::identity::plugin_uid(gate.layout(), gate.policy(), plugin)
}
