//! The DHCP client of a link: ended without giving the lease back, and started again for the other link.
//!
//! With the link's hardware address the bridge gets the same lease. Clients that belong to a manager of their own
//! (systemd-networkd, NetworkManager) are that manager's to move: the link is refused, with what to tell the manager.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::super::netlink::Link;
use crate::error::{Context, Failure, Result};
use crate::sys::process;
use crate::types::ProcessId;

/// How long a client may take to end.
const GRACE: Duration = Duration::from_secs(3);
/// For the scripts that clients run.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Clients that can be moved: how each is kept from giving its lease back is known.
const KNOWN: &[&str] = &["dhclient", "udhcpc"];

/// A process that asks for an address of one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Client {
    program: std::path::PathBuf,
    words: Vec<String>,
}

/// The clients of a link in this network namespace.
///
/// # Errors
/// `Conflict` where a manager has the link.
pub(super) fn of(link: &Link) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    let ours = namespace("self");
    let processes = std::fs::read_dir("/proc").context(|| "cannot list the processes".to_owned())?;
    for entry in processes.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if namespace(&pid.to_string()) != ours {
            continue;
        }
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<String> = words
            .split(|b| *b == 0)
            .filter(|w| !w.is_empty())
            .map(|w| String::from_utf8_lossy(w).into_owned())
            .collect();
        let Ok(program) = std::fs::read_link(entry.path().join("exe")) else { continue };
        if is_client(&words) && words.contains(&link.name) {
            clients.push(Client { program, words });
        } else if let Some(refused) = dhcpcd(&words, link) {
            return Err(refused);
        }
    }
    managed(link)?;
    Ok(clients)
}

/// dhcpcd shows in its words what it has: one link, or all of them as their manager. It takes a lease back with it.
fn dhcpcd(words: &[String], link: &Link) -> Option<Failure> {
    let text = words.join(" ");
    let name = &link.name;
    let has = text.starts_with("dhcpcd: [manager]") || text.starts_with(&format!("dhcpcd: {name} "));
    has.then(|| {
        Failure::conflict(format!("dhcpcd manages {name}")).hint(format!(
            "write `denyinterfaces {name}` in /etc/dhcpcd.conf, and give {name} its address by hand or by another client"
        ))
    })
}

fn is_client(words: &[String]) -> bool {
    let name = |at: usize| words.get(at).and_then(|word| Path::new(word).file_name()?.to_str()).unwrap_or_default();
    // busybox is `busybox udhcpc …` too.
    KNOWN.contains(&name(0)) || name(0) == "busybox" && KNOWN.contains(&name(1))
}

fn namespace(process: &str) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{process}/ns/net")).ok()
}

/// Whether a manager gave the link its address.
fn managed(link: &Link) -> Result<()> {
    // What they write down is about the namespace that they run in.
    if namespace("self") != namespace("1") {
        return Ok(());
    }
    let (name, index) = (&link.name, link.index.to_string());
    let read = |folder: &str| std::fs::read_to_string(Path::new(folder).join(&index)).unwrap_or_default();
    let state = read("/run/systemd/netif/links");
    if ["ADMIN_STATE=configured", "ADMIN_STATE=configuring"].iter().any(|line| state.lines().any(|one| one == *line)) {
        return Err(Failure::conflict(format!("systemd-networkd manages {name}")).hint(format!(
            "let it make the bridge (a .netdev of Kind=bridge, {name} with Bridge=…, DHCP on the bridge), and name that \
             bridge in the network's settings: bridge = \"…\", without uplink"
        )));
    }
    // A device of NetworkManager's that it does not use has a file too, without a connection.
    if read("/run/NetworkManager/devices").contains("connection-uuid=") {
        return Err(Failure::conflict(format!("NetworkManager manages {name}")).hint(format!(
            "`nmcli device set {name} managed no` hands it over; its address then has to be set by hand or a client"
        )));
    }
    Ok(())
}

/// The same clients as they would be for another link.
pub(super) fn named(clients: &[Client], from: &str, to: &str) -> Vec<Client> {
    clients.iter().map(|client| client.for_link(from, to)).collect()
}

