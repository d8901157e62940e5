//! The server as a client sees it, on sockets in memory.

pub(crate) mod client;
mod commands;
pub(crate) mod disk;
mod gathering;
mod life;
mod properties;
mod session;
mod sharing;
mod soup;

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::task::LocalSet;

use crate::{Export, Limits, Server};
use disk::Disk;
use session::Session;

/// Longer than any test takes, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test to its end, with everything that it starts.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let patient = async { tokio::time::timeout(PATIENCE, test).await.expect("a test that ends") };
    LocalSet::new().block_on(&runtime, patient)
}

/// A server and its clients, all in this task's set.
struct Room {
    server: Rc<Server<Rc<Disk>>>,
    disk: Rc<Disk>,
}

impl Room {
    fn new(disk: Disk) -> Self {
        Room::within(disk, Limits::default())
    }

    fn within(disk: Disk, limits: Limits) -> Self {
        let disk = Rc::new(disk);
        let export = Export { volume: "disk".into(), generation: 5, description: "of a test".into() };
        let server = Server::new(Rc::clone(&disk), export, limits).expect("a disk's geometry");
        Room { server: Rc::new(server), disk }
    }

    /// A connection on which nothing was said.
    fn connect(&self) -> DuplexStream {
        let (client, end) = tokio::io::duplex(64 << 10);
        let server = Rc::clone(&self.server);
        tokio::task::spawn_local(async move { server.connection(end).await });
        client
    }

    /// A client that is through its handshake.
    async fn client(&self) -> Session {
        Session::begin(self.connect(), true).await
    }

    async fn plain_client(&self) -> Session {
        Session::begin(self.connect(), false).await
    }
}
