//! Any bytes at all from a target, from the first one on: a login, and what may come behind it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use storage_iscsi::protocol::chap::{Account, Credentials};
use storage_iscsi::protocol::login::{Dialogue, Progress, Wanted};
use storage_iscsi::protocol::offer::{Wish, Wishes};
use storage_iscsi::protocol::session::Session;
use storage_iscsi::protocol::session::payload::Data;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, mut input)) = bytes.split_first() else { return };
    let account = |name: &str| Account { name: name.into(), secret: b"a secret of a test".to_vec() };
    let wish = |bit: u8| if choice & bit == 0 { Wish::Prefer } else { Wish::Require };
    let wanted = Wanted {
        initiator: "iqn.2026-01.test:fuzz".into(),
        target: (choice & 1 == 0).then(|| "iqn.2026-01.test:disks".into()),
        credentials: (choice & 2 == 0)
            .then(|| Credentials { ours: account("alice"), theirs: (choice & 4 == 0).then(|| account("bob")) }),
        wishes: Wishes { header: wish(8), data: wish(16) },
        isid: [0x80, 0, 0, 0, 0, 0],
    };
    let (mut dialogue, request) = Dialogue::start(wanted);
    assert!(request.len() < 8192);
    while !input.is_empty() {
        let (now, later) = input.split_at(input.len().min(1 + usize::from(choice)));
        input = later;
        match dialogue.input(now) {
            Ok(Progress::Wait) => {}
            Ok(Progress::Send(request)) => assert!(request.len() < 16384),
            Ok(Progress::Done { agreed, sequence, rest }) => {
                assert!(agreed.segment >= 512 && agreed.first_burst <= agreed.burst);
                let mut session = Session::<()>::new(agreed, sequence);
                let _ = session.input(Data::Bytes(rest.clone()), |_| {});
                return;
            }
            Err(_) => return,
        }
    }
});
