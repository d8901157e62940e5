//! Digests of chunks, and of all of them.

use std::collections::BTreeMap;

use fief_wire::copy::Digest;
use ring::digest::{Context, SHA256, digest};

use super::blocks;

/// Of each chunk that holds more than zeroes.
pub(super) type Table = BTreeMap<u32, Digest>;

pub(super) fn of(bytes: &[u8]) -> Digest {
    whole(digest(&SHA256, bytes))
}

/// None: it is all zeroes.
pub(super) fn of_chunk(bytes: &[u8]) -> Option<Digest> {
    if blocks::is_zero(bytes) { None } else { Some(of(bytes)) }
}

/// Of all chunks, with their places.
pub(super) fn root(table: &Table) -> Digest {
    let mut sum = Sum::new();
    for (number, digest) in table {
        sum.add(&number.to_be_bytes());
        sum.add(digest);
    }
    sum.done()
}

fn whole(digest: ring::digest::Digest) -> Digest {
    // SHA-256 has as many bytes; anything else fits nothing.
    digest.as_ref().try_into().unwrap_or_default()
}

/// One that runs along.
pub(super) struct Sum(Context);

impl Sum {
    pub(super) fn new() -> Self {
        Sum(Context::new(&SHA256))
    }
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    /// Of what was added up to now.
    pub(super) fn so_far(&self) -> Digest {
        whole(self.0.clone().finish())
    }
    pub(super) fn done(self) -> Digest {
        whole(self.0.finish())
    }
}
