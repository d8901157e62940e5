//! Persistent reservations (SPC-4, sections 5.13, 6.15 and 6.16): who may write, kept by the unit itself.

use super::{u32_at, u64_at};
use crate::protocol::session::{Command, Data};

/// "Write exclusive, registrants only": everyone may read, only who is registered may write. One host's several
/// sessions are registered with one key, so that each of them can write and all of them are put out at once.
pub const KIND: u8 = 5;

/// Room for a thousand registrations.
const ROOM: u16 = 8192;

/// What PERSISTENT RESERVE OUT does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Registers this session with a key, whatever it was registered with before; key 0 takes it back.
    Register,
    Reserve,
    /// Puts out everyone of a key, and takes the reservation if it was theirs.
    Preempt,
    /// The same, and ends what commands of theirs are under way.
    PreemptAndAbort,
    /// Puts out everyone, and lets go.
    Clear,
}

fn read(lun: [u8; 8], action: u8) -> Command {
    let mut cdb = [0; 16];
    cdb[..2].copy_from_slice(&[0x5e, action]);
    cdb[7..9].copy_from_slice(&ROOM.to_be_bytes());
    Command { lun, cdb, data: Data::In(ROOM.into()) }
}

pub fn read_keys(lun: [u8; 8]) -> Command {
    read(lun, 0)
}

pub fn read_reservation(lun: [u8; 8]) -> Command {
    read(lun, 1)
}

/// `ours` is the key that this session is registered with, `other` the one that the action is about.
pub fn out(lun: [u8; 8], action: Action, ours: u64, other: u64) -> Command {
    const LENGTH: u8 = 24;
    let code = match action {
        Action::Register => 6,
        Action::Reserve => 1,
        Action::Preempt => 4,
        Action::PreemptAndAbort => 5,
        Action::Clear => 3,
    };
    let mut cdb = [0; 16];
    cdb[..3].copy_from_slice(&[0x5f, code, KIND]);
    cdb[8] = LENGTH;
    let mut list = vec![0; usize::from(LENGTH)];
    list[..8].copy_from_slice(&ours.to_be_bytes());
    list[8..16].copy_from_slice(&other.to_be_bytes());
    Command { lun, cdb, data: Data::Out(list) }
}

/// READ KEYS: how often keys changed since the unit was powered on, and the keys of all registrations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    pub changes: u32,
    pub keys: Vec<u64>,
}

pub fn keys(data: &[u8]) -> Option<Keys> {
    let length = u32_at(data, 4)? as usize;
    let all = data.get(8..)?;
    let all = &all[..all.len().min(length)];
    let mut keys: Vec<u64> = all.chunks_exact(8).filter_map(|key| u64_at(key, 0)).collect();
    keys.sort_unstable();
    keys.dedup();
    Some(Keys { changes: u32_at(data, 0)?, keys })
}

/// READ RESERVATION: the key of who holds it, and its type.
pub fn held(data: &[u8]) -> Option<(u64, u8)> {
    if u32_at(data, 4)? < 16 {
        return None;
    }
    Some((u64_at(data, 8)?, data.get(21)? & 0x0f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_once_and_only_as_far_as_they_go() {
        let mut data = vec![0, 0, 0, 9, 0, 0, 1, 0];
        for key in [5_u64, 3, 5] {
            data.extend(key.to_be_bytes());
        }
        data.push(1);
        assert_eq!(keys(&data), Some(Keys { changes: 9, keys: vec![3, 5] }));
        assert_eq!(keys(&[0; 4]), None);
    }

    #[test]
    fn a_reservation_has_a_key_and_a_type() {
        let mut data = vec![0, 0, 0, 1, 0, 0, 0, 16];
        data.extend(7_u64.to_be_bytes());
        data.extend([0, 0, 0, 0, 0, 5, 0, 0]);
        assert_eq!(held(&data), Some((7, 5)));
        assert_eq!(held(&[0; 8]), None);
    }

    #[test]
    fn a_change_carries_both_keys() {
        let change = out([0; 8], Action::Preempt, 1, 2);
        assert_eq!(change.cdb[..9], [0x5f, 4, 5, 0, 0, 0, 0, 0, 24]);
        let Data::Out(list) = change.data else { panic!("a list") };
        assert_eq!((list.len(), list[7], list[15]), (24, 1, 2));
    }
}
