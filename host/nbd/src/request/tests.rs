use super::*;
use crate::tests::disk::Disk;

const SIZE: u64 = 64 << 20;

fn geometry() -> Geometry {
    Disk::of(0, 512).geometry
}

fn judged(geometry: &Geometry, command: u16, flags: u16, offset: u64, length: u32) -> Result<Ask, Kind> {
    let header = Header { flags, command, cookie: 7, offset, length };
    match judge(&header, &Terms { geometry, size: SIZE, structured: true, allocation: true }) {
        Verdict::Do(ask) => Ok(ask),
        Verdict::Refuse(error) => Err(error.kind),
        Verdict::Disconnect => panic!("no such thing was asked for"),
    }
}

#[test]
fn a_header_is_read_by_its_bytes_and_a_wrong_magic_is_none() {
    let mut bytes = [0u8; HEADER];
    bytes[..8].copy_from_slice(&[0x25, 0x60, 0x95, 0x13, 0, 9, 0, 6]);
    bytes[15] = 1;
    bytes[23] = 2;
    bytes[27] = 3;
    assert_eq!(Header::parse(&bytes), Some(Header { flags: 9, command: 6, cookie: 1, offset: 2, length: 3 }));
    bytes[0] = 0;
    assert_eq!(Header::parse(&bytes), None);
}

#[test]
fn each_command_has_its_flags_and_no_others() {
    // By command: the flags that it takes. FUA is taken by all.
    let takes =
        [(0, flag::DF), (1, 0), (3, 0), (4, 0), (5, 0), (6, flag::NO_HOLE | flag::FAST_ZERO), (7, flag::REQ_ONE)];
    for (command, taken) in takes {
        let length = if command == command::FLUSH { 0 } else { 512 };
        for bit in 0..16 {
            let judged = judged(&geometry(), command, 1 << bit, 0, length);
            let right = (taken | flag::FUA) & (1 << bit) != 0;
            assert_eq!(judged.is_ok(), right, "command {command}, bit {bit}: {judged:?}");
        }
    }
    for command in [8, 9, 255, u16::MAX] {
        assert_eq!(judged(&geometry(), command, 0, 0, 512), Err(Kind::Invalid));
    }
}

#[test]
fn what_reaches_past_the_end_is_refused_by_what_it_is() {
    let outside = [(0, Kind::Invalid), (1, Kind::NoSpace), (4, Kind::Invalid), (5, Kind::Invalid), (6, Kind::NoSpace)];
    for (command, kind) in outside.into_iter().chain([(7, Kind::Invalid)]) {
        for (offset, length) in
            [(SIZE, 1), (SIZE - 511, 512), (SIZE - 1, MOST_PAYLOAD), (u64::MAX, 1), (u64::MAX - 511, 512)]
        {
            assert_eq!(judged(&geometry(), command, 0, offset, length), Err(kind), "{command}: {offset}+{length}");
        }
        assert!(judged(&geometry(), command, 0, SIZE - 512, 512).is_ok());
        assert_eq!(judged(&geometry(), command, 0, 0, 0), Err(Kind::Invalid), "no length");
    }
    assert_eq!(judged(&geometry(), command::FLUSH, 0, 0, 0), Ok(Ask::Flush));
    assert_eq!(judged(&geometry(), command::FLUSH, 0, 0, 1), Err(Kind::Invalid));
    assert_eq!(judged(&geometry(), command::FLUSH, 0, 1, 0), Err(Kind::Invalid));
}

#[test]
fn what_is_longer_than_a_request_may_be_is_invalid_and_a_whole_read_overflows_before() {
    for command in [command::READ, command::WRITE] {
        assert!(judged(&geometry(), command, 0, 0, MOST_PAYLOAD).is_ok());
        assert_eq!(judged(&geometry(), command, 0, 0, MOST_PAYLOAD + 1), Err(Kind::Invalid));
    }
    let whole = |length| judged(&geometry(), command::READ, flag::DF, 0, length);
    assert_eq!(whole(MOST_WHOLE), Ok(Ask::Read { offset: 0, length: MOST_WHOLE, whole: true }));
    assert_eq!(whole(MOST_WHOLE + 1), Err(Kind::TooLong));
    // What carries no data may be as long as the device.
    for command in [command::TRIM, command::CACHE, command::WRITE_ZEROES, command::BLOCK_STATUS] {
        assert!(judged(&geometry(), command, 0, 0, SIZE as u32).is_ok());
    }
}

#[test]
fn nothing_is_written_to_what_is_read_only() {
    let geometry = Geometry { read_only: true, ..geometry() };
    for command in [command::WRITE, command::TRIM, command::WRITE_ZEROES] {
        for offset in [0, SIZE] {
            assert_eq!(judged(&geometry, command, 0, offset, 512), Err(Kind::NotPermitted));
        }
    }
    assert_eq!(judged(&geometry, command::FLUSH, 0, 0, 0), Ok(Ask::Flush));
    assert!(judged(&geometry, command::READ, 0, 0, 512).is_ok());
}

#[test]
fn what_was_not_offered_is_refused() {
    let plain = Geometry { can_discard: false, can_write_zeroes: false, ..geometry() };
    assert_eq!(judged(&plain, command::TRIM, 0, 0, 512), Err(Kind::Invalid));
    // Zeroes are written where the device has no better way, unless they were to be fast.
    assert!(judged(&plain, command::WRITE_ZEROES, flag::NO_HOLE, 0, 512).is_ok());
    assert_eq!(judged(&plain, command::WRITE_ZEROES, flag::FAST_ZERO, 0, 512), Err(Kind::Unsupported));

    let header = |command, flags| Header { flags, command, cookie: 0, offset: 0, length: 512 };
    let geometry = geometry();
    let bare = Terms { geometry: &geometry, size: SIZE, structured: false, allocation: false };
    for (command, flags) in [(command::BLOCK_STATUS, 0), (command::READ, flag::DF)] {
        assert!(matches!(judge(&header(command, flags), &bare), Verdict::Refuse(error) if error.kind == Kind::Invalid));
    }
    let ask = Ask::Read { offset: 0, length: 512, whole: true };
    assert_eq!(judge(&header(command::READ, 0), &bare), Verdict::Do(ask), "a simple reply is one piece");
}
