//! A session against a target that is played by hand.

use proptest::prelude::*;

use super::*;
use crate::protocol::frame::first;
use crate::protocol::header::{FINAL, Header, response};
use crate::protocol::sequence::Numbers;

mod hanging;

const LUN: [u8; 8] = [0, 1, 0, 0, 0, 0, 0, 0];

fn session(agreed: Agreed, window: u32) -> Session<u32> {
    let last = Numbers { status: 0, expected_command: 1, maximum_command: window };
    Session::new(agreed, Sequence::after_login(1, last))
}

fn small() -> Agreed {
    Agreed { segment: 512, first_burst: 1024, burst: 2048, asks_first: false, immediate: true, ..Agreed::default() }
}

fn command(data: Data) -> Command {
    Command { lun: LUN, cdb: [0x88; 16], data }
}

/// The PDUs of an output.
fn sent(session: &mut Session<u32>) -> Vec<(Header, Vec<u8>)> {
    let output: Vec<u8> = std::iter::from_fn(|| session.has_output().then(|| session.output())).flatten().collect();
    let mut all = Vec::new();
    let mut rest = output.as_slice();
    while let Some((pdu, used)) = first(rest, Digests::default()).unwrap() {
        all.push((pdu.header, pdu.data.into_owned()));
        rest = &rest[used..];
    }
    assert!(rest.is_empty());
    all
}

/// A PDU of the target's; `status` is its number.
fn pdu(opcode: u8, flags: u8, tag: u32, status: u32) -> Header {
    Header::new(opcode, flags).tagged(tag).put_u32(24, status).put_u32(28, 1).put_u32(32, 64)
}

fn take(session: &mut Session<u32>, header: Header, data: &[u8]) -> Result<Vec<Event<u32>>, Fault> {
    let mut bytes = Vec::new();
    write(&mut bytes, header, data, Digests::default());
    let mut events = Vec::new();
    session.input(payload::Data::Bytes(bytes), |event| events.push(event)).map(|()| events)
}

#[test]
fn a_read_gathers_its_data_and_ends_with_the_last_of_it() {
    let mut session = session(small(), 64);
    session.submit(7, command(Data::In(1024)));
    let (header, _) = sent(&mut session).remove(0);
    assert_eq!((header.opcode(), header.flags(), header.u32(20), header.lun()), (0x01, 0xc1, 1024, LUN));
    let tag = header.tag();
    assert!(take(&mut session, pdu(response::DATA_IN, 0, tag, 0), &[1; 512]).unwrap().is_empty());
    let last = pdu(response::DATA_IN, FINAL | 1, tag, 1).put_u32(36, 1).put_u32(40, 512);
    let events = take(&mut session, last, &[2; 512]).unwrap();
    let [Event::Answered { who: 7, answer, .. }] = events.as_slice() else { panic!("{events:?}") };
    let payload::Data::Bytes(data) = &answer.data else { panic!("{answer:?}") };
    assert_eq!((answer.status, data.len(), data[511], data[512]), (Status::Good, 1024, 1, 2));
    assert_eq!(session.unanswered(), 0);
}

