//! Answers of NFS 4.1 to a compound of SEQUENCE, PUTFH and READ (RFC 8881, 16.2, 18.46, 18.19, 18.22), in one fragment each (RFC
//! 5531, 11), as the plugin and ganesha make them.

use super::{Lie, Meddle, put, word};

const SEQUENCE: u32 = 53;
const PUTFH: u32 = 22;
const READ: u32 = 25;
/// Top bit of a fragment's length: it is the record's last.
const LAST: u32 = 1 << 31;

pub(super) struct Nfs;

impl Meddle for Nfs {
    fn request(&mut self, _: &[u8]) {}

    fn length(bytes: &[u8]) -> Option<usize> {
        Some(4 + (word(bytes, 0)? & !LAST) as usize)
    }

    fn answer(&mut self, message: &[u8], lie: Lie) -> Option<Vec<u8>> {
        let end = end_of_file(message)?;
        let (length, data) = (end + 4, end + 8);
        let said = word(message, length)?;
        if said == 0 || said % 512 != 0 {
            return None;
        }
        let mut out = message.to_vec();
        let half = data + said as usize / 2;
        match lie {
            Lie::None => {}
            Lie::Short | Lie::Ends => {
                out.truncate(half);
                put(&mut out, length, said / 2);
                put(&mut out, end, u32::from(lie == Lie::Ends));
            }
            Lie::Long => {
                out.extend([0xee; 512]);
                put(&mut out, length, said + 512);
            }
            Lie::Missing => out.truncate(half),
            Lie::Garbage => {
                put(&mut out, 0, u32::MAX);
                return Some(out);
            }
            Lie::Foreign => put(&mut out, 4, word(message, 4)? ^ 0x0055_5500),
        }
        let record = u32::try_from(out.len() - 4).ok()?;
        put(&mut out, 0, LAST | record);
        Some(out)
    }
}

/// Where it is said whether the file ends: the first word of what READ gives.
fn end_of_file(message: &[u8]) -> Option<usize> {
    let mut at = 8;
    let mut next = || {
        at += 4;
        word(message, at - 4)
    };
    // An answer that was accepted, with its verifier's kind.
    if (next()?, next()?) != (1, 0) {
        return None;
    }
    let _kind = next()?;
    let verifier = next()?.next_multiple_of(4) as usize;
    let at = 8 + 16 + verifier;
    let tag = word(message, at + 8)?.next_multiple_of(4) as usize;
    let results = at + 12 + tag;
    let good = word(message, at)? == 0 && word(message, at + 4)? == 0 && word(message, results)? == 3;
    // Each has its number and its status; SEQUENCE then has 36 bytes.
    let (sequence, put, read) = (results + 4, results + 48, results + 56);
    let those = [(sequence, SEQUENCE), (put, PUTFH), (read, READ)];
    let those =
        those.into_iter().all(|(at, number)| (word(message, at), word(message, at + 4)) == (Some(number), Some(0)));
    (good && those).then_some(read + 8)
}
