//! What goes wrong between hosts, and with their processes. Each is undone when what it gave is dropped.
//!
//! ```text
//!   silence      one way               part      both ways        isolate   a machine, from everybody
//!   slow         a rate                unplug    no link          resets    connections that are open now
//!   half_open    ends are not told     still     a process
//! ```
//! All but `still` and `resets` happens in the switch (pair/wires.rs), so that no host can tell that it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::Namespace;
use crate::pair::{At, Net, Wires, port};

/// Lasts until it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Trouble(Undo);

#[derive(Debug)]
enum Undo {
    Rules { switch: Arc<Namespace>, table: String },
    Queue { switch: Arc<Namespace>, port: String },
    Link { switch: Arc<Namespace>, port: String },
    Process(Pid),
}

impl Wires {
    /// Nothing goes from one to the other; the other way all does.
    pub fn silence(&self, net: Net, from: At, to: At) -> Trouble {
        self.drops(&[format!("iifname {} oifname {}", port(net, from), port(net, to))])
    }

    /// Nothing goes between the two, and each still reaches others.
    pub fn part(&self, net: Net, one: At, other: At) -> Trouble {
        let way = |from, to| format!("iifname {} oifname {}", port(net, from), port(net, to));
        self.drops(&[way(one, other), way(other, one)])
    }

    /// Nothing goes to it or comes from it, on any network.
    pub fn isolate(&self, at: At) -> Trouble {
        let rules =
            Net::ALL.map(|net| port(net, at)).map(|port| [format!("iifname {port}"), format!("oifname {port}")]);
        self.drops(&rules.concat())
    }

    /// Neither is told that the other has ended a connection.
    pub fn half_open(&self, net: Net, one: At, other: At) -> Trouble {
        let way = |from, to| {
            format!(
                "iifname {} oifname {} ip protocol tcp tcp flags & (fin | rst) != 0",
                port(net, from),
                port(net, to)
            )
        };
        self.drops(&[way(one, other), way(other, one)])
    }

    /// What goes to it is slow: a rate as in `1mbit`.
    pub fn slow(&self, net: Net, to: At, rate: &str) -> Trouble {
        let port = port(net, to);
        // A burst of a few packets, and a queue that is longer than a buffer of TCP's, so that little is lost.
        let shape = format!("tc qdisc add dev {port} root tbf rate {rate} burst 32kb limit 8mb");
        self.shared().run(&shape).expect_code(0);
        Trouble(Undo::Queue { switch: self.shared(), port })
    }

    /// Its link is down.
    pub fn unplug(&self, net: Net, at: At) -> Trouble {
        let port = port(net, at);
        self.shared().ip(&format!("link set {port} down"));
        Trouble(Undo::Link { switch: self.shared(), port })
    }

    /// What fits one of these is not passed on.
    fn drops(&self, what: &[String]) -> Trouble {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let table = format!("trouble{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let rules: String = what.iter().map(|what| format!("{what} drop\n")).collect();
        let chain = format!("chain forward {{\ntype filter hook forward priority 0;\n{rules}}}\n");
        self.shared().nft(&format!("table bridge {table} {{\n{chain}}}\n"));
        Trouble(Undo::Rules { switch: self.shared(), table })
    }
}

/// Resets every connection of this machine's to or from that port, both ends of it.
pub fn resets(machine: &Namespace, port: u16) {
    machine.run(&format!("ss --kill state established ( dport = {port} or sport = {port} )")).expect_code(0);
}

/// The process stands still.
///
/// # Panics
/// Where there is none of that number.
#[track_caller]
pub fn still(process: u32) -> Trouble {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(process, Signal::STOP).expect("a process of this test");
    Trouble(Undo::Process(process))
}

impl Drop for Trouble {
    fn drop(&mut self) {
        // One that fails is told of by what comes after it in the test.
        match &self.0 {
            Undo::Rules { switch, table } => drop(switch.run(&format!("nft delete table bridge {table}"))),
            Undo::Queue { switch, port } => drop(switch.run(&format!("tc qdisc del dev {port} root"))),
            Undo::Link { switch, port } => drop(switch.run(&format!("ip link set {port} up"))),
            // Killed meanwhile, where it is not there.
            Undo::Process(process) => drop(kill_process(*process, Signal::CONT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::{Side, address};

    const ONE: At = At::Host(Side::A);
    const OTHER: At = At::Host(Side::B);
    const NET: Net = Net::Peers;

    fn reaches(machine: &Namespace, at: At) -> bool {
        machine.run(&format!("ping -c 1 -W 1 -i 0.2 {}", address(NET, at))).code == Some(0)
    }

    #[test]
    fn each_kind_of_trouble_is_there_until_it_is_dropped() {
        let (wires, one, other) = (Wires::new(), Namespace::new(), Namespace::new());
        for (machine, at) in [(&one, ONE), (&other, OTHER)] {
            wires.plug(machine, at, &[Net::Lan, Net::Peers, Net::Stream, Net::Storage]);
        }
        assert!(reaches(&one, OTHER) && reaches(&other, ONE));
        let cases: [&dyn Fn() -> Trouble; 4] =
            [&|| wires.silence(NET, ONE, OTHER), &|| wires.part(NET, ONE, OTHER), &|| wires.isolate(OTHER), &|| {
                wires.unplug(NET, OTHER)
            }];
        for make in cases {
            let trouble = make();
            assert!(!reaches(&one, OTHER), "{trouble:?}");
            drop(trouble);
            crate::eventually("they reach each other", std::time::Duration::from_secs(10), || {
                reaches(&one, OTHER).then_some(())
            });
        }
        // One way: the question comes, the answer does not.
        let trouble = wires.silence(NET, OTHER, ONE);
        other.nft(
            "table ip seen {\nchain in {\ntype filter hook input priority 0;\nicmp type echo-request counter\n}\n}\n",
        );
        assert!(!reaches(&one, OTHER));
        let seen = other.run("nft list table ip seen").expect_code(0).stdout;
        assert!(!seen.contains("packets 0 "), "{seen}");
        drop(trouble);

        let (half, slow) = (wires.half_open(NET, ONE, OTHER), wires.slow(NET, OTHER, "1mbit"));
        assert!(reaches(&one, OTHER));
        let rules = wires.switch().run("nft list ruleset").expect_code(0).stdout;
        assert!(rules.contains("fin") && rules.contains("rst"), "{rules}");
        resets(&one, 8002);
        drop((half, slow));
        let left = wires.switch().run("nft list ruleset").stdout + &wires.switch().run("tc qdisc show").stdout;
        assert!(!left.contains("trouble") && !left.contains("tbf"), "{left}");
    }

    #[test]
    fn a_process_stands_still_until_then() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next()
        };
        let still = still(child.id());
        let soon = std::time::Duration::from_secs(10);
        crate::eventually("it stands", soon, || (state() == Some('T')).then_some(()));
        drop(still);
        crate::eventually("it goes on", soon, || (state() != Some('T')).then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