#[test]
fn all_of_a_read_may_pass_by_unseen() {
    const LENGTH: u32 = 64 << 10;
    let reading = || {
        let mut session = session(small(), 64);
        session.submit(7, command(Data::In(LENGTH)));
        let tag = sent(&mut session)[0].0.tag();
        (session, tag)
    };
    let begin = |session: &mut Session<u32>, header: Header, length: u32| {
        let header = header.with_data_length(length as usize);
        session.input(payload::Data::Bytes(header.0.to_vec()), |_| panic!("nothing is there yet")).unwrap();
    };
    let pass = |session: &mut Session<u32>, length: u32| {
        let mut events = Vec::new();
        let payload = Payload::of_test(vec![3; length as usize]);
        session.input(payload::Data::Payload(payload), |event| events.push(event)).map(|()| events)
    };
    let (mut session, tag) = reading();
    begin(&mut session, pdu(response::DATA_IN, FINAL | 1, tag, 1), LENGTH);
    assert_eq!((session.passes(), session.wanted(1)), (Some(LENGTH), (LENGTH, LENGTH)));
    let events = pass(&mut session, LENGTH).unwrap();
    let [Event::Answered { who: 7, answer, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert!(matches!(&answer.data, payload::Data::Payload(data) if data.len() == LENGTH as usize));

    // Where the stream ended within it, it is no answer.
    let (mut session, tag) = reading();
    begin(&mut session, pdu(response::DATA_IN, FINAL | 1, tag, 1), LENGTH);
    assert!(pass(&mut session, LENGTH - 4).unwrap().is_empty());
    assert_eq!((session.passes(), session.wanted(1)), (None, (4, 4)));

    // A part of a read is seen, and what is at the wrong place is refused as ever.
    let (mut session, tag) = reading();
    begin(&mut session, pdu(response::DATA_IN, 0, tag, 1), LENGTH / 2);
    assert_eq!(session.passes(), None);
    let (mut session, tag) = reading();
    begin(&mut session, pdu(response::DATA_IN, FINAL | 1, tag, 1).put_u32(40, 512), LENGTH);
    assert!(matches!(pass(&mut session, LENGTH), Err(Fault::Sequence(_))));
}

#[test]
fn a_write_goes_out_with_its_command_then_unasked_then_as_it_is_asked_for() {
    let mut session = session(small(), 64);
    let data: Vec<u8> = (0..2500_u32).map(|n| n as u8).collect();
    session.submit(1, command(Data::Out(data.clone())));
    let out = sent(&mut session);
    let shape = |out: &[(Header, Vec<u8>)]| -> Vec<_> {
        out.iter().map(|(h, d)| (h.opcode(), h.flags() & FINAL != 0, h.u32(36), h.u32(40), d.len())).collect()
    };
    assert_eq!((out[0].0.opcode(), out[0].0.flags() & FINAL, out[0].1.len()), (0x01, 0, 512));
    assert_eq!(shape(&out[1..]), [(0x05, true, 0, 512, 512)]);
    let tag = out[0].0.tag();
    let wanted = pdu(response::READY_TO_TRANSFER, FINAL, tag, 1).put_u32(20, 99).put_u32(40, 1024).put_u32(44, 1476);
    take(&mut session, wanted, &[]).unwrap();
    let more = sent(&mut session);
    assert_eq!(shape(&more), [(0x05, false, 0, 1024, 512), (0x05, false, 1, 1536, 512), (0x05, true, 2, 2048, 452)]);
    assert!(more.iter().all(|(header, _)| header.u32(20) == 99));
    let all: Vec<u8> = out.into_iter().chain(more).flat_map(|(_, data)| data).collect();
    assert_eq!(all, data);
}

#[test]
fn nothing_goes_unasked_where_the_target_asks_first() {
    let mut session = session(Agreed { asks_first: true, immediate: false, ..small() }, 64);
    session.submit(1, command(Data::Out(vec![0; 4096])));
    let out = sent(&mut session);
    assert_eq!((out.len(), out[0].1.len(), out[0].0.flags() & FINAL), (1, 0, FINAL));
}

#[test]
fn commands_wait_for_the_window_and_are_left_in_order_by_a_break() {
    let mut session = session(small(), 2);
    for who in 0..4 {
        session.submit(who, command(Data::None));
    }
    let out = sent(&mut session);
    assert_eq!(out.len(), 2);
    let events = take(&mut session, pdu(response::RESPONSE, FINAL, out[0].0.tag(), 1).put_u32(32, 3), &[]).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(sent(&mut session).len(), 1);
    let left: Vec<u32> = session.unfinished().into_iter().map(|left| left.who).collect();
    assert_eq!(left, [1, 2, 3]);
}

#[test]
fn the_targets_ping_is_answered_with_its_own_tag_and_unit() {
    let mut session = session(small(), 64);
    take(&mut session, pdu(response::NOP_IN, FINAL, NONE, 1).put_u32(20, 77).put(8, &LUN), &[]).unwrap();
    let (header, _) = sent(&mut session).remove(0);
    assert_eq!((header.opcode(), header.tag(), header.u32(20), header.lun()), (0x00, NONE, 77, LUN));
    session.ping();
    let (ping, _) = sent(&mut session).remove(0);
    assert_eq!((ping.opcode(), ping.u32(20), ping.0[0] & 0x40), (0x00, NONE, 0x40));
    let events = take(&mut session, pdu(response::NOP_IN, FINAL, ping.tag(), 1).put_u32(20, NONE), &[]).unwrap();
    assert!(matches!(events.as_slice(), [Event::Pong]));
}

#[test]
fn a_target_that_breaks_the_protocol_ends_the_session() {
    let reading = || {
        let mut session = session(small(), 64);
        session.submit(1, command(Data::In(512)));
        let tag = sent(&mut session)[0].0.tag();
        (session, tag)
    };
    let writing = || {
        let mut session = session(small(), 64);
        session.submit(1, command(Data::Out(vec![0; 4096])));
        let tag = sent(&mut session)[0].0.tag();
        (session, tag)
    };
    let r2t = |tag: u32, offset: u32, length: u32| {
        pdu(response::READY_TO_TRANSFER, FINAL, tag, 1).put_u32(40, offset).put_u32(44, length)
    };
    let data = |tag: u32| pdu(response::DATA_IN, FINAL | 1, tag, 1);
    let (mut session, tag) = reading();
    assert!(take(&mut session, data(tag), &[0; 516]).is_err(), "more than was asked for");
    let (mut session, tag) = reading();
    assert!(take(&mut session, data(tag).put_u32(40, 4), &[0; 4]).is_err(), "a gap");
    let (mut session, tag) = reading();
    assert!(take(&mut session, data(tag + 9), &[0; 4]).is_err(), "of nobody");
    let (mut session, tag) = reading();
    assert!(take(&mut session, pdu(response::RESPONSE, FINAL, tag, 2), &[]).is_err(), "a lost response");
    let (mut session, tag) = reading();
    assert!(take(&mut session, r2t(tag, 0, 512), &[]).is_err(), "data of a read");
    for (offset, length) in [(0, 0), (4096, 1), (0, 4096), (u32::MAX, u32::MAX), (4000, 512)] {
        let (mut session, tag) = writing();
        assert!(take(&mut session, r2t(tag, offset, length), &[]).is_err(), "{offset} {length}");
    }
    let (mut session, _) = reading();
    assert_eq!(
        take(&mut session, pdu(response::REJECT, FINAL, NONE, 1).put(2, &[4]), &[]).unwrap_err(),
        Fault::Rejected(4)
    );
    let (mut session, _) = reading();
    let dropped = pdu(response::ASYNC, FINAL, NONE, 1).put(36, &[2]).put_u16(40, 3);
    assert_eq!(take(&mut session, dropped, &[]).unwrap_err(), Fault::Dropped { wait: 3 });
}

proptest! {
    /// Any PDU of any opcode, aimed at a read and a write in flight.
    #[test]
    fn no_target_makes_a_session_panic(
        pdus in prop::collection::vec(
            (0x20_u8..0x40, any::<u8>(), 0_u32..4, 1_u32..4, any::<[u8; 12]>(), prop::collection::vec(any::<u8>(), 0..64)),
            1..20,
        )
    ) {
        let mut session = session(small(), 64);
        session.submit(1, command(Data::In(64)));
        session.submit(2, command(Data::Out(vec![0; 4096])));
        for (opcode, flags, tag, status, rest, data) in pdus {
            let header = pdu(opcode, flags, tag, status).put(36, &rest);
            if take(&mut session, header, &data).is_err() {
                break;
            }
        }
        prop_assert!(session.unfinished().len() <= 2);
    }
}
