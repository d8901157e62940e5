//! Whether two hosts can let a guest go on at the one while memory still comes from the other (decision 0030).

use crate::error::{Kind, Result};
use crate::gate::Gate;
use crate::hypervisor::qemu;
use crate::migration::plan::Postcopy;
use crate::migration::survey::Ask;
use crate::peer::Session;
use crate::sys::machine::{self, USERFAULTS};
use crate::types::PluginId;

/// The first QEMU that lets go of disks when it is told to (`blockdev-set-active`), and takes none up with a guest whose memory
/// still comes.
const MAJOR: u32 = 10;
/// Longest text of a peer's, in characters.
const TEXT_MAX: usize = 1024;
/// Whether those without privilege may use userfaultfd(2) (Documentation/admin-guide/sysctl/vm.rst).
const UNPRIVILEGED: &str = "/proc/sys/vm/unprivileged_userfaultfd";

/// Asks the target, and looks at this host's QEMU, of that `version`.
pub(super) async fn asked(session: &Session, version: &str, strategy: &str) -> Result<Postcopy> {
    let here = too_old(version);
    // One that has no such name is found out elsewhere.
    let Ok(strategy) = strategy.parse::<PluginId>() else { return Ok(Postcopy { here, there: None }) };
    let there: Result<Option<String>> = session.request(super::SERVICE, &Ask::Postcopy(strategy), super::WAIT).await;
    let there = match there {
        Ok(there) => there.map(|why| why.chars().take(TEXT_MAX).collect()),
        Err(failure) if failure.kind == Kind::Usage => Some("it has an older fief".to_owned()),
        Err(failure) => return Err(failure),
    };
    Ok(Postcopy { here, there })
}

/// Why not, of the host that is to go on with the guest.
pub fn why_not_there(gate: &Gate, strategy: &PluginId) -> Option<String> {
    if !gate.policy().plugins.get(strategy).is_some_and(|grants| grants.postcopy) {
        return Some(format!("its policy does not grant it (`fief plugin grant {strategy} --postcopy` there)"));
    }
    match qemu::facts::facts(gate) {
        Ok(facts) => too_old(&facts.version).or_else(no_faults),
        Err(failure) => Some(failure.message),
    }
}

fn too_old(version: &str) -> Option<String> {
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= MAJOR => None,
        Some(_) | None => Some(format!("its QEMU is {version}, and post-copy takes {MAJOR}.0")),
    }
}

/// Why a hypervisor of this host's could not wait for memory. As root, fief gives it the device.
fn no_faults() -> Option<String> {
    let root = rustix::process::geteuid().is_root();
    let allowed = || std::fs::read_to_string(UNPRIVILEGED).is_ok_and(|allowed| allowed.trim() == "1");
    let opens = || std::fs::File::options().read(true).write(true).open(USERFAULTS).is_ok();
    let can = if root { machine::userfaults().is_ok() } else { allowed() || opens() };
    (!can).then(|| format!("its kernel has no {USERFAULTS} for it (Linux 6.1)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_whether_a_qemu_is_new_enough() {
        for (version, can) in [("10.0.2", true), ("11.1.0", true), ("9.2.4", false), ("7.2.22", false), ("", false)] {
            assert_eq!(too_old(version).is_none(), can, "{version}");
        }
    }
}
