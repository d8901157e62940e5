//! Bytes that the host keeps for a plugin, so that much data passes by without a copy into the plugin's memory and one out.

use std::ops::Range;

#[cfg(target_family = "wasm")]
use crate::bindings::host::fief::storage::payloads::Payload as Half;
/// A test has them in its own memory.
#[cfg(not(target_family = "wasm"))]
type Half = Vec<u8>;

/// Bytes that the host keeps. They never change.
#[derive(Debug)]
pub struct Payload(Half);

impl Payload {
    #[allow(clippy::len_without_is_empty, reason = "none is made of nothing")]
    pub fn len(&self) -> usize {
        #[cfg(target_family = "wasm")]
        return self.0.length() as usize;
        #[cfg(not(target_family = "wasm"))]
        self.0.len()
    }

    /// A copy of them.
    pub fn bytes(&self) -> Vec<u8> {
        #[cfg(target_family = "wasm")]
        return self.0.bytes();
        #[cfg(not(target_family = "wasm"))]
        self.0.clone()
    }
}

#[cfg(not(target_family = "wasm"))]
impl Payload {
    /// For a test: as if the host kept them.
    pub fn of_test(bytes: Vec<u8>) -> Self {
        Payload(bytes)
    }
}

impl Payload {
    pub(crate) fn from_host(half: Half) -> Self {
        Payload(half)
    }
    #[cfg(target_family = "wasm")]
    pub(crate) fn into_host(self) -> Half {
        self.0
    }
    pub(crate) fn half(&self) -> &Half {
        &self.0
    }
}

/// What is read or written, wherever it is.
#[derive(Debug)]
pub enum Data {
    Bytes(Vec<u8>),
    /// A part of what came, so that it need not be moved. The range is one of the bytes.
    Within(Vec<u8>, Range<usize>),
    Payload(Payload),
}

impl Data {
    #[allow(clippy::len_without_is_empty, reason = "no request is for nothing")]
    pub fn len(&self) -> usize {
        match self {
            Data::Bytes(bytes) => bytes.len(),
            Data::Within(_, range) => range.len(),
            Data::Payload(payload) => payload.len(),
        }
    }

    /// In the plugin's own memory.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Data::Bytes(bytes) => bytes,
            Data::Within(mut bytes, range) => {
                bytes.truncate(range.end);
                bytes.drain(..range.start.min(bytes.len()));
                bytes
            }
            Data::Payload(payload) => payload.bytes(),
        }
    }
}