impl Client {
    fn for_link(&self, from: &str, to: &str) -> Client {
        let word = |word: &String| if word == from { to.to_owned() } else { word.clone() };
        Client { program: self.program.clone(), words: self.words.iter().map(word).collect() }
    }

    /// Whether it gives its lease back when it is asked to end: udhcpc's `-R`, alone or among other letters.
    fn releases(&self) -> bool {
        let letters = |word: &String| word.starts_with('-') && !word.starts_with("--") && word.contains('R');
        self.words.iter().take(2).any(|word| word.ends_with("udhcpc"))
            && self.words.iter().any(|word| letters(word) || word == "--release")
    }

    /// One that runs with just these words, here.
    fn running(&self) -> Option<ProcessId> {
        let ours = namespace("self");
        let wanted: Vec<u8> = self.words.iter().flat_map(|word| word.bytes().chain([0])).collect();
        let processes = std::fs::read_dir("/proc").ok()?;
        processes.flatten().find_map(|entry| {
            let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
            let same = std::fs::read(entry.path().join("cmdline")).is_ok_and(|words| words == wanted)
                && namespace(&pid.to_string()) == ours;
            if same { process::identify(pid) } else { None }
        })
    }
}

/// Ends them, and lets none give its lease back.
pub(super) fn stop(clients: &[Client]) -> Result<()> {
    for client in clients {
        let Some(running) = client.running() else { continue };
        let ended = if client.releases() {
            process::kill(running, Signal::KILL).and_then(|_| process::ended(running, GRACE)).map(|_| ())
        } else {
            process::end(running, GRACE)
        };
        ended.context(|| format!("cannot end the DHCP client {}", client.words.join(" ")))?;
    }
    Ok(())
}

/// Starts them for another link.
pub(super) fn start(clients: &[Client], from: &str, to: &str) -> Result<()> {
    start_missing(&named(clients, from, to))
}

/// The first that does not run for `to` as it did for `from`, as its words.
pub(super) fn silent(clients: &[Client], from: &str, to: &str) -> Option<String> {
    named(clients, from, to).into_iter().find(|client| client.running().is_none()).map(|client| client.words.join(" "))
}

/// Starts those that do not run.
pub(super) fn start_missing(clients: &[Client]) -> Result<()> {
    for client in clients.iter().filter(|client| client.running().is_none()) {
        let saying = || format!("cannot start the DHCP client {}", client.words.join(" "));
        let mut command = Command::new(&client.program);
        if let Some(name) = client.words.first() {
            std::os::unix::process::CommandExt::arg0(&mut command, name);
        }
        command.args(client.words.iter().skip(1)).current_dir("/").env_clear().env("PATH", PATH);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = std::os::unix::process::CommandExt::process_group(command, 0).spawn().context(saying)?;
        // One that goes into the background leaves a dead child, to be collected where fief lives on.
        std::thread::spawn(move || child.wait());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn clients_are_known_by_their_program_and_moved_by_their_link() {
        assert!(is_client(&words("/sbin/dhclient -4 -lf /x eth0")));
        assert!(is_client(&words("busybox udhcpc -i eth0")));
        assert!(!is_client(&words("vi /etc/dhclient")));
        let eth0 = Link { name: "eth0".into(), ..Link::default() };
        for (line, has) in [
            ("dhcpcd: [manager] [ip4] [ip6]", true),
            ("dhcpcd: eth0 [ip4]", true),
            ("dhcpcd: eth01 [ip4]", false),
            ("vi dhcpcd.conf", false),
        ] {
            assert_eq!(dhcpcd(&words(line), &eth0).is_some(), has, "{line}");
        }
        let udhcpc = |line: &str| Client { program: "/bin/busybox".into(), words: words(line) }.releases();
        assert!(udhcpc("udhcpc -fR -i eth0") && udhcpc("busybox udhcpc -i eth0 -R"));
        assert!(!udhcpc("udhcpc -i eth0 -r 10.0.0.7"));
        let client = Client { program: "/sbin/dhclient".into(), words: words("dhclient -v eth0") };
        assert_eq!(client.for_link("eth0", "br0").words, words("dhclient -v br0"));
    }
}
