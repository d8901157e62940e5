//! iSCSI in trouble, under guests by either way.

use std::cell::RefCell;
use std::time::Duration;

use fief_tests::Host;
use fief_tests::pools::{iscsi_plugin, iscsi_pool, iscsi_portal};

use crate::trouble::{OnError, Subject, passes};

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
