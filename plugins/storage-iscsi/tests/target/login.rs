//! Logging in: names, secrets, digests.

use fief_sdk::ErrorCode;
use fief_sdk::native::grant_secret;

use crate::bed::{Bed, TARGET, info, message};

const ONE_WAY: [(&str, &str); 2] = [("user", "alice"), ("password", "ours")];
const MUTUAL: [(&str, &str); 4] =
    [("user", "alice"), ("password", "ours"), ("mutual-user", "bob"), ("mutual-password", "theirs")];

fn secrets() {
    grant_secret("ours", b"secret123456");
    grant_secret("theirs", b"mutual123456");
    grant_secret("wrong", b"wrong1234567");
}

#[test]
fn a_wrong_name_is_answered_with_the_right_ones() {
    let mut bed = Bed::new();
    bed.tgt.target("iqn.2026-01.test:others");
    assert_eq!(info(&[]).unwrap(), format!("iscsi:{TARGET}"));
    let error = message(info(&[("target", "iqn.2026-01.test:disk")]));
    assert_eq!(error.code, ErrorCode::NotFound);
    for name in [TARGET, "iqn.2026-01.test:others"] {
        assert!(error.message.contains(name), "{}", error.message);
    }
}

#[test]
fn one_way_chap_lets_in_who_knows_the_secret() {
    secrets();
    let mut bed = Bed::with_disk(1 << 20);
    // A target that asks for nothing takes those who would prove themselves, too.
    info(&ONE_WAY).unwrap();
    bed.tgt.chap(bed.target, "alice", "secret123456");
    info(&ONE_WAY).unwrap();
    for (written, word) in [
        (&[][..], "user and a password"),
        (&[("user", "alice"), ("password", "wrong")][..], "does not take the user"),
        (&[("user", "mallory"), ("password", "ours")][..], "does not take the user"),
    ] {
        let error = message(info(written));
        assert_eq!(error.code, ErrorCode::Denied, "{}", error.message);
        assert!(error.message.contains(word), "{}", error.message);
        assert!(!error.message.contains("wrong1234567") && !error.message.contains("secret123456"));
    }
}

#[test]
fn mutual_chap_refuses_a_target_that_cannot_prove_itself() {
    secrets();
    let mut bed = Bed::with_disk(1 << 20);
    bed.tgt.chap(bed.target, "alice", "secret123456");
    // It does not know the secret at all.
    let error = message(info(&MUTUAL));
    assert_eq!(error.code, ErrorCode::Denied, "{}", error.message);
    bed.tgt.mutual(bed.target, "bob", "mutual123456");
    info(&MUTUAL).unwrap();
    // Who does not ask is let in without.
    info(&ONE_WAY).unwrap();
    for (key, value, word) in [
        ("mutual-password", "wrong", "another than mutual-password"),
        ("mutual-user", "eve", "another than mutual-user"),
    ] {
        let mut written = MUTUAL;
        written.iter_mut().filter(|(name, _)| *name == key).for_each(|pair| pair.1 = value);
        let error = message(info(&written));
        assert_eq!(error.code, ErrorCode::Denied);
        assert!(error.message.contains(word), "{}", error.message);
    }
}

#[test]
fn digests_are_used_where_both_sides_do_and_insisted_on_where_asked_for() {
    let mut bed = Bed::with_disk(1 << 20);
    for wish in ["none", "prefer-crc32c", "crc32c"] {
        info(&[("header-digest", wish), ("data-digest", wish)]).unwrap();
    }
    for key in ["HeaderDigest", "DataDigest"] {
        bed.tgt.parameter(bed.target, key, "None");
    }
    info(&[("header-digest", "prefer-crc32c"), ("data-digest", "prefer-crc32c")]).unwrap();
    let error = message(info(&[("data-digest", "crc32c")]));
    assert_eq!(error.code, ErrorCode::Unsupported, "{}", error.message);
    assert!(error.message.contains("DataDigest=CRC32C"), "{}", error.message);
}
