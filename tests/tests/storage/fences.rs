//! Two hosts and one volume: the other one takes it by force while a guest writes to it. From then on that guest writes
//! nothing any more, and what the other one's guest wrote stays.

use std::path::Path;
use std::time::Duration;

use fief_tests::ganesha::Versions;
use fief_tests::pools::{PORTAL, iscsi_plugin, iscsi_pool, iscsi_portal, nfs_plugin, nfs_pool};
use fief_tests::witness::Temper;
use fief_tests::{Ganesha, Host, Witness, eventually};

const TARGET: &str = "iqn.2026-01.test:fenced";
/// A server forgets the locks of a client within its lease time; a lease is looked at every few seconds.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn whoever_lost_an_nfs_volume_by_force_never_writes_to_it_again() {
    let (one, two) = (Host::new(), Host::new());
    let server = Ganesha::start(one.namespace(), Versions::Four);
    server.namespace().wire(("to-two", "10.9.1.1/24"), two.namespace(), ("to-nfs", "10.9.1.2/24"));
    two.namespace().ip(&format!("route add {}/32 via 10.9.1.1", server.address()));
    for host in [&one, &two] {
        nfs_plugin(host);
        nfs_pool(host, "nas", &server, &["transport=served"]);
    }
    one.fief(&["volume", "create", "nas/disk", "--size", "1MiB", "--format", "raw"]);
    taken_by_force(&one, &two, "nas/disk", &server.export().join("disk"));
}

#[test]
fn whoever_lost_a_unit_by_force_never_writes_to_it_again() {
    let (one, two) = (Host::new(), Host::new());
    let mut tgt = iscsi_portal(one.namespace());
    one.namespace().wire(("to-two", "10.9.1.1/24"), two.namespace(), ("to-one", "10.9.1.2/24"));
    two.namespace().ip(&format!("route add {PORTAL}/32 via 10.9.1.1"));
    let target = tgt.target(TARGET);
    let image = tgt.disk(target, 1, 1 << 20);
    for host in [&one, &two] {
        iscsi_plugin(host);
        iscsi_pool(host, "san", &tgt, TARGET, &["transport=served"]);
    }
    taken_by_force(&one, &two, "san/lun1", &image);
}

fn taken_by_force(one: &Host, two: &Host, volume: &str, image: &Path) {
    let mut loser = Witness::on(one, "loser", volume, image, Temper::TriesAgain, &[]);
    one.fief(&["start", "loser"]);
    loser.goes_on(5);
    two.fief(&["create", "winner", "--memory", "32MiB", "--accelerator", "tcg", "--disk", volume]);
    let said = two.fief_ends(&["start", "winner"], 4);
    assert!(said.stderr.contains("unlock"), "{}", said.stderr);
    two.fief(&["volume", "unlock", volume, "--force", "--yes"]);

    // Nothing but the runs of the other one's guest are on the disk from here on.
    let before = loser.on_disk();
    eventually("the other host has it", PATIENCE, || {
        let said = fief_tests::command::run(&mut two.command(&["start", "winner"]), PATIENCE);
        (said.code == Some(0)).then_some(())
    });
    eventually("the loser is stopped", PATIENCE, || (one.state("loser") == "off").then_some(()));
    assert_eq!(one.shown("loser")["last-end"]["reason"], "fenced");
    eventually("the winner writes", PATIENCE, || {
        let now = loser.on_disk();
        (now.run == before.run + 1 && now.counter > before.counter + 10).then_some(())
    });
    let held = two.fief(&["volume", "show", volume]).stdout;
    assert!(held.contains("held by"), "{held}");
    // It begins no more while the other one has it.
    one.fief_ends(&["start", "loser"], 4);
    let run = loser.on_disk().run;
    let counter = loser.on_disk().counter;
    eventually("the winner writes on", PATIENCE, || (loser.on_disk().counter > counter + 5).then_some(()));
    assert_eq!(loser.on_disk().run, run);
    loser.look();
    two.fief(&["stop", "winner"]);
    // Let go properly, it is the first one's again.
    one.fief(&["start", "loser"]);
    loser.goes_on(3);
    assert_eq!(loser.on_disk().run, run + 1);
    one.fief(&["stop", "loser"]);
}
