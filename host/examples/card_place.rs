//! What it costs to give a card its place: `cargo xtask bench` runs it in a network namespace of its own, on a root that
//! it made.
//!
//! `card_place NETWORK`, with `FIEF_ROOT` and `FIEF_EXECUTABLE` set. Prints one line a figure: name, and a number.
//!
//! | figure | what is done |
//! | --- | --- |
//! | `plug-us` | the network's plugin is asked where the card goes (its process started for it), and the next |
//! | `tap-us` | the gate makes the tap, its filter, and puts it on the bridge |
//! | `hand-us` | `ip` and `nft` do what `tap-us` does, from a shell |

// Its figures are its output.
#![allow(clippy::print_stdout)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fief::error::{Context, Failure, Result};
use fief::gate::{Actor, Gate, Ledger, Mode, Operation};
use fief::layout::Layout;
use fief::network::{Network, Nic, Port};
use fief::types::Spoofing;

/// Odd, so that the median is one that was seen; some seconds in all.
const ROUNDS: usize = 101;
const MAC: &str = "52:54:00:00:00:01";
const ADDRESS: &str = "10.77.0.5";
const TAP: &str = "vif1.0";

/// The commands that an operator would write, with the rules that fief has for a card with an address.
const HAND: &str = r#"set -e
ip tuntap add dev vif1.0 mode tap vnet_hdr
echo 1 > /proc/sys/net/ipv6/conf/vif1.0/disable_ipv6
echo 1 > /proc/sys/net/ipv4/conf/vif1.0/rp_filter
nft -f - <<RULES
table netdev fief-vif1.0 {
    chain ingress {
        type filter hook ingress device "vif1.0" priority -300; policy accept;
        ether daddr 01:80:c2:00:00:00-01:80:c2:00:00:0f drop
        ether daddr 01:00:0c:cc:cc:cd drop
        ether saddr != 52:54:00:00:00:01 drop
        ether type { 8021q, 8021ad } drop
        arp saddr ether != 52:54:00:00:00:01 drop
        udp sport { 67, 547 } drop
        icmpv6 type { nd-router-advert, nd-redirect } drop
        ether type != { ip, arp } drop
        arp saddr ip != { 0.0.0.0, 10.77.0.5 } drop
        ip saddr != { 0.0.0.0, 10.77.0.5 } drop
        ip saddr 0.0.0.0 meta l4proto != udp drop
        ip saddr 0.0.0.0 udp dport != 67 drop
    }
}
RULES
ip link set dev vif1.0 alias fief:bench address fe:54:00:00:00:01 mtu 1500
ip link set dev vif1.0 master BRIDGE up
"#;

fn main() -> Result<()> {
    let absent = |what: &str| Failure::usage(format!("{what} is not given"));
    let name = std::env::args().nth(1).ok_or_else(|| absent("NETWORK"))?;
    let name = name.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    let root = std::env::var_os("FIEF_ROOT").map(PathBuf::from).ok_or_else(|| absent("FIEF_ROOT"))?;
    let layout = Layout::new(root);
    let policy = fief::config::policy::load(&layout.policy())?;
    let gate = Gate::new(layout, Arc::new(policy), Mode::Perform);
    Network::open(&gate, &name)?.up()?;

    let (mut plug, mut tap, mut hand) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let mut network = Network::open(&gate, &name)?;
        let port = network.plug(&nic()?)?;
        let Port::Bridge { bridge, admit_address, mtu, .. } = port else {
            return Err(Failure::usage("the network has no bridge"));
        };
        let asked = started.elapsed();
        // A process that ends is not the card's.
        drop(network);

        let create = Operation::TapCreate {
            domain: word("bench")?,
            tap: word(TAP)?,
            bridge: bridge.clone(),
            mac: word(MAC)?,
            mtu,
            admit_address,
            spoofing: Spoofing::Denied,
            bandwidth: None,
        };
        let mut ledger = Ledger::open(&gate.layout().root().join("card.jsonl"))?;
        let started = Instant::now();
        let made = gate.perform(&Actor::Operator, &mut ledger, create, Vec::new())?;
        tap.push(started.elapsed());
        plug.push(asked + started.elapsed());
        gate.undo(&mut ledger).map_err(|mut failures| failures.remove(0))?;
        drop(made);

        let started = Instant::now();
        run("sh", &["-s"], &HAND.replace("BRIDGE", bridge.as_str()))?;
        hand.push(started.elapsed());
        run("sh", &["-s"], "ip link delete vif1.0; nft delete table netdev fief-vif1.0")?;
    }
    Network::down(&gate, &name, false)?;
    for (figure, times) in [("plug-us", plug), ("tap-us", tap), ("hand-us", hand)] {
        println!("{figure} {}", median(times).as_micros());
    }
    Ok(())
}

fn word<T: std::str::FromStr>(text: &str) -> Result<T>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Failure::usage(format!("{error}")))
}

fn nic() -> Result<Nic> {
    Ok(Nic { domain: word("bench")?, index: 0, mac: word(MAC)?, address: Some(word(ADDRESS)?) })
}

fn run(program: &str, arguments: &[&str], input: &str) -> Result<()> {
    let saying = || format!("cannot run {program}");
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().context(saying)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).context(saying)?;
    }
    let status = child.wait().context(saying)?;
    if status.success() { Ok(()) } else { Err(Failure::other(format!("{program} ended with {status}"))) }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
