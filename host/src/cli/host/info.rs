//! `fief host info`

use serde_json::json;

use super::program;
use crate::cli::Context;
use crate::cli::output::Shown;
use crate::cli::output::text::printable;
use crate::config::domain::Accelerator;
use crate::error::Result;
use crate::hypervisor::ChosenAccelerator;
use crate::hypervisor::qemu::probe;
use crate::layout::Layout;

/// Print the versions of what fief stands on, where its state lies, and how much there is of it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    let gate = context.gate()?;
    let uname = rustix::system::uname();
    let text_of = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let qemu = program::version(&gate.policy().host.qemu).ok();
    // The verdict is kept below the root; where there is none yet, asking would make it.
    let known = context.layout().root().exists();
    let accelerator = known.then(|| probe::choose(&gate, Accelerator::Auto).ok()).flatten();
    let counts = Counts::of(context.layout());
    let json = json!({
        "fief": env!("CARGO_PKG_VERSION"),
        "host-name": text_of(uname.nodename()),
        "machine": text_of(uname.machine()),
        "kernel": text_of(uname.release()),
        "qemu": qemu,
        "accelerator": accelerator.as_ref().map(|(chosen, _)| chosen),
        "accelerator-reason": accelerator.as_ref().and_then(|(_, reason)| reason.clone()),
        "root": context.layout().root(),
        "domains": counts.domains,
        "pools": counts.pools,
        "networks": counts.networks,
        "plugins": counts.plugins,
    });
    let accelerator = match accelerator {
        None => "? (fief host doctor finds out)".to_owned(),
        Some((ChosenAccelerator::Kvm, _)) => "kvm".to_owned(),
        Some((ChosenAccelerator::Tcg, reason)) => format!("tcg: {}", reason.unwrap_or_default()),
    };
    let lines = [
        ("fief", env!("CARGO_PKG_VERSION").to_owned()),
        ("host", format!("{} ({})", text_of(uname.nodename()), text_of(uname.machine()))),
        ("kernel", text_of(uname.release())),
        ("qemu", qemu.unwrap_or_else(|| "?".to_owned())),
        ("accelerator", accelerator),
        ("root", context.layout().root().display().to_string()),
        ("domains", counts.domains.to_string()),
        ("pools", counts.pools.to_string()),
        ("networks", counts.networks.to_string()),
        ("plugins", counts.plugins.to_string()),
    ];
    let text = lines.iter().map(|(key, value)| format!("{key:<12} {}\n", printable(value))).collect();
    context.show(&Shown { kind: "host", name: text_of(uname.nodename()), json, text })
}

/// How many folders there are: a definition that cannot be read counts too.
struct Counts {
    domains: usize,
    pools: usize,
    networks: usize,
    plugins: usize,
}

impl Counts {
    fn of(layout: &Layout) -> Counts {
        let folders = |path: std::path::PathBuf| {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).count()
        };
        Counts {
            domains: folders(layout.domains()),
            pools: folders(layout.pools()),
            networks: folders(layout.networks()),
            plugins: folders(layout.plugins()),
        }
    }
}
