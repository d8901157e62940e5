//! Network plugins: the trait that an author implements. What each function is for, when the host calls it and what an
//! error means is in [the crate's manual](crate#network-plugins).

use crate::bindings::mode::exports::fief::network::mode;
use crate::error::Result;
use crate::settings::Settings;

pub use crate::bindings::host::fief::types::types::{Finding, Severity};
pub use mode::{BridgePort, Forward, Nic, Port, Protocol, UserPort};

/// The network that a call is about.
#[derive(Debug, Clone)]
pub struct Network<S> {
    /// Its name on this host.
    pub name: String,
    /// A bridge name that is free on this host, for a plugin whose settings name none; the same at every call.
    pub bridge: String,
    pub settings: S,
}

/// What a network is made of.
pub trait NetworkMode {
    type Settings: Settings;
    /// Builds it. What already is as it should be stays; the host takes it down from its ledger.
    fn up(network: &Network<Self::Settings>) -> Result<()>;
    /// Where one card goes.
    fn plug(network: &Network<Self::Settings>, nic: &Nic) -> Result<Port>;
    /// What is amiss; changes nothing.
    fn check(network: &Network<Self::Settings>) -> Result<Vec<Finding>>;
}

fn read<S: Settings>(network: mode::Network) -> Result<Network<S>> {
    Ok(Network { settings: S::read(&network.settings)?, name: network.name, bridge: network.bridge })
}

impl<T: NetworkMode> mode::Guest for T {
    fn up(network: mode::Network) -> Result<()> {
        <T as NetworkMode>::up(&read(network)?)
    }
    fn plug(network: mode::Network, nic: Nic) -> Result<Port> {
        <T as NetworkMode>::plug(&read(network)?, &nic)
    }
    fn check(network: mode::Network) -> Result<Vec<Finding>> {
        <T as NetworkMode>::check(&read(network)?)
    }
}
