//! Servers that answer wrongly: a relay before the real ones meddles with the data of reads. A guest that reads back all
//! that it writes is told of an error, or waits, and is never given anything else than what it wrote.

use fief_tests::ganesha::Versions;
use fief_tests::meddler::{Lie, Protocol};
use fief_tests::pools::{iscsi_plugin, iscsi_pool, iscsi_portal, nfs_plugin, nfs_pool};
use fief_tests::{Ganesha, Host, Meddler};

use crate::trouble::{OnError, Subject, passes, waited_out};

const TARGET: &str = "iqn.2026-01.test:liar";
const GUESTS: [(&str, OnError); 2] = [("waits", OnError::Pause), ("told", OnError::Report)];
/// Tries in the few seconds that a lie lasts, where nobody but the plugin tries: without a pause it came to thousands.
const PACED: usize = 100;

#[test]
fn an_nfs_server_that_answers_wrongly_gives_a_guest_no_wrong_data() {
    let host = Host::new();
    let server = Ganesha::start(host.namespace(), Versions::Four);
    let meddler = Meddler::before(server.socket(), server.namespace(), Protocol::Nfs);
    nfs_plugin(&host);
    nfs_pool(&host, "nas", &server, &["transport=served", &format!("port={}", meddler.port())]);
    let mut subjects = GUESTS.map(|(name, on_error)| {
        let volume = format!("nas/{name}");
        host.fief(&["volume", "create", &volume, "--size", "1MiB", "--format", "raw"]);
        Subject::start_careful(&host, name, &volume, &server.export().join(name), on_error)
    });
    // It may give less than it was asked for.
    meddler.lies(Lie::Short);
    for subject in &mut subjects {
        subject.witness.goes_on(3);
        subject.witness.is_sound();
    }
    assert!(meddler.told() > 0);
    let honest = || {
        let told = meddler.told();
        assert!((1..PACED).contains(&told), "it lied {told} times");
        meddler.is_honest();
    };
    passes(&host, &mut subjects, "the file is said to have ended", || meddler.lies(Lie::Ends), honest);
    for lie in [Lie::Long, Lie::Missing, Lie::Garbage] {
        waited_out(&host, &mut subjects, &format!("{lie:?} answers of NFS"), || meddler.lies(lie), honest);
    }
    ends(&host, &mut subjects);
}

#[test]
fn a_target_that_answers_wrongly_gives_a_guest_no_wrong_data() {
    let host = Host::new();
    let mut tgt = iscsi_portal(host.namespace());
    let target = tgt.target(TARGET);
    let meddler = Meddler::before(tgt.portal().parse().unwrap(), host.namespace(), Protocol::Iscsi);
    iscsi_plugin(&host);
    iscsi_pool(&host, "san", &tgt, TARGET, &["transport=served", &format!("port={}", meddler.port())]);
    let mut lun = 0;
    let mut subjects = GUESTS.map(|(name, on_error)| {
        lun += 1;
        let image = tgt.disk(target, lun, 1 << 20);
        Subject::start_careful(&host, name, &format!("san/lun{lun}"), &image, on_error)
    });
    for lie in [Lie::Short, Lie::Long, Lie::Garbage, Lie::Foreign] {
        let honest = || {
            assert!(meddler.told() > 0);
            meddler.is_honest();
        };
        passes(&host, &mut subjects, &format!("{lie:?} answers of a target"), || meddler.lies(lie), honest);
    }
    ends(&host, &mut subjects);
}

fn ends(host: &Host, subjects: &mut [Subject]) {
    for subject in subjects {
        host.fief(&["stop", subject.witness.name()]);
        subject.witness.is_sound();
    }
}
