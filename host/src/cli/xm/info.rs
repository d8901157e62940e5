//! `xm info`: what of it a host without Xen has.

use crate::cli::Context;
use crate::cli::output::text::printable;
use crate::error::{Failure, Result};
use crate::sys::machine;

pub(super) fn run(context: &Context) -> Result<()> {
    let machine = machine::read().ok_or_else(|| Failure::other("the kernel does not say what this machine has"))?;
    let uname = rustix::system::uname();
    let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let mib = |bytes: u64| (bytes >> 20).to_string();
    let lines = [
        ("host", word(uname.nodename())),
        ("release", word(uname.release())),
        ("version", word(uname.version())),
        ("machine", word(uname.machine())),
        ("nr_cpus", machine.cpus.to_string()),
        ("total_memory", mib(machine.memory.bytes())),
        ("free_memory", mib(machine.memory.bytes() - machine.memory_used.bytes())),
        ("fief_version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let text = lines.iter().map(|(key, value)| format!("{key:<23}: {}\n", printable(value)));
    context.print(&text.collect::<String>())
}
