//! A copy byte by byte, for what has no holes to ask for (a device, a part of an archive) or is summed on the way.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::part::Part;
use crate::gate::Meter;
use crate::types::Sum;

/// Read at once, in bytes.
const PIECE: usize = 1 << 20;
/// Zeroes of this length and place are left as a hole: a block of what file systems allocate, sixteen times.
const HOLE: usize = 64 << 10;

/// Copies all of it into a file that reads as zeroes there.
pub(super) fn copy(meter: &Meter, from: &Part<'_>, to: &File, mut sum: Option<Sum>) -> io::Result<Option<Sum>> {
    let Part { file, offset, length } = *from;
    meter.begin(length);
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        let step = usize::try_from(length - at).unwrap_or(PIECE).min(PIECE);
        match file.read_at(&mut buffer[..step], offset + at) {
            Ok(0) => return Err(io::Error::other("the file was cut shorter while it was read")),
            Ok(count) => {
                let read = &buffer[..count];
                if let Some(sum) = &mut sum {
                    sum.add(read);
                }
                for (number, block) in read.chunks(HOLE).enumerate() {
                    if block.iter().any(|byte| *byte != 0) {
                        to.write_all_at(block, at + (number * HOLE) as u64)?;
                    }
                }
                at += count as u64;
                meter.at(at)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}
