//! What is cut off without a word: connections that are reset, that only one side still knows, that nothing comes over any
//! more, answers that never come; a unit that is taken away, and another that lies in its place.

use std::time::Duration;

use fief_tests::ganesha::Versions;
use fief_tests::meddler::{Lie, Protocol};
use fief_tests::pools::{iscsi_plugin, iscsi_pool, iscsi_portal, nfs_plugin, nfs_pool};
use fief_tests::{Ganesha, Host, Meddler, Namespace, eventually};

use crate::trouble::{OnError, PATIENCE, Subject, passes, stand_still, storage, waited_out};

const TARGET: &str = "iqn.2026-01.test:cuts";
const SIZE: u64 = 1 << 20;
/// A write of the guest's, and a look of the plugin's, come many times in it.
const A_WHILE: Duration = Duration::from_secs(5);

/// Rules of a namespace's own, about what goes to NFS and comes from it.
struct Cut<'a>(&'a Namespace);

impl<'a> Cut<'a> {
    fn new(namespace: &'a Namespace) -> Self {
        let cut = Cut(namespace);
        cut.nft("add table inet cut");
        for way in ["input", "output"] {
            cut.nft(&format!("add chain inet cut {way} {{ type filter hook {way} priority 0 ; }}"));
        }
        cut
    }

    #[track_caller]
    fn nft(&self, words: &str) {
        self.0.run(&format!("nft {words}")).expect_code(0);
    }

    #[track_caller]
    fn rule(&self, rule: &str) {
        self.nft(&format!("add rule inet cut {rule}"));
    }

    fn heal(&self) {
        self.nft("flush table inet cut");
    }

    /// Our ports of the connections to NFS that there are.
    fn ports(&self) -> Vec<String> {
        let said = self.0.run("ss -tnH state established dport = :2049").expect_code(0).stdout;
        let ours = said.lines().filter_map(|line| line.split_whitespace().nth(2)?.rsplit_once(':'));
        ours.map(|(_, port)| port.to_owned()).collect()
    }
}

#[test]
fn connections_to_nfs_that_are_cut_without_a_word_lose_a_guest_nothing() {
    let host = Host::new();
    let mut server = Ganesha::start(host.namespace(), Versions::Four);
    let meddler = Meddler::before(server.socket(), server.namespace(), Protocol::Nfs);
    nfs_plugin(&host);
    nfs_pool(&host, "nas", &server, &["transport=served"]);
    nfs_pool(&host, "far", &server, &["transport=served", &format!("port={}", meddler.port())]);
    let mut subjects = ["nas/near", "far/unheard"].map(|volume| {
        let name = &volume[4..];
        host.fief(&["volume", "create", volume, "--size", "1MiB", "--format", "raw"]);
        Subject::start_careful(&host, name, volume, &server.export().join(name), OnError::Pause)
    });
    let cut = Cut::new(host.namespace());
    let reset = || cut.rule("output tcp dport 2049 reject with tcp reset");
    waited_out(&host, &mut subjects[..1], "connections are reset", reset, || cut.heal());

    // The server forgets them, and what it says of that is lost.
    let forgotten = || {
        cut.rule("output tcp dport 2049 drop");
        cut.rule("input tcp sport 2049 drop");
        server.kill();
        server.restart();
    };
    waited_out(&host, &mut subjects[..1], "connections are half open", forgotten, || cut.heal());

    // Nothing goes over those that are there, others can be had; and one server answers what nobody asked.
    let silent = || {
        let ports = cut.ports();
        assert!(!ports.is_empty(), "no connection is there");
        cut.rule(&format!("output tcp sport {{ {} }} drop", ports.join(" , ")));
        meddler.lies(Lie::Foreign);
    };
    waited_out(&host, &mut subjects, "nothing comes any more", silent, || meddler.is_honest());
    for subject in &mut subjects {
        host.fief(&["stop", subject.witness.name()]);
        subject.witness.is_sound();
    }
}

#[test]
fn a_unit_that_is_taken_away_is_waited_for_and_another_in_its_place_is_left_alone() {
    let host = Host::new();
    let mut tgt = iscsi_portal(host.namespace());
    let target = tgt.target(TARGET);
    let guests = [("waits", 1, OnError::Pause), ("told", 2, OnError::Report)];
    let images = guests.map(|(_, lun, _)| {
        let image = tgt.disk(target, lun, SIZE);
        tgt.unit(target, lun, &format!("scsi_id=unit{lun}"));
        image
    });
    iscsi_plugin(&host);
    iscsi_pool(&host, "san", &tgt, TARGET, &["transport=served"]);
    let mut subjects: Vec<Subject> = guests
        .iter()
        .zip(&images)
        .map(|((name, lun, on_error), image)| {
            Subject::start_careful(&host, name, &format!("san/lun{lun}"), image, *on_error)
        })
        .collect();

    let tgt = std::cell::RefCell::new(tgt);
    let away = || guests.iter().for_each(|(_, lun, _)| tgt.borrow_mut().remove(target, *lun));
    let back = || {
        for ((_, lun, _), image) in guests.iter().zip(&images) {
            tgt.borrow_mut().disk_in(target, *lun, image, 512);
            tgt.borrow_mut().unit(target, *lun, &format!("scsi_id=unit{lun}"));
        }
    };
    passes(&host, &mut subjects, "the units are gone", away, back);

    let others = guests.map(|(_, lun, _)| tgt.borrow().folder().join(format!("other-{lun}")));
    let exchange = || {
        away();
        // tgt says nothing of an exchange to who asks for nothing meanwhile.
        for (name, _, _) in guests {
            eventually(&format!("it is told of {name}"), PATIENCE, || storage(&host, name));
        }
        for ((_, lun, _), other) in guests.iter().zip(&others) {
            std::fs::File::create(other).unwrap().set_len(SIZE).unwrap();
            tgt.borrow_mut().disk_in(target, *lun, other, 512);
            tgt.borrow_mut().unit(target, *lun, &format!("scsi_id=other{lun}"));
        }
    };
    let untouched = || {
        std::thread::sleep(A_WHILE);
        for other in &others {
            assert!(std::fs::read(other).unwrap().iter().all(|byte| *byte == 0), "{} was written to", other.display());
        }
        away();
        back();
    };
    // Whether a request fails or waits depends on when it comes to the unit.
    stand_still(&host, &mut subjects, "other units lie in their place", exchange, untouched);
    for subject in &mut subjects {
        host.fief(&["stop", subject.witness.name()]);
        subject.witness.is_sound();
    }
}
