//! Processes known by their arguments: what a fief that died in the middle of a start left without a record.

use std::os::unix::ffi::OsStrExt;

use crate::gate::served::{ServeDirectory, VERB};
use crate::sys::process;
use crate::types::ProcessId;

pub(super) fn watchers(directory: &ServeDirectory) -> Vec<ProcessId> {
    let place = directory.0.as_os_str().as_bytes();
    matching(|arguments| arguments.windows(2).any(|pair| pair[0] == VERB.as_bytes() && pair[1] == place))
}

pub(super) fn servers(directory: &ServeDirectory) -> Vec<ProcessId> {
    let wanted = format!("--conf-file={}", directory.configuration().display());
    matching(|arguments| arguments.contains(&wanted.as_bytes()))
}

/// All processes whose arguments (proc(5), cmdline) fit.
fn matching(fits: impl Fn(&[&[u8]]) -> bool) -> Vec<ProcessId> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        // The name first: a process that took the number later does not fit any more when it is signalled.
        let process = process::identify(pid)?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        fits(&arguments).then_some(process)
    })
    .collect()
}
