//! What stands in for the host where a plugin's code runs natively, in its author's tests: real streams, clocks and files
//! behind the same names, and a table of grants that the test fills. There is no sandbox around it, and no policy.
//!
//! ```
//! use fief_sdk::native;
//!
//! native::grant("server", "127.0.0.1:2049");
//! native::grant_secret("chap", b"a secret of the test");
//! native::block_on(async {
//!     fief_sdk::timer::wait(1).await;
//! });
//! ```
//! The table belongs to the thread, so tests that run side by side do not see each other's.
//!
//! A strategy moves a domain of the test's own: [`FakeMigration`].

pub(crate) mod connections;
pub(crate) mod files;
pub(crate) mod grants;
mod migration;

pub use grants::{grant, grant_directory, grant_secret};
pub use migration::{FakeMigration, Step};

/// Runs `future` to its end on this thread, with what it [`spawn`](crate::spawn)s; what is left of that is dropped.
///
/// # Panics
/// Where the system gives no event queue.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime for a test: {error}"));
    tokio::task::LocalSet::new().block_on(&runtime, future)
}
