//! The blocks of one chunk: which of them are not all zeroes, and what a target does with those that came. Pure.

use std::ops::Range;

use bytes::Bytes;
use fief_wire::copy::BLOCK;

static ZEROES: [u8; BLOCK] = [0; BLOCK];

pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(BLOCK).all(|block| *block == ZEROES[..block.len()])
}

/// A bit for each block that is not all zeroes, and those blocks. None: all of it is zeroes.
pub fn packed(chunk: Vec<u8>) -> Option<(Bytes, Bytes)> {
    let blocks = chunk.len().div_ceil(BLOCK);
    let mut map = vec![0u8; blocks.div_ceil(8)];
    let mut kept = 0;
    for (place, block) in chunk.chunks(BLOCK).enumerate() {
        if *block != ZEROES[..block.len()] {
            map[place / 8] |= 1 << (place % 8);
            kept += 1;
        }
    }
    if kept == 0 {
        return None;
    }
    let bytes = if kept == blocks {
        chunk
    } else {
        let of = |(place, block)| is_set(&map, place).then_some::<&[u8]>(block);
        chunk.chunks(BLOCK).enumerate().filter_map(of).collect::<Vec<_>>().concat()
    };
    Some((map.into(), bytes.into()))
}

fn is_set(map: &[u8], place: usize) -> bool {
    map.get(place / 8).is_some_and(|byte| byte & 1 << (place % 8) != 0)
}

/// A stretch of a disk, and what it is to hold; none: zeroes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub at: Range<u64>,
    pub bytes: Option<Bytes>,
}

/// What a chunk that came is to do to the disk. None where it is not one of those bytes.
pub fn runs(chunk: Range<u64>, map: &Bytes, bytes: &Bytes) -> Option<Vec<Run>> {
    let length = usize::try_from(chunk.end - chunk.start).ok()?;
    let blocks = length.div_ceil(BLOCK);
    if map.len() != blocks.div_ceil(8) || (blocks..map.len() * 8).any(|place| is_set(map, place)) {
        return None;
    }
    let mut runs: Vec<Run> = Vec::new();
    let (mut place, mut taken) = (0, 0);
    while place < blocks {
        let holds = is_set(map, place);
        let mut end = place + 1;
        while end < blocks && is_set(map, end) == holds {
            end += 1;
        }
        let (from, to) = (place * BLOCK, (end * BLOCK).min(length));
        let at = chunk.start + from as u64..chunk.start + to as u64;
        let held = if holds {
            let rest = taken + (to - from);
            if rest > bytes.len() {
                return None;
            }
            let held = bytes.slice(taken..rest);
            taken = rest;
            Some(held)
        } else {
            None
        };
        runs.push(Run { at, bytes: held });
        place = end;
    }
    (taken == bytes.len()).then_some(runs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Blocks that are zeroes, or not, the last one cut short.
    fn chunk() -> impl Strategy<Value = Vec<u8>> {
        (proptest::collection::vec(any::<bool>(), 1..40), 1usize..=BLOCK).prop_map(|(blocks, last)| {
            let mut bytes: Vec<u8> = blocks.iter().flat_map(|holds| vec![u8::from(*holds) * 7; BLOCK]).collect();
            bytes.truncate(bytes.len() - BLOCK + last);
            bytes
        })
    }

    proptest! {
        #[test]
        fn what_was_packed_is_the_chunk_again_and_no_block_of_zeroes_is_in_it(chunk in chunk(), start in 0u64..1 << 50) {
            let at = start..start + chunk.len() as u64;
            match packed(chunk.clone()) {
                None => prop_assert!(is_zero(&chunk)),
                Some((map, bytes)) => {
                    prop_assert!(bytes.chunks(BLOCK).all(|block| !is_zero(block)));
                    let mut again = vec![0; chunk.len()];
                    let mut next = start;
                    for run in runs(at.clone(), &map, &bytes).unwrap() {
                        prop_assert_eq!(run.at.start, next);
                        next = run.at.end;
                        if let Some(bytes) = run.bytes {
                            let from = usize::try_from(run.at.start - start).unwrap();
                            again[from..from + bytes.len()].copy_from_slice(&bytes);
                        }
                    }
                    prop_assert_eq!(next, at.end);
                    prop_assert_eq!(again, chunk);
                    // Another length, another map.
                    prop_assert!(runs(at.clone(), &map, &bytes.slice(..bytes.len() - 1)).is_none());
                    let longer = [&map[..], &[0]].concat().into();
                    prop_assert!(runs(at, &longer, &bytes).is_none());
                }
            }
        }
    }

    #[test]
    fn a_block_past_the_end_is_none() {
        let (map, bytes) = (Bytes::from(vec![0b10]), Bytes::from(vec![1; BLOCK]));
        assert!(runs(0..BLOCK as u64, &map, &bytes).is_none());
        assert!(runs(0..2 * BLOCK as u64, &map, &bytes).is_some());
    }
}
