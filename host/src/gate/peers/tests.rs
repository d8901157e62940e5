//! Who is trusted, and by which invitation.

use super::*;

fn pinned(host: u128, certificate: &[u8]) -> Pinned {
    Pinned {
        host: Uuid::from_u128(host),
        host_name: "b".into(),
        fingerprint: Digest::of(certificate),
        address: "10.0.0.2:8002".parse().ok(),
        since: 5,
    }
}

fn open(until: u64) -> Invitation {
    Invitation { name: None, until, verifier: "00".into(), wrong: 0 }
}

fn root() -> (tempfile::TempDir, Layout) {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::new(root.path());
    (root, layout)
}

fn name(text: &str) -> PeerName {
    text.parse().unwrap()
}

#[test]
fn a_peer_is_known_by_its_certificate_until_it_is_forgotten() {
    let (_root, layout) = root();
    assert!(all(&layout).unwrap().is_empty() && !layout.peers().exists());
    pin(&layout, &name("b"), &pinned(1, b"one"), None).unwrap();
    pin(&layout, &name("b"), &pinned(1, b"one"), None).unwrap();
    assert_eq!(known(&layout, Digest::of(b"one")).unwrap().unwrap(), (name("b"), pinned(1, b"one")));
    assert_eq!(known(&layout, Digest::of(b"two")).unwrap(), None);
    assert!(forget(&layout, &name("b")).unwrap() && !forget(&layout, &name("b")).unwrap());
    assert_eq!(known(&layout, Digest::of(b"one")).unwrap(), None);
    assert_eq!(get(&layout, &name("b")).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn a_name_is_one_hosts_and_a_host_has_one_name() {
    let (_root, layout) = root();
    pin(&layout, &name("b"), &pinned(1, b"one"), None).unwrap();
    for (other, host, certificate, why) in [
        ("b", 2, &b"two"[..], "another host is the peer b"),
        ("c", 1, b"one", "is the peer b already"),
        ("c", 1, b"new", "with another certificate"),
    ] {
        let failure = pin(&layout, &name(other), &pinned(host, certificate), None).unwrap_err();
        assert_eq!(failure.kind, Kind::Conflict);
        assert!(failure.message.contains(why), "{failure}");
    }
    assert_eq!(all(&layout).unwrap().len(), 1);
}

#[test]
fn an_invitation_is_good_once_for_a_time_and_for_a_few_tries() {
    let (_root, layout) = root();
    invite(&layout, "aa", &open(100), 10).unwrap();
    invite(&layout, "bb", &open(20), 10).unwrap();
    assert!(invitation(&layout, "aa", 99).is_ok() && invitation(&layout, "bb", 19).is_ok());
    let words = invitation(&layout, "cc", 10).unwrap_err();
    for (id, now) in [("aa", 100), ("bb", 20), ("", 10)] {
        assert_eq!(invitation(&layout, id, now).unwrap_err(), words, "{id}");
    }
    assert_eq!(open_invitations(&layout, 50).unwrap(), 1);
    assert!(!layout.peers().join(".invitation-bb").exists());

    for _ in 0..WRONG_MAX {
        assert!(invitation(&layout, "aa", 50).is_ok());
        count_wrong(&layout, "aa").unwrap();
    }
    assert_eq!(invitation(&layout, "aa", 50).unwrap_err(), words);
    count_wrong(&layout, "gone").unwrap();

    invite(&layout, "dd", &open(100), 50).unwrap();
    pin(&layout, &name("b"), &pinned(1, b"one"), Some("dd")).unwrap();
    assert_eq!(pin(&layout, &name("c"), &pinned(2, b"two"), Some("dd")).unwrap_err(), words);
    assert_eq!(get(&layout, &name("c")).unwrap_err().kind, Kind::NotFound);
    // Somebody's name that is taken does not cost the invitation.
    invite(&layout, "ee", &open(100), 50).unwrap();
    assert_eq!(pin(&layout, &name("b"), &pinned(2, b"two"), Some("ee")).unwrap_err().kind, Kind::Conflict);
    assert!(invitation(&layout, "ee", 50).is_ok());
}

#[test]
fn a_peer_that_a_domain_is_under_way_to_is_not_forgotten() {
    let (_root, layout) = root();
    assert_eq!(hold(&layout, &name("b")).unwrap_err().kind, Kind::NotFound);
    pin(&layout, &name("b"), &pinned(1, b"one"), None).unwrap();
    let (one, two) = (hold(&layout, &name("b")).unwrap(), hold(&layout, &name("b")).unwrap());
    drop(one);
    assert_eq!(forget(&layout, &name("b")).unwrap_err().kind, Kind::Conflict);
    assert!(get(&layout, &name("b")).is_ok());
    drop(two);
    assert!(forget(&layout, &name("b")).unwrap());
}

#[test]
fn a_peer_that_cannot_be_read_is_said_and_can_be_forgotten() {
    let (_root, layout) = root();
    pin(&layout, &name("b"), &pinned(1, b"one"), None).unwrap();
    std::fs::write(layout.peer(&name("b")).join("peer.json"), "{").unwrap();
    assert_eq!(get(&layout, &name("b")).unwrap_err().kind, Kind::NeedsRecover);
    assert_eq!(known(&layout, Digest::of(b"one")).unwrap(), None);
    assert!(forget(&layout, &name("b")).unwrap());
    // What a pairing that was killed has left is nobody.
    std::fs::create_dir(layout.peer(&name("c"))).unwrap();
    assert!(all(&layout).unwrap().is_empty());
}
