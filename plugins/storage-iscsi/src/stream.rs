//! The two kinds of streams that the host gives, as one: everything above is written once, as `async`.
//!
//! Control calls use the plain functions, which wait with the whole instance, so their futures are ready when they are
//! first asked ([`now`]). Served volumes use the `async` ones.

use std::cell::RefCell;

use fief_sdk::connections::Connection;
use fief_sdk::{Error, ErrorCode, Result, timer};
use futures_util::FutureExt;

/// Name of the connection.
pub const GRANT: &str = "portal";

/// Most bytes that one `receive` asks for where no single message is longer.
pub const CHUNK: u32 = 256 << 10;

/// A stream to the portal.
#[allow(async_fn_in_trait)]
pub trait Stream: Sized {
    async fn connect() -> Result<Self>;
    /// No bytes once the target has closed. Control calls may be given fewer than `least`.
    async fn receive(&self, least: u32, most: u32) -> Result<Vec<u8>>;
    async fn send(&self, data: Vec<u8>) -> Result<()>;
    /// Comes back after so many milliseconds.
    async fn pause(milliseconds: u32);
}

/// For control calls. A target that was silent once is waited for no more, by a logout say: twice is all the time that a call
/// has.
#[derive(Debug)]
pub struct Plain {
    connection: Connection,
    silent: RefCell<Option<Error>>,
}

impl Stream for Plain {
    async fn connect() -> Result<Self> {
        Ok(Plain { connection: Connection::open(GRANT)?, silent: RefCell::default() })
    }
    async fn receive(&self, _least: u32, most: u32) -> Result<Vec<u8>> {
        if let Some(silent) = &*self.silent.borrow() {
            return Err(silent.clone());
        }
        let read = self.connection.read(most);
        if let Err(error) = &read
            && error.code == ErrorCode::Timeout
        {
            self.silent.replace(Some(error.clone()));
        }
        read
    }
    async fn send(&self, data: Vec<u8>) -> Result<()> {
        self.connection.write(&data)
    }
    async fn pause(milliseconds: u32) {
        std::thread::sleep(std::time::Duration::from_millis(milliseconds.into()));
    }
}

/// For served volumes.
impl Stream for Connection {
    async fn connect() -> Result<Self> {
        Connection::connect(GRANT).await
    }
    async fn receive(&self, least: u32, most: u32) -> Result<Vec<u8>> {
        Connection::receive(self, least, most).await
    }
    async fn send(&self, data: Vec<u8>) -> Result<()> {
        Connection::send(self, data).await
    }
    async fn pause(milliseconds: u32) {
        timer::wait(milliseconds).await;
    }
}

/// The outcome of a future that waits for plain streams alone.
///
/// # Errors
/// What the future says; `other` where it does wait, which is a mistake of this plugin.
pub fn now<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    future.now_or_never().unwrap_or_else(|| Err(Error::other("plugin-fault", "a control call waits for something")))
}
