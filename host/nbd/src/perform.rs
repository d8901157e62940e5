//! What was asked for, as calls of the device: whole blocks, no longer than it takes, and no answer taken on trust.

use std::ops::Range;

use crate::blocks::Blocks;
use crate::{Device, Error, Extent, Geometry, Kind};

/// Most bytes of one call, whatever the device takes: what waits for a slow client or device is counted in these.
pub(crate) const MOST_PIECE: u32 = 1 << 20;
/// Most extents of one answer; a client asks on from where they end.
const MOST_EXTENTS: usize = 1024;

/// A part of a request that is done by itself.
#[derive(Debug)]
pub(crate) enum Piece {
    Read { offset: u64, length: u32 },
    Write { offset: u64, data: Vec<u8>, durable: bool },
    Flush,
    Trim { offset: u64, length: u32, durable: bool },
    Cache { offset: u64, length: u32 },
    Zeroes { offset: u64, length: u32, keep: bool, fast: bool, durable: bool },
    Status { offset: u64, length: u32, one: bool },
}

#[derive(Debug)]
pub(crate) enum Answer {
    Done,
    Data(Vec<u8>),
    Extents(Vec<Extent>),
}

/// A device, and what all of its connections must know of each other.
#[derive(Debug)]
pub(crate) struct Ground<D> {
    pub(crate) device: D,
    pub(crate) geometry: Geometry,
    pub(crate) blocks: Blocks,
}

/// Most bytes of one call that begins at `offset`, so that whole blocks around it are still no more than the device takes.
pub(crate) fn piece_at(geometry: &Geometry, offset: u64) -> u64 {
    let block = u64::from(geometry.block_size);
    let most = u64::from(geometry.maximum_io.min(MOST_PIECE).max(geometry.block_size)) / block * block;
    most - offset % block
}

impl<D: Device> Ground<D> {
    /// Where the next call's bytes, of those from `at` to `end`, end; `eager`: of a write that nothing makes durable at once.
    pub(crate) fn piece(&self, at: u64, end: u64, eager: bool) -> u64 {
        let most = piece_at(&self.geometry, at).min(end - at);
        if !eager {
            return at + most;
        }
        let wished = self.device.piece_of_write(at, u32::try_from(most).unwrap_or(u32::MAX));
        let block = u64::from(self.geometry.block_size);
        let whole = (at + u64::from(wished)) / block * block;
        if whole > at { whole.min(at + most) } else { at + most }
    }

    pub(crate) async fn perform(&self, piece: Piece) -> Result<Answer, Error> {
        match piece {
            Piece::Read { offset, length } => return self.read(offset, length).await.map(Answer::Data),
            Piece::Write { offset, data, durable } => self.write(offset, data, durable).await?,
            Piece::Flush => self.device.flush().await?,
            Piece::Trim { offset, length, durable } => self.trim(offset, length, durable).await?,
            Piece::Cache { offset, length } => self.cache(offset, length).await?,
            Piece::Zeroes { offset, length, keep, fast, durable } => {
                self.zeroes(offset..offset + u64::from(length), keep, fast, durable).await?;
            }
            Piece::Status { offset, length, one } => {
                return self.status(offset, length, one).await.map(Answer::Extents);
            }
        }
        Ok(Answer::Done)
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        let blocks = self.around(&(offset..offset + u64::from(length)));
        let wanted = blocks.end - blocks.start;
        let mut data = self.device.read(blocks.start, u32::try_from(wanted).unwrap_or(u32::MAX)).await?;
        if data.len() as u64 != wanted {
            let message = format!("the device answered {} bytes where {wanted} were asked for", data.len());
            return Err(Error::new(Kind::Io, message));
        }
        if wanted != u64::from(length) {
            let head = usize::try_from(offset - blocks.start).unwrap_or(usize::MAX);
            data.drain(..head);
            data.truncate(length as usize);
        }
        Ok(data)
    }

    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<(), Error> {
        if self.geometry.block_size == 1 {
            return self.device.write(offset, data, durable).await;
        }
        let bytes = offset..offset + data.len() as u64;
        let blocks = self.around(&bytes);
        let partial = blocks != bytes;
        let _turn = self.blocks.turn(blocks.clone(), partial).await;
        if !partial {
            return self.device.write(offset, data, durable).await;
        }
        // The blocks at both ends, which are one where the bytes lie within it.
        let block = self.geometry.block_size;
        let mut whole = Vec::with_capacity(usize::try_from(blocks.end - blocks.start).unwrap_or_default());
        let mut last = Vec::new();
        if blocks.start < bytes.start {
            let first = self.read(blocks.start, block).await?;
            whole.extend_from_slice(&first[..usize::try_from(bytes.start - blocks.start).unwrap_or_default()]);
            if blocks.end - blocks.start == u64::from(block) {
                last = first;
            }
        }
        if bytes.end < blocks.end && last.is_empty() {
            last = self.read(blocks.end - u64::from(block), block).await?;
        }
        whole.extend_from_slice(&data);
        let rest = usize::try_from(blocks.end - bytes.end).unwrap_or_default();
        whole.extend_from_slice(&last[last.len() - rest.min(last.len())..]);
        self.device.write(blocks.start, whole, durable).await
    }

