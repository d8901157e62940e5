//! Which address a connection went to the first time, for as long as this process (a command, or a domain's supervisor)
//! works with the pool. A name that resolves elsewhere later does not silently move what is attached.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use super::operation::ConnectionRef;
use crate::types::{Endpoint, GrantName, PluginId, PoolName};

type Key = (PluginId, PoolName, GrantName, Endpoint);

/// Shared by all copies of one gate.
#[derive(Debug, Clone, Default)]
pub(super) struct Pins(Arc<Mutex<BTreeMap<Key, IpAddr>>>);

impl Pins {
    pub(super) fn get(&self, to: &ConnectionRef, endpoint: &Endpoint) -> Option<IpAddr> {
        let pins = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pins.get(&key(to, endpoint)).copied()
    }

    pub(super) fn set(&self, to: &ConnectionRef, endpoint: &Endpoint, address: IpAddr) {
        let mut pins = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pins.insert(key(to, endpoint), address);
    }
}

fn key(to: &ConnectionRef, endpoint: &Endpoint) -> Key {
    (to.plugin.clone(), to.pool.clone(), to.connection.clone(), endpoint.clone())
}
