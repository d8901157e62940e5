//! What this host does for its peers. Each part of it that answers them is a `Service` under a name.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::Stream;
use crate::error::{Failure, Result};
use crate::types::{Digest, PeerName};

/// Who asks. All of it was checked, but for what a host says of itself, which is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub peer: PeerName,
    pub host: Uuid,
    pub fingerprint: Digest,
    pub address: SocketAddr,
    /// Of the protocol that both speak.
    pub version: u16,
    /// Which control connection, of all since this process began.
    pub session: u64,
}

pub type Streaming = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Called on threads of its own, for several peers at a time. What it is given was sent by a host that is trusted to be who
/// it is, and no more than that: each body is read as a type that refuses what it does not know.
pub trait Service: Send + Sync + 'static {
    /// One request. May take its time.
    fn answer(&self, caller: &Caller, body: Value) -> Result<Value>;

    /// Whether a stream for this may be opened. What is kept of it comes back with the stream.
    fn admits(&self, _: &Caller, _: &Value) -> Result<()> {
        Err(Failure::usage("nothing streams here"))
    }

    /// The other end of a stream that was admitted.
    fn stream(&self, _: Caller, _: Value, _: Stream) -> Streaming {
        Box::pin(async { Err(Failure::usage("nothing streams here")) })
    }

    /// A control connection of the caller's is over, however that came.
    fn gone(&self, _: &Caller) {}
}

/// By name.
#[derive(Clone, Default)]
pub struct Services(BTreeMap<&'static str, Arc<dyn Service>>);

impl Services {
    #[must_use]
    pub fn with(mut self, name: &'static str, service: impl Service) -> Self {
        self.0.insert(name, Arc::new(service));
        self
    }

    pub(super) fn get(&self, name: &str) -> Result<Arc<dyn Service>> {
        self.0.get(name).cloned().ok_or_else(|| {
            Failure::not_found(format!("this host has no service {:?}", fief_wire::text::word(name)))
                .hint("one of the two hosts has an older fief")
        })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<dyn Service>> {
        self.0.values()
    }
}