    /// A hint: blocks that are only in part of no more use are kept.
    async fn trim(&self, offset: u64, length: u32, durable: bool) -> Result<(), Error> {
        let blocks = self.within(&(offset..offset + u64::from(length)));
        if !blocks.is_empty() {
            let _turn = self.turn_for_whole(&blocks).await;
            match self.device.discard(blocks.start, blocks.end - blocks.start).await {
                Err(error) if error.kind == Kind::Unsupported => {}
                done => done?,
            }
        }
        if durable { self.device.flush().await } else { Ok(()) }
    }

    /// Reads, so that whoever is below may keep it at hand.
    async fn cache(&self, offset: u64, length: u32) -> Result<(), Error> {
        let end = offset + u64::from(length);
        let mut at = offset;
        while at < end {
            let next = (at + piece_at(&self.geometry, at)).min(end);
            self.read(at, u32::try_from(next - at).unwrap_or(u32::MAX)).await?;
            at = next;
        }
        Ok(())
    }

    async fn zeroes(&self, bytes: Range<u64>, keep: bool, fast: bool, durable: bool) -> Result<(), Error> {
        if self.geometry.can_write_zeroes {
            let blocks = self.within(&bytes);
            if blocks.is_empty() {
                return self.write_zeroes(bytes, durable).await;
            }
            let done = {
                let _turn = self.turn_for_whole(&blocks).await;
                self.device.write_zeroes(blocks.start, blocks.end - blocks.start, keep, durable).await
            };
            match done {
                Err(error) if error.kind == Kind::Unsupported && !fast => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    for edge in [bytes.start..blocks.start, blocks.end..bytes.end] {
                        self.write_zeroes(edge, durable).await?;
                    }
                    return Ok(());
                }
            }
        }
        self.write_zeroes(bytes, durable).await
    }

    /// As data, a piece at a time.
    async fn write_zeroes(&self, bytes: Range<u64>, durable: bool) -> Result<(), Error> {
        let mut at = bytes.start;
        while at < bytes.end {
            let next = (at + piece_at(&self.geometry, at)).min(bytes.end);
            let zeroes = vec![0; usize::try_from(next - at).unwrap_or_default()];
            let alone = at == bytes.start && next == bytes.end;
            self.write(at, zeroes, durable && alone).await?;
            at = next;
            if at == bytes.end && durable && !alone {
                self.device.flush().await?;
            }
        }
        Ok(())
    }

    async fn status(&self, offset: u64, length: u32, one: bool) -> Result<Vec<Extent>, Error> {
        let length = u64::from(length);
        if !self.geometry.can_extents {
            return Ok(vec![Extent { length, hole: false, zero: false }]);
        }
        let blocks = self.around(&(offset..offset + length));
        let extents = self.device.extents(blocks.start, blocks.end - blocks.start).await?;
        let clipped = clip(&extents, offset - blocks.start, length, if one { 1 } else { MOST_EXTENTS });
        if clipped.is_empty() {
            return Err(Error::new(Kind::Io, "the device told of no extent where it was asked for one"));
        }
        Ok(clipped)
    }

    async fn turn_for_whole(&self, blocks: &Range<u64>) -> Option<crate::blocks::Turn<'_>> {
        if self.geometry.block_size == 1 { None } else { Some(self.blocks.turn(blocks.clone(), false).await) }
    }

    /// The blocks that `bytes` touch.
    fn around(&self, bytes: &Range<u64>) -> Range<u64> {
        let block = u64::from(self.geometry.block_size);
        bytes.start / block * block..bytes.end.div_ceil(block) * block
    }

    /// The blocks that are in `bytes` as a whole.
    fn within(&self, bytes: &Range<u64>) -> Range<u64> {
        let block = u64::from(self.geometry.block_size);
        bytes.start.div_ceil(block) * block..bytes.end / block * block
    }
}

/// At most `most` extents, from `skip` bytes after where they begin, for `length` bytes; equal neighbours are one.
fn clip(extents: &[Extent], mut skip: u64, mut length: u64, most: usize) -> Vec<Extent> {
    let mut clipped: Vec<Extent> = Vec::new();
    for extent in extents {
        let ahead = skip.min(extent.length);
        skip -= ahead;
        let here = (extent.length - ahead).min(length);
        length -= here;
        if here == 0 {
            continue;
        }
        let full = clipped.len() == most;
        match clipped.last_mut() {
            Some(last) if (last.hole, last.zero) == (extent.hole, extent.zero) => last.length += here,
            Some(_) | None if full => break,
            Some(_) | None => clipped.push(Extent { length: here, ..*extent }),
        }
    }
    clipped
}
