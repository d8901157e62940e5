//! What was written on top of an image: the layout of a file. Pure.
//!
//! ```text
//!   0            the image that it stands on, as lines; zeroes up to 4 KiB
//!   4 KiB        a bit for each cluster of 64 KiB: its bytes are here, and not in the image
//!   16 MiB …     the bytes, each cluster at its own place; what was not written is a hole
//! ```
//! The file's length says how long the volume is. Nothing else ever changes but bits, from 0 to 1, each after its cluster is
//! on stable storage: a crash at any point leaves each cluster either the image's or whole.

use crate::index::Image;
use crate::pin::{image, lines};

const FIRST_LINE: &str = "fief-overlay 1";
/// Bytes of the head.
pub(crate) const HEAD: u64 = 4 << 10;
/// What is copied when a part of it is written.
pub const CLUSTER: u64 = 64 << 10;
/// Where the volume's first byte lies in the file.
pub const DATA: u64 = 16 << 20;
/// The largest volume: a bit for each of its clusters fits in front of the data.
pub(crate) const LARGEST: u64 = 4 << 40;

/// The head, and which clusters are here.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(crate) base: Image,
    /// Of the volume.
    pub(crate) size: u64,
    pub(crate) here: Bitmap,
}

impl Overlay {
    pub(crate) fn written_bytes(&self) -> u64 {
        self.here.count() * CLUSTER
    }
}

/// The first bytes of a new file.
pub(crate) fn head(base: &Image) -> Vec<u8> {
    let mut head = format!("{FIRST_LINE}\n{}", lines(base)).into_bytes();
    head.resize(HEAD as usize, 0);
    head
}

/// The image that a file stands on; none where these are not the first bytes of an overlay.
pub(crate) fn base(head: &[u8]) -> Option<Image> {
    let text = head.split(|byte| *byte == 0).next()?;
    image(std::str::from_utf8(text).ok()?.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?)
}

/// Of the volume that is kept in a file of so many bytes.
pub(crate) fn size(length: u64) -> Option<u64> {
    length.checked_sub(DATA).filter(|size| (1..=LARGEST).contains(size) && size % crate::facts::SECTOR == 0)
}

/// A bit for each cluster.
#[derive(Debug, Default, Clone)]
pub(crate) struct Bitmap(Vec<u8>);

impl Bitmap {
    /// Bytes of one for a volume of that size.
    pub(crate) fn bytes(size: u64) -> u64 {
        size.div_ceil(CLUSTER).div_ceil(8)
    }
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Bitmap(bytes)
    }
    pub(crate) fn has(&self, cluster: u64) -> bool {
        self.0.get((cluster / 8) as usize).is_some_and(|byte| byte & (1 << (cluster % 8)) != 0)
    }
    /// One that lies within it.
    pub(crate) fn set(&mut self, cluster: u64) {
        if let Some(byte) = self.0.get_mut((cluster / 8) as usize) {
            *byte |= 1 << (cluster % 8);
        }
    }
    /// The byte that has this cluster's bit, and where it lies.
    pub(crate) fn byte_of(&self, cluster: u64) -> (u64, u8) {
        (cluster / 8, self.0.get((cluster / 8) as usize).copied().unwrap_or_default())
    }
    fn count(&self) -> u64 {
        self.0.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }
}

/// A stretch within one cluster, or a run of whole ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) here: bool,
}

/// What is asked for, cut where it goes over from the file to the image and back; the image's pieces end at each cluster's end
/// where `each`.
pub(crate) fn pieces(here: &Bitmap, offset: u64, length: u64, each: bool) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut at, end) = (offset, offset + length);
    while at < end {
        let next = (at / CLUSTER + 1) * CLUSTER;
        let next = next.min(end);
        let is_here = here.has(at / CLUSTER);
        match pieces.last_mut() {
            Some(last) if last.here == is_here && (is_here || !each) => last.length += next - at,
            _ => pieces.push(Piece { offset: at, length: next - at, here: is_here }),
        }
        at = next;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_of_the_largest_volume_lie_before_its_bytes() {
        assert!(HEAD + Bitmap::bytes(LARGEST) <= DATA);
        assert_eq!((size(DATA), size(DATA + 512), size(DATA + 513), size(100)), (None, Some(512), None, None));
    }

    #[test]
    fn a_head_says_what_it_stands_on() {
        let image = crate::pin::example().image;
        assert_eq!(base(&head(&image)), Some(image));
        assert_eq!((base(b""), base(&[0; 4096]), base(b"fief-overlay 2\nname=a")), (None, None, None));
    }

    #[test]
    fn requests_are_cut_where_the_file_begins_and_ends() {
        let mut here = Bitmap::new(vec![0; 2]);
        [1, 2, 9].into_iter().for_each(|cluster| here.set(cluster));
        let cut = |offset, length, each| {
            let pieces = pieces(&here, offset, length, each);
            pieces.iter().map(|piece| (piece.offset / 1024, piece.length / 1024, piece.here)).collect::<Vec<_>>()
        };
        assert_eq!(cut(0, 256 << 10, false), [(0, 64, false), (64, 128, true), (192, 64, false)]);
        assert_eq!(cut(190 << 10, 131 << 10, false), [(190, 2, true), (192, 129, false)]);
        assert_eq!(
            cut(190 << 10, 131 << 10, true),
            [(190, 2, true), (192, 64, false), (256, 64, false), (320, 1, false)]
        );
        assert_eq!((here.count(), here.byte_of(9), here.has(1 << 40)), (3, (1, 2), false));
    }
}
