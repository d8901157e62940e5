//! Whether a saved state fits the machine that it would go on with. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Header;
use crate::hypervisor::{ChosenAccelerator, HARDWARE};

/// The processor of a host, where a guest is shown just that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostCpu {
    pub model: String,
    pub flags: BTreeSet<String>,
}

impl HostCpu {
    /// Of this host, as `/proc/cpuinfo` (`text`) tells of its first processor.
    pub fn parse(text: &str) -> HostCpu {
        let value = |key: &str| {
            let line = text.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key));
            line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim()).to_owned()
        };
        HostCpu { model: value("model name"), flags: value("flags").split_whitespace().map(str::to_owned).collect() }
    }
}

/// What there is here to go on with.
#[derive(Debug)]
pub struct Here<'a> {
    pub accelerator: ChosenAccelerator,
    /// QEMU's version, as `7.2.22`.
    pub hypervisor: &'a str,
    /// Machine types that this QEMU knows.
    pub machines: &'a [String],
    pub cpu: HostCpu,
}

/// Why the state cannot go on here, each in a line; none where it can.
pub fn misfits(header: &Header, here: &Here<'_>) -> Vec<String> {
    let mut all = Vec::new();
    if header.hardware > HARDWARE {
        all.push(format!(
            "it was saved by fief {}, which lays machines out in a way not known here (layout {}, known is {HARDWARE})",
            header.fief, header.hardware
        ));
    }
    if !here.machines.contains(&header.machine) {
        all.push(format!("machine type {}: QEMU {} here does not have it", header.machine, here.hypervisor));
    }
    if header.accelerator != here.accelerator {
        all.push(format!(
            "accelerator: it ran under {}, and here it would run under {}",
            word(header.accelerator),
            word(here.accelerator)
        ));
    }
    // Software emulation's best processor is another one with each release of QEMU.
    let series = |version: &str| version.rsplit_once('.').map(|(series, _)| series.to_owned());
    if header.accelerator == ChosenAccelerator::Tcg
        && header.cpu == "max"
        && series(&header.hypervisor) != series(here.hypervisor)
    {
        all.push(format!(
            "processor \"max\": that of QEMU {} is not that of QEMU {} here",
            header.hypervisor, here.hypervisor
        ));
    }
    if let Some(cpu) = &header.host_cpu {
        let missing: Vec<&str> = cpu.flags.difference(&here.cpu.flags).map(String::as_str).collect();
        if !missing.is_empty() {
            all.push(format!(
                "processor: it ran on {}, and {} here lacks {}",
                cpu.model,
                here.cpu.model,
                missing.join(" ")
            ));
        }
    }
    all
}

fn word(accelerator: ChosenAccelerator) -> &'static str {
    match accelerator {
        ChosenAccelerator::Kvm => "kvm",
        ChosenAccelerator::Tcg => "tcg",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str = "processor\t: 0\nmodel name\t: Fast 9000\nflags\t\t: fpu sse avx\n\nprocessor\t: 1\n";

    fn header() -> Header {
        Header {
            fief: "0.1.0".into(),
            attempt: uuid::Uuid::from_u128(1),
            saved: jiff::Timestamp::UNIX_EPOCH,
            hypervisor: "7.2.22".into(),
            machine: "pc-q35-7.2".into(),
            cpu: "max".into(),
            accelerator: ChosenAccelerator::Tcg,
            host_cpu: None,
            hardware: HARDWARE,
            places: None,
            runs: 3,
            paused: false,
            nvram: 0,
            definition: String::new(),
        }
    }

    fn said(header: &Header, hypervisor: &str, accelerator: ChosenAccelerator, flags: &str) -> String {
        let machines = ["pc-q35-7.2".to_owned(), "pc-q35-7.1".to_owned()];
        let cpu = HostCpu::parse(&CPUINFO.replace("fpu sse avx", flags));
        misfits(header, &Here { accelerator, hypervisor, machines: &machines, cpu }).join("; ")
    }

    #[test]
    fn what_fits_is_taken() {
        let first = Header { hardware: 1, ..header() };
        assert_eq!(said(&first, "7.2.22", ChosenAccelerator::Tcg, "fpu"), "", "every earlier layout");
        assert_eq!(said(&header(), "7.2.22", ChosenAccelerator::Tcg, "fpu"), "");
        assert_eq!(said(&header(), "7.2.3", ChosenAccelerator::Tcg, "fpu"), "", "a release of the same series");
    }

    #[test]
    fn each_misfit_is_named() {
        let with = |change: fn(&mut Header)| {
            let mut header = header();
            change(&mut header);
            header
        };
        let tcg = ChosenAccelerator::Tcg;
        let machine = with(|header| header.machine = "pc-q35-9.0".into());
        assert!(said(&machine, "7.2.22", tcg, "fpu").starts_with("machine type pc-q35-9.0: QEMU 7.2.22 here"));
        assert!(said(&header(), "10.0.2", tcg, "fpu").starts_with("processor \"max\": that of QEMU 7.2.22"));
        assert!(said(&header(), "7.2.22", ChosenAccelerator::Kvm, "fpu").starts_with("accelerator: it ran under tcg"));
        let hardware = with(|header| header.hardware = HARDWARE + 1);
        assert!(said(&hardware, "7.2.22", tcg, "fpu").contains("layout"));
        let cpu = with(|header| header.host_cpu = Some(HostCpu::parse(CPUINFO)));
        assert!(said(&cpu, "7.2.22", tcg, "fpu sse").ends_with("Fast 9000 here lacks avx"));
        assert_eq!(said(&cpu, "7.2.22", tcg, "fpu sse avx more"), "");
    }
}
