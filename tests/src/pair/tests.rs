use std::time::{Duration, Instant};

use super::*;
use crate::eventually;
use crate::relay::{Mood, Way};

const PATIENCE: Duration = Duration::from_secs(60);

/// Each asks the other.
fn answers(pair: &Pair, side: Side) -> bool {
    let listing = pair[side].fief(&["peer", "list", "-o", "json"]).json();
    listing["items"][0]["state"] == "ok"
}

#[test]
fn two_hosts_are_peers_and_reach_what_stands_around_them() {
    let begun = Instant::now();
    let mut pair = Pair::new();
    eprintln!("made in {} ms", begun.elapsed().as_millis());
    pair.lan();
    for side in Side::BOTH {
        eventually("it hears the other", PATIENCE, || answers(&pair, side).then_some(()));
        let host = pair[side].namespace();
        for (net, at) in [(Net::Lan, At::Third), (Net::Stream, At::Host(side.other())), (Net::Storage, At::Storage)] {
            host.run(&format!("ping -c 1 -w 10 {}", address(net, at))).expect_code(0);
        }
    }
    pair.serves(Side::B);
    eventually("it is there again", PATIENCE, || answers(&pair, Side::A).then_some(()));
    let relay = pair.by_relay(Side::A);
    eventually("it hears the other by the relay", PATIENCE, || answers(&pair, Side::A).then_some(()));
    relay.is(Mood::CutsAfter(0), Way::Both);
    assert!(!answers(&pair, Side::A));
    relay.is(Mood::Honest, Way::Both);
    pair.is_as_made();
    pair.a().volume("default/left", "1MiB");
    let left = pair.before[0].difference(&pair.census(Side::A));
    assert!(left.contains("images/left") && pair.before[1] == pair.census(Side::B), "{left}");
}

#[test]
fn a_volume_of_shared_storage_is_on_both() {
    const MIB: u64 = 1 << 20;
    let mut pair = Pair::new();
    let units = pair.iscsi(&[MIB]);
    pair.nfs();
    assert!(units[0].exists());
    pair.a().volume("nfs-served/one", "1MiB");
    for pool in ["nfs-native", "nfs-served", "iscsi-native", "iscsi-served"] {
        let listed = pair.b().fief(&["volume", "list", pool]).stdout;
        assert!(listed.contains(if pool.starts_with("nfs") { "one" } else { "lun1" }), "{listed}");
    }
    pair.ganesha().freeze();
    pair.ganesha().thaw();
    pair.b().fief(&["volume", "delete", "nfs-native/one", "--yes"]);
    pair.is_as_made();
}
