//! What stands around a host, and how the host is told apart from before.

use std::time::{Duration, Instant};

use fief_tests::{Host, Namespace};
use serde_json::Value;

pub(crate) const MAC: &str = "52:54:00:aa:00:01";
pub(crate) const GATEWAY: &str = "192.0.2.1";
pub(crate) const CONFLICT: i32 = 4;
pub(crate) const FINDINGS: i32 = 6;
pub(crate) const UNREACHABLE: i32 = 8;
/// For what a guard does by itself: it looks a few times a second, here between compilers.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What stands around a host.
pub(crate) struct World {
    pub(crate) switch: Namespace,
    pub(crate) beyond: Namespace,
}

impl World {
    /// `eth0` is wired and has no address yet.
    pub(crate) fn around(host: &Host) -> World {
        let world = World { switch: Namespace::new(), beyond: Namespace::new() };
        world.switch.ip("link add sw type bridge forward_delay 0");
        world.switch.ip("link set sw up");
        for (port, namespace) in [("host", host.namespace()), ("beyond", &world.beyond)] {
            world.switch.ip(&format!("link add {port} type veth peer name eth0 netns {}", namespace.name()));
            world.switch.ip(&format!("link set {port} master sw up"));
        }
        host.namespace().ip(&format!("link set eth0 address {MAC} up"));
        world.beyond.ip("link set eth0 up");
        world.beyond.ip(&format!("address add {GATEWAY}/24 dev eth0"));
        world.beyond.ip("-6 address add 2001:db8::1/64 dev eth0 nodad");
        world
    }

    /// As an administrator sets a card up by hand: two addresses, both defaults, one more route.
    pub(crate) fn with_static_addresses(host: &Host) -> World {
        let world = World::around(host);
        for words in [
            "address add 192.0.2.10/24 dev eth0",
            "address add 192.0.2.11/24 dev eth0",
            "-6 address add 2001:db8::10/64 dev eth0 nodad",
            "route add default via 192.0.2.1 metric 100",
            "route add 198.51.100.0/24 via 192.0.2.7",
            "-6 route add default via 2001:db8::1",
        ] {
            host.namespace().ip(words);
        }
        host.namespace().run(&format!("ping -c 1 -w 10 {GATEWAY}")).expect_code(0);
        world
    }

    /// The switch lets nothing of the host's through any more.
    pub(crate) fn shut_port(&self) {
        for words in [
            "add table bridge port",
            "add chain bridge port forward { type filter hook forward priority 0 ; }",
            "add rule bridge port forward iifname host drop",
        ] {
            self.switch.run(&format!("nft {words}")).expect_code(0);
        }
    }

    pub(crate) fn open_port(&self) {
        self.switch.run("nft delete table bridge port").expect_code(0);
    }
}

/// Links, addresses and routes of a host, as the kernel tells them.
pub(crate) fn state(host: &Host) -> String {
    let mut told = String::new();
    for words in ["-j address show", "-j route show", "-j -6 route show"] {
        let mut all: Value = serde_json::from_str(&host.namespace().ip(words)).expect("JSON of ip");
        for one in all.as_array_mut().into_iter().flatten() {
            // A bridge without a port is up or not as the kernel's own queue of work has it.
            if one["ifname"] == "fief-lab" || one["dev"] == "fief-lab" {
                continue;
            }
            // Counts down, or ends in a second, by itself.
            for address in one["addr_info"].as_array_mut().into_iter().flatten() {
                for key in ["valid_life_time", "preferred_life_time", "tentative"] {
                    address.as_object_mut().expect("an address").remove(key);
                }
            }
            told.push_str(&format!("{one}\n"));
        }
    }
    told
}

/// A host is as it was, perhaps in a moment (IPv6 looks for duplicates first).
#[track_caller]
pub(crate) fn comes_back_to(host: &Host, before: &str) {
    let until = Instant::now() + SOON;
    loop {
        let now = state(host);
        if now == before {
            return;
        }
        assert!(Instant::now() < until, "before:\n{before}\nnow:\n{now}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
pub(crate) fn reaches_gateway(host: &Host) {
    host.namespace().run(&format!("ping -c 1 -w 10 {GATEWAY}")).expect_code(0);
}

pub(crate) fn lan(host: &Host, settings: &[&str]) {
    let mut words = vec!["network", "create", "lan", "--kind", "bridge"];
    for setting in settings {
        words.extend(["--set", setting]);
    }
    host.fief(&words);
}

/// The rollback that is armed, as its file says.
pub(crate) fn armed(host: &Host) -> Option<Value> {
    let text = std::fs::read(host.root().join("networks/lan/rollback.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

#[track_caller]
pub(crate) fn kill(pid: u64) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a number");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a process");
}

#[track_caller]
pub(crate) fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}
