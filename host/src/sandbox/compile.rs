//! `Compile`: the component's bytes in by one descriptor, machine code out by another. The compiler reads what nobody
//! vouched for, so the doors are shut before it begins.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use super::protocol::FromSandbox;
use super::protocol::wire::Wire;
use super::{engine, lockdown};
use crate::config::policy::Limits;

/// Memory of a compilation, in bytes: a plugin of 10 MiB takes about a quarter of it.
const MEMORY: u64 = 1 << 30;
/// Processor time of a compilation, in seconds: a plugin of 10 MiB takes about ten on an old machine.
const CPU_SECONDS: u64 = 120;

/// # Errors
/// Why it did not compile.
pub(super) fn compile(wire: &Wire, _limits: &Limits, descriptors: Vec<OwnedFd>) -> Result<(), String> {
    let mut descriptors = descriptors.into_iter().map(File::from);
    let (Some(mut source), Some(mut target), None) = (descriptors.next(), descriptors.next(), descriptors.next())
    else {
        return Err("Compile takes two descriptors".into());
    };
    let engine = engine::engine().map_err(|error| format!("the engine does not start: {error:#}"))?;
    lockdown::bound_memory(MEMORY)?;
    lockdown::bound_cpu(CPU_SECONDS)?;
    lockdown::shut_files(&[])?;
    lockdown::shut_calls(None)?;
    let mut component = Vec::new();
    source.read_to_end(&mut component).map_err(|error| format!("the component cannot be read: {error}"))?;
    let code = engine.precompile_component(&component).map_err(|error| format!("it does not compile: {error:#}"))?;
    target.write_all(&code).map_err(|error| format!("the compiled code cannot be written: {error}"))?;
    wire.send(&FromSandbox::Compiled, &[]).map_err(|error| format!("the control socket failed: {error}"))
}
