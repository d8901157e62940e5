//! What fief asks of the kernel: KVM, and the walls of the other room.

use std::path::Path;

use landlock::{ABI, Access as _, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};

use super::Check;
use crate::cli::Context;
use crate::config::domain::Accelerator;
use crate::hypervisor::ChosenAccelerator;
use crate::hypervisor::qemu::probe;

/// Without these a sandbox is not started.
const NAMESPACES: [&str; 4] = ["net", "mnt", "pid", "user"];

pub(super) fn checks(context: &Context) -> Vec<Check> {
    vec![kvm(context), landlock(), seccomp(Path::new("/proc/self/status")), namespaces(Path::new("/proc/self/ns"))]
}

fn kvm(context: &Context) -> Check {
    let remedy = "enable virtualisation in the firmware (or nesting in the outer host) and load kvm_intel or kvm_amd";
    match context.gate().and_then(|gate| probe::choose(&gate, Accelerator::Auto)) {
        Ok((ChosenAccelerator::Kvm, _)) => Check::ok("kvm", "runs guests"),
        Ok((ChosenAccelerator::Tcg, reason)) => {
            Check::warn("kvm", reason.unwrap_or_else(|| "KVM cannot be used".to_owned()), remedy)
        }
        Err(failure) => Check::warn("kvm", failure.to_string(), failure.hint.unwrap_or_else(|| remedy.to_owned())),
    }
}

/// Makes a rule set of each version in turn and enforces none: what cannot be made is not known to this kernel.
fn landlock() -> Check {
    let known = [ABI::V6, ABI::V5, ABI::V4, ABI::V3, ABI::V2, ABI::V1].into_iter().find(|abi| {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        ruleset.handle_access(AccessFs::from_all(*abi)).and_then(Ruleset::create).is_ok()
    });
    match known {
        Some(abi) => Check::ok("landlock", format!("version {} or later", abi as i32)),
        None => Check::fail(
            "landlock",
            "the kernel has none, and no plugin is run without it",
            "boot a kernel of 5.13 or later with landlock in its lsm= list",
        ),
    }
}

/// proc(5): the line is there where the kernel was built with seccomp.
fn seccomp(status: &Path) -> Check {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    if text.lines().any(|line| line.starts_with("Seccomp:")) {
        return Check::ok("seccomp", "filters can be set");
    }
    Check::fail(
        "seccomp",
        "the kernel has none, and no plugin is run without it",
        "boot a kernel with CONFIG_SECCOMP_FILTER",
    )
}

fn namespaces(folder: &Path) -> Check {
    let missing: Vec<&str> =
        NAMESPACES.into_iter().filter(|name| folder.join(name).symlink_metadata().is_err()).collect();
    if missing.is_empty() {
        return Check::ok("namespaces", NAMESPACES.join(", "));
    }
    Check::fail(
        "namespaces",
        format!("the kernel lacks {}", missing.join(", ")),
        "boot a kernel with CONFIG_NAMESPACES",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::host::doctor::Health;

    #[test]
    fn a_kernel_without_the_walls_of_a_sandbox_fails() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(seccomp(&folder.path().join("status")).health, Health::Fail);
        let check = namespaces(folder.path());
        assert_eq!((check.health, check.found.as_str()), (Health::Fail, "the kernel lacks net, mnt, pid, user"));
        for name in NAMESPACES {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(namespaces(folder.path()).health, Health::Ok);
    }
}
