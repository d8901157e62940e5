//! What else on this machine has a hand in the network. Nothing here is changed by fief; it can get in the way of it.

use std::path::Path;

use super::Check;
use crate::cli::host::program;

pub(super) fn checks(nft: &Path) -> Vec<Check> {
    let proc = Path::new("/proc");
    vec![bridge_filter(proc), forwarding(proc), reverse_path(proc), docker(nft), managers(proc)]
}

fn setting(proc: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(proc.join("sys/net").join(name)).ok().map(|text| text.trim().to_owned())
}

/// With br_netfilter, frames between two guests of one bridge go through the host's IP rules too.
fn bridge_filter(proc: &Path) -> Check {
    match setting(proc, "bridge/bridge-nf-call-iptables").as_deref() {
        Some("1") => Check::warn(
            "bridge-nf-call",
            "the host's IP rules also filter frames between guests of one bridge",
            "sysctl net.bridge.bridge-nf-call-iptables=0, unless something else needs it (Docker, Kubernetes)",
        ),
        Some(_) | None => Check::ok("bridge-nf-call", "off"),
    }
}

/// Host-only networks do not need it, and fief closes them where it is on.
fn forwarding(proc: &Path) -> Check {
    match setting(proc, "ipv4/ip_forward").as_deref() {
        Some("1") => {
            Check::ok("ip-forward", "on: guests of routed networks reach others, those of host-only ones do not")
        }
        Some(_) => Check::ok("ip-forward", "off: routed and nat networks need it on"),
        None => Check::warn("ip-forward", "not known", "look at sysctl net.ipv4.ip_forward"),
    }
}

/// RFC 3704: strict reverse path filtering drops packets that answer by another way than they came.
fn reverse_path(proc: &Path) -> Check {
    match setting(proc, "ipv4/conf/all/rp_filter").as_deref() {
        Some("1") => Check::warn(
            "rp-filter",
            "strict: a guest that is reached by two ways may lose packets",
            "sysctl net.ipv4.conf.all.rp_filter=2, where guests are routed",
        ),
        Some("2") => Check::ok("rp-filter", "loose"),
        Some(_) | None => Check::ok("rp-filter", "off"),
    }
}

/// Docker sets the policy of iptables' FORWARD chain to drop, for all links.
fn docker(nft: &Path) -> Check {
    // A chain that is not there makes nft fail: then nothing drops.
    let chain = program::ask(nft, &["list", "chain", "ip", "filter", "FORWARD"]).unwrap_or_default();
    forward_policy(&chain)
}

fn forward_policy(chain: &str) -> Check {
    if !chain.contains("policy drop") {
        return Check::ok("forward-policy", "accept");
    }
    let who = if chain.contains("DOCKER") { "Docker's rules drop" } else { "iptables drops" };
    Check::warn(
        "forward-policy",
        format!("{who} what is forwarded, guests of routed and nat networks included"),
        "iptables -I FORWARD -i fief-+ -j ACCEPT and the same with -o, where such networks are used",
    )
}

/// Programs that take links and rules into their own hands.
fn managers(proc: &Path) -> Check {
    const NAMES: [&str; 2] = ["firewalld", "NetworkManager"];
    let running: Vec<String> = std::fs::read_dir(proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(|c: char| c.is_ascii_digit()))
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| NAMES.contains(&name.as_str()))
        .collect();
    if running.is_empty() {
        return Check::ok("network-managers", "none");
    }
    let remedy = "tell it to leave the links fief-* alone (NetworkManager: unmanaged-devices=interface-name:fief-*)";
    Check::warn("network-managers", format!("{} may change fief's links and rules", running.join(", ")), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::host::doctor::Health;

    fn proc(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn what_others_set_up_on_this_machine_is_a_warning() {
        let busy = proc(&[
            ("sys/net/bridge/bridge-nf-call-iptables", "1\n"),
            ("sys/net/ipv4/conf/all/rp_filter", "1\n"),
            ("42/comm", "NetworkManager\n"),
        ]);
        for check in [bridge_filter(busy.path()), reverse_path(busy.path()), managers(busy.path())] {
            assert_eq!(check.health, Health::Warn, "{}", check.name);
            assert!(check.remedy.is_some(), "{}", check.name);
        }
        let quiet = proc(&[("sys/net/ipv4/ip_forward", "0\n"), ("42/comm", "sh\n")]);
        let checks = [bridge_filter, forwarding, reverse_path, managers].map(|check| check(quiet.path()));
        assert!(checks.iter().all(|check| check.health == Health::Ok), "{checks:?}");
    }

    #[test]
    fn a_forward_chain_that_drops_is_told_from_one_that_accepts() {
        let chain = |policy: &str| {
            format!(
                "table ip filter {{\n chain FORWARD {{\n type filter hook forward priority filter; policy {policy};\n jump DOCKER-USER\n }}\n}}\n"
            )
        };
        assert_eq!(forward_policy(&chain("accept")).health, Health::Ok);
        assert_eq!(forward_policy("").health, Health::Ok);
        let check = forward_policy(&chain("drop"));
        assert_eq!(check.health, Health::Warn);
        assert!(check.found.starts_with("Docker"), "{}", check.found);
    }
}
