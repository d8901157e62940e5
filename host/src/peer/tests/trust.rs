//! How two hosts come to trust each other, and cease to.

use super::*;
use crate::gate::{Actor, Ledger, Operation, peers};
use crate::sys::netns::within;

fn forget(host: &Host, peer: &str) {
    let operation = Operation::PeerForget { peer: name(peer) };
    host.gate().perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new()).unwrap();
}

#[test]
fn hosts_that_are_paired_reach_each_other_and_one_that_is_removed_reaches_nobody() {
    within(|| {
        let (a, b) = (Host::new("127.0.0.1", ""), Host::new("127.0.0.2", ""));
        let (at_a, at_b) = (a.listen(HANDSHAKE), b.listen(HANDSHAKE));
        let stranger = reach(&b.gate(), &name("a"), LONG).unwrap_err();
        assert_eq!(stranger.kind, Kind::NotFound);
        a.pairs_with(&b, "b", "a");
        for (from, to) in [(&a, "b"), (&b, "a")] {
            let reached = reach(&from.gate(), &name(to), LONG).unwrap();
            assert_eq!((reached.version, reached.fief.as_str()), (2, env!("CARGO_PKG_VERSION")));
            assert!(reached.skew_ms.unsigned_abs() < 5_000, "{reached:?}");
            assert!(seen::read(&from.layout, &name(to)).reached.is_some());
        }
        assert_eq!(peers::get(&a.layout, &name("b")).unwrap().address, Some(b.endpoint()));

        // A session that is open at that moment is closed at its next word.
        run(async {
            let session = Session::connect(&b.gate(), &name("a"), LONG).await.unwrap();
            let answer: Value = session.request("echo", &1, LONG).await.unwrap();
            assert_eq!(answer, 1);
            forget(&a, "b");
            let closed = session.request::<Value>("echo", &2, LONG).await.unwrap_err();
            assert_eq!(closed.kind, Kind::Unreachable, "{closed}");
            Ok(())
        })
        .unwrap();
        at_a.heard("b is gone");
        assert!(!at_a.heard.lock().unwrap().contains(&"b 2".to_owned()));
        let refused = reach(&b.gate(), &name("a"), LONG).unwrap_err();
        assert_eq!(refused.kind, Kind::Denied);
        assert!(words(&refused).contains("does not know this host"), "{refused:?}");
        // Over there it is still trusted, and can be paired again under the same name.
        a.pairs_with(&b, "b", "a");
        reach(&a.gate(), &name("b"), LONG).unwrap();
        drop(at_b);
        let away = reach(&a.gate(), &name("b"), LONG).unwrap_err();
        assert_eq!(away.kind, Kind::Unreachable, "{away}");
        assert!(seen::away(&a.layout, &name("b")).is_some());
        let all = reach_all(&a.gate(), &[name("b")], LONG);
        assert_eq!(all[0].as_ref().unwrap_err(), &away, "it is not asked again");
    });
}

#[test]
fn a_token_is_good_once_for_its_time_and_for_its_own_host() {
    within(|| {
        let (a, b) = (Host::new("127.0.0.1", ""), Host::new("127.0.0.2", ""));
        let _at_a = a.listen(HANDSHAKE);
        let join = |host: &Host, as_name: &str, token: &fief_wire::Token| {
            run(join(&host.gate(), &name(as_name), &a.endpoint(), token))
        };
        let nothing = |host: &Host| assert!(peers::all(&host.layout).unwrap().is_empty());

        // Nobody is invited: the door for guests is shut.
        let token = fief_wire::Token {
            fingerprint: Identity::own(&a.layout).unwrap().fingerprint.bytes(),
            invitation: [1; 8],
            secret: [2; 16],
        };
        assert_eq!(join(&b, "a", &token).unwrap_err().kind, Kind::Denied);

        let invited = invite(&a.gate(), None, LONG).unwrap();
        let oneself = join(&a, "me", &invited.token).unwrap_err();
        assert!(words(&oneself).contains("this very host"), "{oneself}");
        // Another host at that address: not a word is said to it.
        let mut elsewhere = invited.token.clone();
        elsewhere.fingerprint = [9; 32];
        let other = join(&b, "a", &elsewhere).unwrap_err();
        assert!(other.kind == Kind::Denied && words(&other).contains("is another host"), "{other}");
        for (which, wrong) in [("id", true), ("secret", false)] {
            let mut token = invited.token.clone();
            if wrong {
                token.invitation = [1; 8]
            } else {
                token.secret = [1; 16]
            };
            let refused = join(&b, "a", &token).unwrap_err();
            assert_eq!(
                (refused.kind, refused.message.as_str()),
                (Kind::Denied, peers::void().message.as_str()),
                "{which}"
            );
        }
        nothing(&a);
        nothing(&b);

        // In time, and once.
        join(&b, "a", &invited.token).unwrap();
        let c = Host::new("127.0.0.3", "");
        let again = invite(&a.gate(), Some(name("c")), LONG).unwrap();
        assert_eq!(join(&c, "a", &invited.token).unwrap_err().kind, Kind::Denied);
        let over = invite(&a.gate(), None, Duration::ZERO).unwrap();
        assert_eq!(join(&c, "a", &over.token).unwrap_err().kind, Kind::Denied);
        nothing(&c);

        // A name that is taken, on either side; the token stays good.
        let taken = invite(&a.gate(), Some(peers::all(&a.layout).unwrap()[0].0.clone()), LONG).unwrap_err();
        assert_eq!(taken.kind, Kind::Conflict);
        let nameless = invite(&a.gate(), None, LONG).unwrap();
        let same_name = join(&c, "a", &nameless.token).unwrap_err();
        assert!(same_name.kind == Kind::Conflict && words(&same_name).contains("--for"), "{same_name:?}");
        assert_eq!(join(&c, "a", &again.token).unwrap(), "c");
        assert_eq!(join(&c, "b", &nameless.token).unwrap_err().kind, Kind::Conflict, "a host has one name");

        // What is on disk lets nobody in.
        let files = std::fs::read_dir(a.layout.peers()).unwrap().flatten();
        for file in files.filter(|file| file.path().is_file()) {
            let text = std::fs::read_to_string(file.path()).unwrap();
            let secret = fief_wire::text::hex(&nameless.token.secret);
            assert!(!text.contains(&secret), "{text}");
        }
        assert!(a.path().exists());
    });
}

