//! What else on this machine has a hand in the network. Nothing here is changed by fief; it can get in the way of it.

use std::path::Path;

use super::{Check, forward};

/// Where NetworkManager is told what to leave alone (NetworkManager.conf(5)).
const NETWORK_MANAGER: [&str; 3] = ["/etc/NetworkManager", "/run/NetworkManager", "/usr/lib/NetworkManager"];

pub(super) fn checks(nft: &Path) -> Vec<Check> {
    let proc = Path::new("/proc");
    let running = running(proc);
    vec![
        bridge_filter(proc),
        forwarding(proc),
        reverse_path(proc),
        forward::check(nft, proc, calls_ip_rules(proc)),
        firewalld(&running),
        network_manager(&running, &told_to_network_manager(&NETWORK_MANAGER)),
    ]
}

fn setting(proc: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(proc.join("sys/net").join(name)).ok().map(|text| text.trim().to_owned())
}

fn calls_ip_rules(proc: &Path) -> bool {
    setting(proc, "bridge/bridge-nf-call-iptables").as_deref() == Some("1")
}

/// With br_netfilter, frames between two guests of one bridge go through the host's IP rules too.
fn bridge_filter(proc: &Path) -> Check {
    if calls_ip_rules(proc) {
        return Check::warn(
            "bridge-nf-call",
            "the host's IP rules also filter frames between guests of one bridge",
            "sysctl net.bridge.bridge-nf-call-iptables=0, unless something else needs it (Docker, Kubernetes)",
        );
    }
    Check::ok("bridge-nf-call", "off")
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

/// RFC 3704: strict reverse path filtering drops packets that come by another way than answers to them would go. The
/// kernel takes the higher of a link's own setting and that of all (ip-sysctl.rst); fief's own links are meant to be strict.
fn reverse_path(proc: &Path) -> Check {
    const NAME: &str = "rp-filter";
    let of = |link: &str| setting(proc, &format!("ipv4/conf/{link}/rp_filter"));
    if of("all").as_deref() == Some("1") {
        return Check::warn(
            NAME,
            "strict on all links: a guest that is reached by two ways loses packets",
            "sysctl net.ipv4.conf.all.rp_filter=2, where guests are routed",
        );
    }
    let others = |name: &String| {
        !["all", "default", "lo"].contains(&name.as_str()) && !["fief-", "vif"].iter().any(|own| name.starts_with(own))
    };
    let links = std::fs::read_dir(proc.join("sys/net/ipv4/conf")).into_iter().flatten().flatten();
    let names = links.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut strict: Vec<String> = names.filter(others).filter(|name| of(name).as_deref() == Some("1")).collect();
    strict.sort();
    match (strict.first(), of("all").as_deref()) {
        (_, Some("2")) => Check::ok(NAME, "loose"),
        (None, _) => Check::ok(NAME, "off"),
        (Some(first), _) => Check::warn(
            NAME,
            format!("strict on {}: routed guests that answer by another link lose packets there", strict.join(", ")),
            format!("sysctl net.ipv4.conf.{}.rp_filter=2, where guests are routed", first.replace('.', "/")),
        ),
    }
}

/// The names of all processes, as far as they are told.
fn running(proc: &Path) -> Vec<String> {
    std::fs::read_dir(proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(|c: char| c.is_ascii_digit()))
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

fn is_running(running: &[String], program: &str) -> bool {
    running.iter().any(|name| name == program)
}

/// It puts links that it was not told of into its default zone, which refuses DHCP and DNS, and what is forwarded.
fn firewalld(running: &[String]) -> Check {
    if !is_running(running, "firewalld") {
        return Check::ok("firewalld", "not running");
    }
    Check::warn(
        "firewalld",
        "runs: a bridge that it does not know is in its default zone, where guests get no addresses and no way out",
        "for each bridge: firewall-cmd --permanent --zone=trusted --add-interface=fief-NETWORK && firewall-cmd --reload",
    )
}

/// What stands in its files, all together.
fn told_to_network_manager(folders: &[&str]) -> String {
    let mut text = String::new();
    for folder in folders.iter().map(Path::new) {
        let snippets = std::fs::read_dir(folder.join("conf.d")).into_iter().flatten().flatten();
        let files = snippets.map(|entry| entry.path()).chain([folder.join("NetworkManager.conf")]);
        files.filter_map(|file| std::fs::read_to_string(file).ok()).for_each(|part| text += &part);
    }
    text
}

/// It takes links that appear into its hands: addresses go, a bridge loses its ports, an uplink gets its address back.
fn network_manager(running: &[String], told: &str) -> Check {
    const NAME: &str = "network-manager";
    if !is_running(running, "NetworkManager") {
        return Check::ok(NAME, "not running");
    }
    let leaves = |pattern: &str| {
        told.lines().any(|line| line.trim_start().starts_with("unmanaged-devices") && line.contains(pattern))
    };
    if leaves("interface-name:fief-*") && leaves("interface-name:vif*") {
        return Check::ok(NAME, "runs, and leaves fief-* and vif* alone");
    }
    Check::warn(
        NAME,
        "runs, and may take fief's bridges, guests' interfaces and uplinks into its hands",
        "write in /etc/NetworkManager/conf.d/fief.conf: [keyfile] and, below it, \
         unmanaged-devices=interface-name:fief-*;interface-name:vif* (and the uplink of a bridged network); \
         then nmcli general reload",
    )
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
            ("43/comm", "firewalld\n"),
        ]);
        let running = running(busy.path());
        for check in [
            bridge_filter(busy.path()),
            reverse_path(busy.path()),
            firewalld(&running),
            network_manager(&running, "[keyfile]\nunmanaged-devices=interface-name:fief-*\n"),
        ] {
            assert_eq!(check.health, Health::Warn, "{}", check.name);
            assert!(check.remedy.is_some(), "{}", check.name);
        }
    }

    #[test]
    fn a_quiet_machine_is_well() {
        let quiet = proc(&[("sys/net/ipv4/ip_forward", "0\n"), ("42/comm", "sh\n")]);
        let running = running(quiet.path());
        let [a, b, c] = [bridge_filter, forwarding, reverse_path].map(|check| check(quiet.path()));
        for check in [a, b, c, firewalld(&running), network_manager(&running, "")] {
            assert_eq!(check.health, Health::Ok, "{check:?}");
        }
    }

    #[test]
    fn a_manager_that_was_told_to_leave_fiefs_links_alone_is_well() {
        let folder =
            proc(&[("conf.d/fief.conf", "[keyfile]\nunmanaged-devices=interface-name:fief-*;interface-name:vif*\n")]);
        let told = told_to_network_manager(&["/nowhere", folder.path().to_str().unwrap()]);
        assert_eq!(network_manager(&["NetworkManager".into()], &told).health, Health::Ok);
    }

    #[test]
    fn a_strict_link_of_the_host_is_named_and_fiefs_own_are_not() {
        let link = |name: &str, value: &str| (format!("sys/net/ipv4/conf/{name}/rp_filter"), format!("{value}\n"));
        let check = |all: &str| {
            let files =
                [link("all", all), link("lo", "1"), link("fief-lab", "1"), link("vif3.0", "1"), link("eth0.7", "1")];
            let files: Vec<(&str, &str)> = files.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            reverse_path(proc(&files).path())
        };
        let strict = check("0");
        assert_eq!(strict.found, "strict on eth0.7: routed guests that answer by another link lose packets there");
        assert!(strict.remedy.unwrap().contains("conf.eth0/7.rp_filter=2"));
        assert_eq!(check("2").health, Health::Ok);
    }
}
