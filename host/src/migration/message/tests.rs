use super::*;
use crate::migration::handover::{Event, Handover, Peer, Standing};

const DOMAIN: Uuid = Uuid::from_u128(0xd0);
const ATTEMPT: Attempt = Attempt { generation: 4, number: 9 };

fn offer() -> Offer {
    Offer {
        name: "node1".into(),
        definition: "memory = \"512MiB\"\n".into(),
        strategy: "migration-live".into(),
        power: Power::Running,
        places: None,
        variables: None,
        along: Vec::new(),
        fetches: false,
    }
}

fn reasons() -> Vec<Reason> {
    let reason = |remedy: Option<&str>| Reason {
        code: "memory".into(),
        object: "node1".into(),
        message: "512 MiB are wanted, 100 MiB are free".into(),
        remedy: remedy.map(str::to_owned),
    };
    vec![reason(Some("stop a domain there")), reason(None)]
}

/// One of each, in the order of the recorded frames.
fn all() -> Vec<Message> {
    let words = [
        Word::Prepare(ATTEMPT),
        Word::Prepared(ATTEMPT),
        Word::Staged(ATTEMPT),
        Word::Activate(ATTEMPT),
        Word::Activated(ATTEMPT),
        Word::Refused(ATTEMPT),
        Word::Declined(ATTEMPT),
        Word::Cancel(ATTEMPT),
        Word::Query,
        Word::Owner { generation: u64::MAX },
    ];
    words.map(|word| Message::of(DOMAIN, word, offer, reasons)).to_vec()
}

/// What hosts of version 1 say. Never changed, and read by every later fief that speaks version 1.
const FRAMES: &str = include_str!("frames-1.jsonl");

#[test]
fn what_hosts_of_the_first_version_say_is_read_and_said_to_the_letter() {
    let frames: Vec<&str> = FRAMES.lines().collect();
    assert_eq!(frames.len(), all().len());
    for (frame, message) in frames.iter().zip(all()) {
        assert_eq!(Message::decode(1, frame.as_bytes()), Ok(message.clone()), "{frame}");
        assert_eq!(String::from_utf8(message.encode(1).unwrap()).unwrap(), *frame);
        assert_eq!(Message::of(DOMAIN, message.word().1, offer, reasons), message);
    }
}

#[test]
fn a_message_that_is_cut_or_has_more_less_or_something_twice_is_none() {
    for frame in FRAMES.lines() {
        for cut in 0..frame.len() {
            assert!(Message::decode(1, &frame.as_bytes()[..cut]).is_err(), "{frame} cut at {cut}");
        }
        let more = frame.replacen("\"domain\"", "\"later\":1,\"domain\"", 1);
        let less = frame.replacen("\"domain\":\"00000000-0000-0000-0000-0000000000d0\"", "", 1).replacen("{,", "{", 1);
        let twice = frame
            .replacen("\"domain\":\"00000000-0000-0000-0000-0000000000d0\"", "$&,$&", 1)
            .replace("$&", "\"domain\":\"00000000-0000-0000-0000-0000000000d0\"");
        let behind = format!("{frame} {{}}");
        for wrong in [more, less, twice, behind] {
            assert!(Message::decode(1, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
    for wrong in [
        r#"{"activate":{"domain":"d0","attempt":{"generation":1,"number":1}}}"#,
        r#"{"activate":{"domain":"00000000-0000-0000-0000-0000000000d0","attempt":{"generation":-1,"number":1}}}"#,
        r#"{"activate":{"domain":"00000000-0000-0000-0000-0000000000d0","attempt":{"generation":1e99,"number":1}}}"#,
        r#"{"activate":{"domain":"00000000-0000-0000-0000-0000000000d0","attempt":{"generation":1}}}"#,
        r#"{"activate":{"domain":"00000000-0000-0000-0000-0000000000d0","attempt":null}}"#,
        r#"{"explode":{"domain":"00000000-0000-0000-0000-0000000000d0"}}"#,
        r#""query""#,
        "[]",
        "",
        "\u{feff}{}",
    ] {
        assert!(Message::decode(1, wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_longer_than_any_message_is_neither_said_nor_taken() {
    let long = |name: usize, definition: usize| {
        let what = Offer { name: "n".repeat(name), definition: "d".repeat(definition), ..offer() };
        Message::Prepare { domain: DOMAIN, attempt: ATTEMPT, what: Box::new(what) }
    };
    assert!(long(NAME_MAX, DEFINITION_MAX).encode(1).is_ok());
    for message in [
        long(NAME_MAX + 1, 1),
        long(1, DEFINITION_MAX + 1),
        Message::Declined { domain: DOMAIN, attempt: ATTEMPT, reasons: vec![reasons().remove(0); REASONS_MAX + 1] },
    ] {
        assert!(message.encode(1).is_err());
        assert!(Message::decode(1, &serde_json::to_vec(&message).unwrap()).is_err());
    }
    assert!(Message::decode(1, &vec![b' '; LONGEST + 1]).unwrap_err().to_string().contains("a message of"));
    // Each byte of it costs six once it is escaped: the whole may be too long where its parts are not.
    let escaped = Message::Declined {
        domain: DOMAIN,
        attempt: ATTEMPT,
        reasons: vec![Reason { message: "\u{1}".repeat(TEXT_MAX), ..reasons().remove(0) }; REASONS_MAX],
    };
    assert!(escaped.encode(1).is_err());
}

#[test]
fn a_version_that_is_not_spoken_is_refused_by_its_number() {
    let bytes = all()[0].encode(1).unwrap();
    for version in [0, 2, u16::MAX] {
        assert_eq!(
            Message::decode(version, &bytes).unwrap_err().to_string(),
            format!("version {version} is not spoken here")
        );
        assert!(all()[0].encode(version).is_err());
    }
}

#[test]
fn nothing_of_what_was_sent_stands_in_why_it_was_not_taken() {
    let hostile = format!("{{\"{}\u{1b}[2J\":1}}", "y".repeat(5000));
    let why = Message::decode(1, hostile.as_bytes()).unwrap_err().to_string();
    assert!(why.len() < 100 && !why.contains('\u{1b}') && !why.contains('y'), "{why}");
}

#[test]
fn two_hosts_that_speak_in_messages_hand_a_domain_over() {
    let (from, to) = (Peer(Uuid::from_u128(1)), Peer(Uuid::from_u128(2)));
    let step = Handover::new(Standing::FIRST).step(Event::Begin { to });
    let said = step.outputs.iter().find_map(|output| match output {
        crate::migration::handover::Output::Send(_, word) => Some(Message::of(DOMAIN, *word, offer, reasons)),
        _ => None,
    });
    let bytes = said.unwrap().encode(1).unwrap();
    let (domain, word) = Message::decode(1, &bytes).unwrap().word();
    assert_eq!(domain, DOMAIN);
    let heard = Handover::new(Standing::FOREIGN).step(Event::Heard { from, word });
    assert_ne!(heard.next, Handover::new(Standing::FOREIGN));
}
