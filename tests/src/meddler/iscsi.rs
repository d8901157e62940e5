//! Data-In of READ(16) (RFC 7143, 11.7), without digests. Which command data is for is known by the task's tag.

use std::collections::HashSet;

use super::{Lie, Meddle, put, word};

/// Of the basic header segment (11.2.1).
const HEADER: usize = 48;
const COMMAND: u8 = 0x01;
const DATA_IN: u8 = 0x25;
const READ_16: u8 = 0x88;

#[derive(Default)]
pub(super) struct Iscsi {
    came: Vec<u8>,
    /// Tags of reads that are under way.
    reads: HashSet<u32>,
}

fn data_length(header: &[u8]) -> Option<usize> {
    Some((word(header, 4)? & 0x00ff_ffff) as usize)
}

fn set_data_length(header: &mut [u8], length: usize) {
    let number = u32::try_from(length).expect("a segment") & 0x00ff_ffff;
    let additional = u32::from(header[4]) << 24;
    put(header, 4, additional | number);
}

impl Meddle for Iscsi {
    fn request(&mut self, bytes: &[u8]) {
        self.came.extend_from_slice(bytes);
        while let Some(length) = Self::length(&self.came).filter(|length| *length <= self.came.len()) {
            let message: Vec<u8> = self.came.drain(..length).collect();
            if message[0] & 0x3f == COMMAND
                && message[32] == READ_16
                && let Some(tag) = word(&message, 16)
            {
                self.reads.insert(tag);
            }
        }
    }

    fn length(bytes: &[u8]) -> Option<usize> {
        let additional = usize::from(*bytes.get(4)?) * 4;
        Some(HEADER + additional + data_length(bytes)?.next_multiple_of(4))
    }

    fn answer(&mut self, message: &[u8], lie: Lie) -> Option<Vec<u8>> {
        let (tag, length) = (word(message, 16)?, data_length(message)?);
        if message[0] & 0x3f != DATA_IN || length == 0 || !self.reads.contains(&tag) {
            return None;
        }
        let mut out = message.to_vec();
        match lie {
            Lie::None => {}
            Lie::Short | Lie::Ends | Lie::Missing => {
                out.truncate(HEADER + length / 2);
                set_data_length(&mut out, length / 2);
            }
            Lie::Long => {
                out.extend([0xee; 512]);
                set_data_length(&mut out, length + 512);
            }
            Lie::Garbage => set_data_length(&mut out, 0x00ff_ffff),
            Lie::Foreign => put(&mut out, 16, tag ^ 0x0055_5500),
        }
        Some(out)
    }
}
