//! Commands that a target never answers.

use super::*;

const ABORT: u8 = 0x81;
const RESET: u8 = 0x85;

/// Two commands in flight, and what a target was asked to do about them after five seconds.
fn overdue() -> (Session<u32>, Vec<u32>, Header) {
    let mut session = session(small(), 64);
    session.submit(1, command(Data::In(512)));
    session.submit(2, command(Data::In(512)));
    let tags = sent(&mut session).iter().map(|(header, _)| header.tag()).collect();
    let first = |command: &Command| if command.cdb[0] == 0x88 { 5 } else { 0 };
    for second in 1..5 {
        assert_eq!(session.second(first), Health::Waits(second));
        assert!(!session.has_output(), "after {second} s");
    }
    session.second(first);
    let (header, _) = sent(&mut session).remove(0);
    (session, tags, header)
}

fn done(events: &[Event<u32>]) -> Vec<(u32, End)> {
    let one = |event: &Event<u32>| match event {
        Event::Answered { who, answer, .. } => (*who, answer.end),
        other => panic!("{other:?}"),
    };
    let mut all: Vec<_> = events.iter().map(one).collect();
    all.sort_by_key(|(who, _)| *who);
    all
}

fn managed(tag: u32, status: u32, response: u8) -> Header {
    pdu(response::TASK_MANAGEMENT, FINAL, tag, status).put(2, &[response])
}

fn seconds(session: &mut Session<u32>, count: u32) -> Health {
    (0..count).map(|_| session.second(|_| 5)).last().unwrap()
}

#[test]
fn the_oldest_is_aborted_then_the_next_and_each_is_handed_back_when_the_target_says_so() {
    let (mut session, tags, abort) = overdue();
    assert_eq!((abort.opcode(), abort.flags(), abort.u32(20), abort.lun()), (0x02, ABORT, tags[0], LUN));
    assert_eq!(abort.u32(32), 1, "the number of the command");
    let events = take(&mut session, managed(abort.tag(), 1, 0), &[]).unwrap();
    assert_eq!(done(&events), [(1, End::Hung)]);
    let (abort, _) = sent(&mut session).remove(0);
    assert_eq!((abort.flags(), abort.u32(20)), (ABORT, tags[1]));
    // Its answer was on its way.
    let last = pdu(response::DATA_IN, FINAL | 1, tags[1], 2);
    assert_eq!(done(&take(&mut session, last, &[1; 512]).unwrap()), [(2, End::Answered)]);
    assert!(take(&mut session, managed(abort.tag(), 3, 1), &[]).unwrap().is_empty());
    assert_eq!((session.unanswered(), session.second(|_| 5)), (0, Health::Waits(0)));
}

#[test]
fn a_target_that_does_not_abort_resets_the_unit_and_nothing_new_goes_there_meanwhile() {
    for refusal in [1, 5, 255] {
        let (mut session, _, abort) = overdue();
        assert!(take(&mut session, managed(abort.tag(), 1, refusal), &[]).unwrap().is_empty());
        let (reset, _) = sent(&mut session).remove(0);
        assert_eq!((reset.opcode(), reset.flags(), reset.u32(20), reset.lun()), (0x02, RESET, NONE, LUN));
        session.submit(3, command(Data::None));
        assert!(!session.has_output());
        let events = take(&mut session, managed(reset.tag(), 2, 0), &[]).unwrap();
        assert_eq!(done(&events), [(1, End::Hung), (2, End::Hung)]);
        assert_eq!(sent(&mut session).len(), 1, "what waited goes out");
    }
}

#[test]
fn a_target_that_answers_neither_loses_the_session_with_what_hung_told_apart() {
    let (mut session, _, _) = overdue();
    assert!(matches!(seconds(&mut session, 10), Health::Waits(_)));
    let (reset, _) = sent(&mut session).remove(0);
    assert_eq!(reset.flags(), RESET);
    session.submit(3, command(Data::None));
    assert_eq!(seconds(&mut session, 10), Health::Lost);
    let left: Vec<_> = session.unfinished().into_iter().map(|left| (left.who, left.suspect)).collect();
    assert_eq!(left, [(1, true), (2, true), (3, false)]);
    let (mut session, _, _) = overdue();
    seconds(&mut session, 10);
    let (reset, _) = sent(&mut session).remove(0);
    assert_eq!(take(&mut session, managed(reset.tag(), 1, 5), &[]).unwrap_err(), Fault::Stuck);
}

#[test]
fn a_window_that_stays_shut_is_a_session_that_is_lost() {
    let mut session = session(small(), 0);
    session.submit(1, command(Data::None));
    assert_eq!(seconds(&mut session, 29), Health::Waits(0));
    assert_eq!(seconds(&mut session, 1), Health::Lost);
}

#[test]
fn what_a_response_says_of_data_that_did_not_move_is_told() {
    let (mut session, tags, _) = overdue();
    let under = pdu(response::RESPONSE, FINAL | 0x02, tags[0], 1).put_u32(44, 512);
    let last = pdu(response::DATA_IN, FINAL | 0x05, tags[1], 2).put_u32(44, 8);
    let mut events = take(&mut session, under, &[]).unwrap();
    events.extend(take(&mut session, last, &[1; 512]).unwrap());
    let residual = |event: &Event<u32>| match event {
        Event::Answered { answer, .. } => answer.residual,
        other => panic!("{other:?}"),
    };
    assert_eq!(events.iter().map(residual).collect::<Vec<_>>(), [Residual::Under(512), Residual::Over(8)]);
}
