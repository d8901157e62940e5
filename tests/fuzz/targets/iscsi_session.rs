//! Any bytes at all from a target that has commands of every kind to answer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use storage_iscsi::protocol::frame::Digests;
use storage_iscsi::protocol::offer::Agreed;
use storage_iscsi::protocol::sequence::{Numbers, Sequence};
use storage_iscsi::protocol::session::payload::Data;
use storage_iscsi::protocol::session::{Event, Session};
use storage_iscsi::scsi::answer::verdict;
use storage_iscsi::scsi::capacity::{Capacity, Mode, stretches};
use storage_iscsi::scsi::{command, inquiry, lun, reservation};

/// Most bytes that are sent for each byte that came: an R2T of 48 bytes is answered with all that it asks for.
const MOST_SENT: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, mut input)) = bytes.split_first() else { return };
    let agreed = Agreed {
        digests: Digests { header: choice & 1 != 0, data: choice & 2 != 0 },
        asks_first: choice & 4 != 0,
        immediate: choice & 8 != 0,
        ..Agreed::default()
    };
    let numbers = Numbers { status: 0, expected_command: 1, maximum_command: 8 };
    let mut session = Session::new(agreed, Sequence::after_login(1, numbers));
    let unit = lun::encode(1).expect("a number of a unit");
    let commands = [
        command::read(unit, 0, 8, 4096),
        command::write(unit, 0, 64, vec![7; 32768], true),
        command::inquiry(unit, Some(inquiry::IDENTIFICATION)),
        command::read_capacity(unit),
        reservation::read_keys(unit),
        command::unmap(unit, 0, 8),
    ];
    let count = commands.len();
    for (who, command) in commands.into_iter().enumerate() {
        session.submit(who, command);
    }
    session.ping();
    session.ask(&[("SendTargets", "All")]);
    let all = |session: &mut Session<usize>| {
        std::iter::from_fn(|| Some(session.output().len()).filter(|sent| *sent > 0)).sum::<usize>()
    };
    let first = all(&mut session);
    let mut answered = 0;
    let mut sent = 0;
    let step = 1 + usize::from(choice);
    while !input.is_empty() {
        let (now, later) = input.split_at(input.len().min(step));
        input = later;
        let fed = session.input(Data::Bytes(now.to_vec()), |event| {
            if let Event::Answered { answer, .. } = event {
                answered += 1;
                let _ = verdict(&answer, "it");
                pages(&answer.data.into_bytes());
            }
        });
        // Commands that are overdue, and what the target says to their aborts.
        let _ = session.second(|_| u32::from(choice) % 8);
        sent += all(&mut session);
        if fed.is_err() {
            break;
        }
    }
    assert!(first < 256 << 10 && sent <= MOST_SENT * bytes.len());
    assert_eq!(answered + session.unfinished().len(), count);
});

fn pages(data: &[u8]) {
    let _ = (inquiry::Standard::read(data), inquiry::supported(data), inquiry::designators(data));
    let _ = (inquiry::Limits::read(data), inquiry::Provisioning::read(data), inquiry::rotates(data));
    let _ = (Capacity::read(data), Mode::read(data), stretches(data), lun::listed(data));
    let _ = (reservation::keys(data), reservation::held(data));
}
