//! iSCSI in trouble, under guests by either way.

use std::cell::RefCell;
use std::time::Duration;

use fief_tests::pools::{iscsi_plugin, iscsi_pool, iscsi_portal};
use fief_tests::tgt::Target;
use fief_tests::{Host, Tgt, eventually, kill};

use crate::trouble::{OnError, PATIENCE, Subject, passes, waits};

const TARGET: &str = "iqn.2026-01.test:trouble";
const GUESTS: [(&str, &str, u32, OnError); 4] = [
    ("served-waits", "san", 1, OnError::Pause),
    ("native-waits", "near", 2, OnError::Pause),
    ("served-told", "san", 3, OnError::Report),
    ("native-told", "near", 4, OnError::Report),
];

#[test]
fn guests_on_iscsi_outlive_all_that_a_target_does_to_them() {
    let host = Host::new();
    let mut tgt = iscsi_portal(host.namespace());
    let target = tgt.target(TARGET);
    let images = GUESTS.map(|(_, _, lun, _)| tgt.disk(target, lun, 1 << 20));
    // tgt answers for a unit that is offline as ever, unless its medium can be taken out.
    GUESTS.iter().for_each(|(_, _, lun, _)| tgt.unit(target, *lun, "removable=1"));
    iscsi_plugin(&host);
    iscsi_pool(&host, "san", &tgt, TARGET, &["transport=served"]);
    iscsi_pool(&host, "near", &tgt, TARGET, &["transport=native"]);
    let mut subjects: Vec<Subject> = GUESTS
        .iter()
        .zip(&images)
        .map(|((name, pool, lun, on_error), image)| {
            Subject::start(&host, name, &format!("{pool}/lun{lun}"), image, *on_error)
        })
        .collect();

    let tgt = RefCell::new(tgt);
    let all = |setting: &str| GUESTS.iter().for_each(|(_, _, lun, _)| tgt.borrow_mut().unit(target, *lun, setting));
    passes(&host, &mut subjects, "the units are offline", || all("online=0"), || all("online=1"));
    passes(&host, &mut subjects, "the units are read-only", || all("readonly=1"), || all("readonly=0"));
    // No trouble of theirs: cut, killed and started anew, standing still.
    tgt.borrow().cut(target);
    subjects.iter_mut().for_each(|subject| subject.witness.goes_on(3));
    tgt.borrow_mut().kill();
    tgt.borrow_mut().revive();
    subjects.iter_mut().for_each(|subject| subject.witness.goes_on(3));
    tgt.borrow().freeze();
    std::thread::sleep(Duration::from_secs(60));
    tgt.borrow().thaw();
    for subject in &mut subjects {
        subject.witness.goes_on(3);
        subject.witness.is_sound();
    }
    for (name, _, _, _) in GUESTS {
        host.fief(&["stop", name]);
    }
    subjects.iter_mut().for_each(|subject| subject.witness.is_sound());
}

/// A guest on one unit that is served.
fn served(host: &Host) -> (Tgt, Target, Subject) {
    let mut tgt = iscsi_portal(host.namespace());
    let target = tgt.target(TARGET);
    let image = tgt.disk(target, 1, 1 << 20);
    tgt.unit(target, 1, "removable=1");
    iscsi_plugin(host);
    iscsi_pool(host, "san", &tgt, TARGET, &["transport=served"]);
    let subject = Subject::start(host, "node1", "san/lun1", &image, OnError::Pause);
    (tgt, target, subject)
}

#[test]
fn a_guest_that_is_paused_by_hand_in_trouble_waits_for_a_hand() {
    let host = Host::new();
    let (mut tgt, target, mut subject) = served(&host);
    tgt.offline(target, 1);
    eventually("it stands still", PATIENCE, || waits(&host, "node1").then_some(()));
    for _ in 0..2 {
        host.fief(&["pause", "node1"]);
    }
    let listed = host.listed("node1");
    assert_eq!((&listed["state"], &listed["storage"]["waits"]), (&"paused".into(), &false.into()), "{listed}");
    tgt.online(target, 1);
    // Longer than fief's own first waits, in which it would have been let go on.
    let before = subject.witness.on_disk();
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!((subject.witness.on_disk(), host.state("node1")), (before, "paused".to_owned()));
    for _ in 0..2 {
        host.fief(&["resume", "node1"]);
    }
    subject.witness.goes_on(3);
    // Let go on while its storage is in trouble still, it stands still again, and goes on by itself.
    tgt.offline(target, 1);
    eventually("it stands still", PATIENCE, || waits(&host, "node1").then_some(()));
    host.fief(&["resume", "node1"]);
    eventually("it stands still again", PATIENCE, || waits(&host, "node1").then_some(()));
    tgt.online(target, 1);
    subject.witness.goes_on_within(3, PATIENCE);
    subject.witness.is_sound();
    host.fief(&["stop", "node1"]);
}

#[test]
fn a_sandbox_that_nobody_is_left_to_want_waits_for_no_dead_server() {
    let host = Host::new();
    let (tgt, _, mut subject) = served(&host);
    let serves = host.sandbox("node1", 0).unwrap();
    tgt.freeze();
    // By then the guest has asked for something that has no answer.
    std::thread::sleep(Duration::from_secs(2));
    kill(host.supervisor("node1"));
    kill(host.hypervisor("node1"));
    eventually("the sandbox is gone", Duration::from_secs(240), || (!exists(serves)).then_some(()));
    tgt.thaw();
    host.fief(&["start", "node1"]);
    subject.witness.goes_on_within(3, PATIENCE);
    subject.witness.is_sound();
    host.fief(&["stop", "node1"]);
}

fn exists(process: u32) -> bool {
    std::fs::exists(format!("/proc/{process}/status")).unwrap()
}
