//! How calls reach the server: one at a time over a stream that waits ([`plain`]), or many at a time over several
//! ([`many`]). What is sent and what its answers mean is written once, above this.

pub(crate) mod events;
pub(crate) mod fresh;
pub(crate) mod many;
pub(crate) mod plain;

use fief_sdk::Result;

use crate::xdr::Malformed;

/// Longest answer that is taken: the data of the largest read and what is around it.
pub(crate) const MOST_RECORD: usize = (1 << 20) + (64 << 10);
/// Most bytes of a stream that are asked for at once.
pub(crate) const AT_ONCE: u32 = 256 << 10;

pub(crate) trait Wire {
    /// A number for a call, another than those of the calls that wait for their answers.
    fn xid(&self) -> u32;

    /// Sends the call that `encode` makes and gives the record of its answer. Where the stream is lost first, the call
    /// is sent again over another: whoever calls sees to it that the server carries it out once, or that twice is the same.
    ///
    /// # Errors
    /// Final: the server is not waited for any longer.
    async fn exchange(&self, xid: u32, encode: &dyn Fn() -> Vec<u8>) -> Result<Vec<u8>>;

    /// # Errors
    /// There is no more time.
    async fn wait(&self, milliseconds: u32) -> Result<()>;

    /// The server sent what is no answer: what else comes over its streams cannot be trusted either.
    ///
    /// # Errors
    /// The call is not to be tried again.
    async fn distrust(&self, why: Malformed) -> Result<()>;
}

impl<W: Wire> Wire for std::rc::Rc<W> {
    fn xid(&self) -> u32 {
        self.as_ref().xid()
    }

    async fn exchange(&self, xid: u32, encode: &dyn Fn() -> Vec<u8>) -> Result<Vec<u8>> {
        self.as_ref().exchange(xid, encode).await
    }

    async fn wait(&self, milliseconds: u32) -> Result<()> {
        self.as_ref().wait(milliseconds).await
    }

    async fn distrust(&self, why: Malformed) -> Result<()> {
        self.as_ref().distrust(why).await
    }
}

/// Unlike any other that is drawn, on this host or another. Not secret.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // Keys of the standard library's maps are random, and differ from one to the next.
    std::hash::RandomState::new().build_hasher().finish()
}
