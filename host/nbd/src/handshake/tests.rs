use super::*;
use crate::tests::client::{OptionReply, greeting, option, option_reply, queries, wanted};
use crate::tests::disk::Disk;

const FIXED: [u8; 4] = [0, 0, 0, 3];

fn offer() -> Offer {
    Offer::new(&Disk::of(1 << 20, 512).geometry, 1 << 20, None, false)
}

/// What a server of `disk@5` answers to all of `said`, a byte at a time.
fn answers_of(offer: &Offer, said: &[u8]) -> (Vec<OptionReply>, Vec<u8>, Outcome) {
    let export = Export { volume: "disk".into(), generation: 5, description: "of a test".into() };
    let (mut input, mut output) = (BytesMut::new(), Vec::new());
    let mut handshake = Handshake::new(&mut output);
    let mut outcome = Outcome::More;
    for &byte in said {
        assert_eq!(outcome, Outcome::More, "it ended before all was said");
        input.put_u8(byte);
        outcome = handshake.advance(&mut input, &mut output, &export, offer);
    }
    let mut rest = &output[..];
    greeting(&mut rest);
    let replies = std::iter::from_fn(|| option_reply(&mut rest)).collect();
    (replies, rest.to_vec(), outcome)
}

fn answers(options: &[Vec<u8>]) -> (Vec<OptionReply>, Vec<u8>, Outcome) {
    answers_of(&offer(), &[&FIXED[..], &options.concat()].concat())
}

/// The kinds of the answers, and what came of it.
fn kinds(options: &[Vec<u8>]) -> (Vec<u32>, Outcome) {
    let (replies, rest, outcome) = answers(options);
    assert!(rest.is_empty());
    (replies.iter().map(|reply| reply.kind).collect(), outcome)
}

fn agreed(structured: bool, allocation: bool) -> Outcome {
    Outcome::Serve(Agreed { size: 1 << 20, structured, allocation })
}

const ACK: u32 = 1;
const INFO: u32 = 3;
const CONTEXT: u32 = 4;
const UNSUPPORTED: u32 = 0x8000_0001;
const POLICY: u32 = 0x8000_0002;
const INVALID: u32 = 0x8000_0003;
const UNKNOWN: u32 = 0x8000_0006;
const SHUTDOWN: u32 = 0x8000_0007;
const TOO_BIG: u32 = 0x8000_0009;

#[test]
fn go_tells_size_flags_and_what_was_asked_for_and_serves() {
    let (replies, rest, outcome) = answers(&[option(8, &[]), option(7, &wanted("disk@5", &[3, 1, 2, 9, 3]))]);
    assert!(rest.is_empty());
    assert_eq!(outcome, agreed(true, false));
    let info: Vec<&[u8]> = replies.iter().filter(|reply| reply.kind == INFO).map(|reply| &reply.data[..]).collect();
    let export = [&[0, 0][..], &(1u64 << 20).to_be_bytes(), &0x0ded_u16.to_be_bytes()].concat();
    let sizes = [&[0, 3][..], &1u32.to_be_bytes(), &4096u32.to_be_bytes(), &(32u32 << 20).to_be_bytes()].concat();
    assert_eq!(info, [&export[..], &sizes, b"\0\x01disk@5", b"\0\x02of a test"]);
    assert_eq!(replies.last().map(|reply| reply.kind), Some(ACK));
}

#[test]
fn the_size_is_the_only_thing_that_the_old_option_tells_and_zeroes_follow_unless_refused() {
    let told = [&(1u64 << 20).to_be_bytes()[..], &0x0d6d_u16.to_be_bytes()].concat();
    let (replies, rest, outcome) = answers_of(&offer(), &[&[0, 0, 0, 3][..], &option(1, b"disk@5")].concat());
    assert_eq!((replies, rest, outcome), (vec![], told.clone(), agreed(false, false)));
    let (_, rest, _) = answers_of(&offer(), &[&[0, 0, 0, 0][..], &option(1, b"")].concat());
    assert_eq!(rest, [told, vec![0; 124]].concat());
}

#[test]
fn information_leaves_the_choice_open() {
    let (kinds, outcome) = kinds(&[option(6, &wanted("", &[])), option(6, &wanted("", &[]))]);
    assert_eq!((kinds, outcome), (vec![INFO, ACK, INFO, ACK], Outcome::More));
}

#[test]
fn another_generation_or_name_is_refused_and_the_client_may_go_on() {
    let (replies, _, outcome) = answers(&[
        option(7, &wanted("disk@4", &[])),
        option(7, &wanted("disk@6", &[])),
        option(6, &wanted("disk", &[])),
        option(7, &wanted("", &[])),
    ]);
    let kinds: Vec<u32> = replies.iter().map(|reply| reply.kind).collect();
    assert_eq!((kinds, outcome), (vec![POLICY, UNKNOWN, UNKNOWN, INFO, ACK], agreed(false, false)));
    assert_eq!(replies[0].data, b"generation 4 of disk has ended: generation 5 has taken its place");
    assert_eq!(replies[1].data, b"not served here; disk@5 is");
    // The old option has no way to say it.
    assert_eq!(kinds_of_old("disk@4"), (vec![], Outcome::End));
}

fn kinds_of_old(name: &str) -> (Vec<u32>, Outcome) {
    kinds(&[option(1, name.as_bytes())])
}

#[test]
fn the_list_has_one_export() {
    let (replies, _, outcome) = answers(&[option(3, &[]), option(3, b"x"), option(2, &[])]);
    assert_eq!(outcome, Outcome::End);
    assert_eq!(replies[0].data, b"\0\0\0\x06disk@5of a test");
    assert_eq!(replies[1..].iter().map(|reply| reply.kind).collect::<Vec<_>>(), [ACK, INVALID, ACK]);
}

