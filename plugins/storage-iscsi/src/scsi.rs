//! SCSI as a disk speaks it (SAM-5, SPC-4, SBC-3): commands as bytes, answers as values. No input, no output.

pub mod answer;
pub mod capacity;
pub mod command;
pub mod inquiry;
pub mod lun;
pub mod reservation;
pub mod sense;

/// A big-endian number at a place of a page; none where the page ends before.
fn u16_at(page: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*page.get(at..)?.first_chunk()?))
}

fn u32_at(page: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*page.get(at..)?.first_chunk()?))
}

fn u64_at(page: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*page.get(at..)?.first_chunk()?))
}
