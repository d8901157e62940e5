//! Byte streams to the endpoints that the operator granted, by the grant's name. The host resolves, checks and connects;
//! the plugin never sees an address.
//!
//! There are two kinds, which do not mix on one stream. Plain functions wait, and the whole instance with them: they are
//! for control calls ([`StorageBackend`](crate::storage::StorageBackend) and its like). The `async` ones are for
//! [`block`](crate::block), where one instance has many requests in flight.
//!
//! | function | an error means |
//! | --- | --- |
//! | [`open`](Connection::open), [`connect`](Connection::connect) | `denied`: not granted; `unreachable`, `timeout`: the server did not answer, and may be tried again |
//! | [`read`](Connection::read), [`receive`](Connection::receive) | the stream broke: drop it, and connect anew. The other side's orderly end is no error but no bytes |
//! | [`write`](Connection::write), [`send`](Connection::send) | the same; how much went out is unknown |
//!
//! # One stream, many requests
//!
//! A server answers many requests over one stream, in its own order. Let one task read the stream, from `open` on, and
//! hand each answer to the request that waits for it ([`spawn`](crate::spawn) says what such a task may rely on):
//!
//! ```text
//!   open ──▸ connect ──▸ spawn(reader)              read ──▸ send(question 7) ──▸ wait for 7
//!                            │                      read ──▸ send(question 8) ──▸ wait for 8
//!                            └─ receive … answer 8 ──────────────────────────────▸ woken
//! ```
//! Do not drop a `receive` that has begun (in a `select`, say): bytes that came meanwhile would be lost. To stop
//! the task, [`shut`](Connection::shut) the stream: `receive` then gives no bytes.

use crate::error::Result;
use crate::payload::Payload;

#[cfg(target_family = "wasm")]
use crate::bindings::host::fief::storage::connections as half;
#[cfg(not(target_family = "wasm"))]
use crate::native::connections as half;

/// An open stream; closed when it is dropped.
#[derive(Debug)]
pub struct Connection(half::Connection);

impl Connection {
    /// Connects to what the grant stands for, and waits for it.
    ///
    /// # Errors
    /// `denied`, `unreachable`, `timeout`.
    pub fn open(grant: &str) -> Result<Self> {
        half::Connection::open(grant).map(Connection)
    }

    /// Waits for up to `maximum` bytes; none once the other side has closed.
    ///
    /// # Errors
    /// The stream broke.
    pub fn read(&self, maximum: u32) -> Result<Vec<u8>> {
        self.0.read(maximum)
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The stream broke, and is of no more use.
    pub fn write(&self, data: &[u8]) -> Result<()> {
        self.0.write(data)
    }

    /// As [`open`](Self::open), for `async` functions.
    ///
    /// # Errors
    /// `denied`, `unreachable`, `timeout`.
    pub async fn connect(grant: &str) -> Result<Self> {
        half::Connection::connect(grant.to_owned()).await.map(Connection)
    }

    /// From `least` to `most` bytes; fewer than `least` once the other side has closed, or this one has
    /// [`shut`](Self::shut) it. So what is known to be missing of an answer is waited for by the host, and the plugin is
    /// woken once for all of it. At most 1 MiB at a time, whatever is asked for. One at a time for each stream; a second
    /// waits for the first.
    ///
    /// # Errors
    /// The stream broke.
    pub async fn receive(&self, least: u32, most: u32) -> Result<Vec<u8>> {
        self.0.receive(least, most).await
    }

    /// [`receive`](Self::receive) of so many bytes, fewer once the other side has closed, which stay with the host.
    ///
    /// # Errors
    /// The stream broke.
    pub async fn receive_payload(&self, length: u32) -> Result<Payload> {
        self.0.receive_payload(length).await.map(Payload::from_host)
    }

    /// Sends all of it. Calls are carried out whole and in the order in which they were made, so several tasks may send.
    ///
    /// # Errors
    /// The stream broke, and is of no more use.
    pub async fn send(&self, data: Vec<u8>) -> Result<()> {
        self.0.send(data).await
    }

    /// Ends both directions at once; whoever waits in [`receive`](Self::receive) is given no bytes.
    pub fn shut(&self) {
        self.0.shut();
    }
}