#[test]
fn what_is_not_known_is_said_so_and_passed_by() {
    // TLS, extended headers, and numbers that nothing has.
    let unknown = [option(5, &[]), option(11, &[]), option(4, b"name"), option(77, &[7; 300]), option(u32::MAX, &[])];
    let (kinds, outcome) = kinds(&[&unknown[..], &[option(7, &wanted("", &[]))]].concat());
    assert_eq!(kinds, [UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, INFO, ACK]);
    assert_eq!(outcome, agreed(false, false));
}

#[test]
fn an_option_that_is_too_long_is_skipped_without_being_kept() {
    let (kinds, outcome) = kinds(&[option(7, &vec![0; LONGEST_OPTION + 1]), option(8, &[])]);
    assert_eq!((kinds, outcome), (vec![TOO_BIG, ACK], Outcome::More));
    assert_eq!(kinds_of_old(&"n".repeat(LONGEST_OPTION + 1)), (vec![], Outcome::End));
}

#[test]
fn data_of_another_length_than_it_says_is_invalid() {
    let name = |length: u32| [&length.to_be_bytes()[..], b"disk@5"].concat();
    for data in [
        vec![],
        vec![0; 3],
        vec![0; 4],
        name(6),
        name(7),
        name(u32::MAX),
        [&name(6)[..], &[0, 1]].concat(),
        [&name(6)[..], &[0, 0, 0]].concat(),
        [&name(6)[..], &[255, 255, 0, 1]].concat(),
    ] {
        assert_eq!(kinds(&[option(7, &data)]), (vec![INVALID], Outcome::More), "{data:?}");
        let set = kinds(&[option(8, &[]), option(10, &data)]);
        assert_eq!(set, (vec![ACK, INVALID], Outcome::More), "{data:?}");
    }
    assert_eq!(kinds(&[option(8, b"x")]), (vec![INVALID], Outcome::More));
}

#[test]
fn contexts_need_structured_replies_and_only_allocation_is_known() {
    let go = option(7, &wanted("", &[]));
    let set = |names: &[&str]| option(10, &queries("disk@5", names));
    assert_eq!(kinds(&[set(&["base:allocation"])]), (vec![INVALID], Outcome::More));
    let chosen = |options: &[Vec<u8>]| kinds(&[&[option(8, &[])], options, std::slice::from_ref(&go)].concat());
    let all = set(&["x-a:b", "base:allocation", "base:allocation"]);
    assert_eq!(chosen(std::slice::from_ref(&all)), (vec![ACK, CONTEXT, ACK, INFO, ACK], agreed(true, true)));
    // Who chooses names it, and each choice replaces the one before.
    for nothing in [set(&[]), set(&["base:"]), set(&["base:other", ""])] {
        let (kinds, outcome) = chosen(&[all.clone(), nothing]);
        assert_eq!((kinds, outcome), (vec![ACK, CONTEXT, ACK, ACK, INFO, ACK], agreed(true, false)));
    }
    // Who lists chooses nothing, and may ask for all.
    for names in [&[][..], &["base:"], &["base:allocation"]] {
        let (kinds, outcome) = chosen(&[option(9, &queries("", names))]);
        assert_eq!((kinds, outcome), (vec![ACK, CONTEXT, ACK, INFO, ACK], agreed(true, false)));
    }
    assert_eq!(chosen(&[option(9, &queries("", &["x-a:"]))]).0, [ACK, ACK, INFO, ACK]);
    assert_eq!(chosen(&[option(10, &queries("disk@4", &["base:allocation"]))]).0, [ACK, POLICY, INFO, ACK]);
}

#[test]
fn a_listed_context_has_no_number_and_a_chosen_one_has() {
    let all = queries("", &["base:allocation"]);
    let (replies, _, _) = answers(&[option(8, &[]), option(9, &all), option(10, &all)]);
    assert_eq!(replies[1].data, b"\0\0\0\0base:allocation");
    assert_eq!(replies[3].data, b"\0\0\0\x01base:allocation");
}

#[test]
fn flags_that_were_not_offered_and_what_is_no_option_end_it() {
    assert_eq!(answers_of(&offer(), &[0, 0, 0, 4]).2, Outcome::End);
    assert_eq!(answers_of(&offer(), &[0x80, 0, 0, 3]).2, Outcome::End);
    assert_eq!(answers_of(&offer(), &[&FIXED[..], &[b'x'; 16]].concat()).2, Outcome::End);
}

#[test]
fn a_server_that_ends_lets_nobody_in_but_takes_leave() {
    let ending = Offer { ending: true, ..offer() };
    let said = [option(8, &[]), option(3, &[]), option(7, &wanted("", &[])), option(99, &[]), option(2, &[])];
    let (replies, _, outcome) = answers_of(&ending, &[&FIXED[..], &said.concat()].concat());
    let kinds: Vec<u32> = replies.iter().map(|reply| reply.kind).collect();
    assert_eq!((kinds, outcome), (vec![SHUTDOWN, SHUTDOWN, SHUTDOWN, SHUTDOWN, ACK], Outcome::End));
    assert_eq!(answers_of(&ending, &[&FIXED[..], &option(1, b"")].concat()).2, Outcome::End);
}

#[test]
fn a_fenced_server_says_who_has_the_volume() {
    let fenced = Offer { fenced: Some("host b holds it".into()), ..offer() };
    let (replies, _, outcome) = answers_of(&fenced, &[&FIXED[..], &option(7, &wanted("", &[]))].concat());
    assert_eq!((replies[0].kind, &replies[0].data[..], outcome), (POLICY, &b"host b holds it"[..], Outcome::More));
}