#[test]
fn wrong_tokens_void_an_invitation_and_then_nobody_is_paired_for_a_while() {
    within(|| {
        let (a, b) = (Host::new("127.0.0.1", ""), Host::new("127.0.0.2", ""));
        let _at_a = a.listen(HANDSHAKE);
        let invited = invite(&a.gate(), None, LONG).unwrap();
        let mut wrong = invited.token.clone();
        wrong.secret = [0; 16];
        let join = |token: &fief_wire::Token| run(join(&b.gate(), &name("a"), &a.endpoint(), token)).unwrap_err();
        for _ in 0..5 {
            assert_eq!(join(&wrong).message, peers::void().message);
        }
        assert_eq!(join(&invited.token).message, peers::void().message);
        let other = invite(&a.gate(), None, LONG).unwrap();
        for _ in 0..4 {
            join(&wrong);
        }
        assert!(join(&other.token).message.contains("too many wrong tokens"));
    });
}

#[test]
fn a_certificate_has_no_dates_and_another_one_is_nobody() {
    within(|| {
        let (a, b) = (Host::new("127.0.0.1", ""), Host::new("127.0.0.2", ""));
        let _at_a = a.listen(HANDSHAKE);
        let pin = |host: &Host, as_name: &str, id: u128, identity: &Identity, to: &Host| {
            let operation = Operation::PeerPin {
                peer: name(as_name),
                host: uuid::Uuid::from_u128(id),
                host_name: "x".into(),
                fingerprint: identity.fingerprint,
                address: Some(to.endpoint()),
                invitation: None,
            };
            host.gate().perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new()).unwrap();
        };
        let of_a = Identity::own(&a.layout).unwrap();
        pin(&b, "a", 1, &of_a, &a);
        for (years, id) in [((2000, 2001), 2), ((9000, 9001), 3), ((2001, 2000), 4)] {
            let identity = Identity::of_years(years.0, years.1);
            identity.keep(&b.layout);
            let refused = reach(&b.gate(), &name("a"), LONG).unwrap_err();
            assert_eq!(refused.kind, Kind::Denied, "{refused}");
            pin(&a, &format!("b{id}"), id, &identity, &b);
            reach(&b.gate(), &name("a"), LONG).unwrap_or_else(|failure| panic!("{years:?}: {failure}"));
        }
        // Somebody else answers in the place of a.
        Identity::of_years(2000, 3000).keep(&a.layout);
        let _at_a_again = {
            drop(_at_a);
            a.listen(HANDSHAKE)
        };
        let other = reach(&b.gate(), &name("a"), LONG).unwrap_err();
        assert!(other.kind == Kind::Denied && words(&other).contains("is another host"), "{other}");
    });
}

#[test]
fn a_host_whose_relocation_is_off_invites_nobody_and_comes_all_the_same() {
    within(|| {
        let (a, b) = (Host::new("127.0.0.1", ""), Host::new("127.0.0.2", ""));
        b.policy("# nothing");
        let _at_a = a.listen(HANDSHAKE);
        assert_eq!(invite(&b.gate(), None, LONG).unwrap_err().kind, Kind::Denied);
        a.pairs_with(&b, "b", "a");
        reach(&b.gate(), &name("a"), LONG).unwrap();
        let only_comes = reach(&a.gate(), &name("b"), LONG).unwrap_err();
        assert!(only_comes.kind == Kind::Conflict && words(&only_comes).contains("does not listen"), "{only_comes}");
        // Policy is read anew: from this moment on nobody comes.
        a.policy("[relocation]\nenabled = false");
        assert_eq!(reach(&b.gate(), &name("a"), LONG).unwrap_err().kind, Kind::Unreachable);
    });
}
