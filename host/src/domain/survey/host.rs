//! This host, as far as a move has to know it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::policy::Policy;
use crate::error::Result;
use crate::gate::{Gate, host_id};
use crate::hypervisor::{ChosenAccelerator, qemu};
use crate::migration::plan::{HostFacts, NetworkFacts, PluginFacts};
use crate::migration::survey::Subject;
use crate::network::Network;
use crate::peer::facts;
use crate::storage::Pool;
use crate::sys::machine;
use crate::types::{ByteSize, NetworkName, PluginId, PoolName};

const QEMU: &str = "qemu";
/// In the place of its name, where there is none that answers.
const NONE: &str = "no hypervisor";

/// Of its networks those that are named, of its plugins those and those that serve what is named. Whose domains it has, and
/// what policy says, is the caller's.
pub(super) fn facts(gate: &Gate, subject: &Subject) -> Result<HostFacts> {
    let host = host_id::this(gate.layout())?;
    let hypervisor = known(qemu::facts::facts(gate));
    let accelerator = known(qemu::probe::choose(gate, subject.accelerator)).map(|(chosen, _)| chosen);
    let processor = accelerator.and_then(|accelerator| known(qemu::processor::processor(gate, accelerator)));
    let words = |list: Option<&Vec<String>>| list.into_iter().flatten().cloned().collect::<BTreeSet<String>>();
    let mut cpu_models = words(processor.as_ref().map(|processor| &processor.models));
    cpu_models.extend(processor.as_ref().map(|processor| processor.model.clone()));
    let memory = machine::read().map(|machine| machine.memory.bytes().saturating_sub(machine.memory_used.bytes()));
    let networks = networks(gate, &subject.networks);
    let mut wanted = subject.plugins.clone();
    wanted.extend(networks.iter().filter_map(|network| network.plugin.clone()));
    let pools: BTreeSet<&PoolName> = subject.volumes.iter().map(|volume| &volume.pool).collect();
    wanted.extend(pools.into_iter().filter_map(|pool| serving(gate, pool)));
    Ok(HostFacts {
        host: host.id,
        name: host.name,
        architecture: rustix::system::uname().machine().to_string_lossy().into_owned(),
        accelerated: accelerator == Some(ChosenAccelerator::Kvm),
        machines: words(hypervisor.as_ref().map(|qemu| &qemu.machines)),
        hypervisor_version: hypervisor.as_ref().map(|qemu| qemu.version.clone()).unwrap_or_default(),
        hypervisor: if hypervisor.is_some() { QEMU } else { NONE }.to_owned(),
        cpu_vendor: processor.as_ref().map(|processor| processor.vendor.clone()).unwrap_or_default(),
        cpu_models,
        cpu_features: words(processor.as_ref().map(|processor| &processor.features)),
        uefi: qemu::prepare::has_uefi(),
        memory_available: memory.map(ByteSize::from_bytes),
        networks,
        plugins: plugins(gate, &wanted)?,
        domains: Vec::new(),
        denial: None,
    })
}

/// What cannot be found out is in the log, and keeps nothing else back.
fn known<T>(found: Result<T>) -> Option<T> {
    found.map_err(|failure| tracing::info!(%failure, "this host was asked what it is")).ok()
}

/// The plugin that serves a pool, where there is such a pool.
pub(super) fn serving(gate: &Gate, pool: &PoolName) -> Option<PluginId> {
    let pool = Pool::open(gate, pool).ok()?;
    gate.policy().pools.get(&pool.definition().kind).cloned()
}

fn networks(gate: &Gate, wanted: &BTreeSet<NetworkName>) -> Vec<NetworkFacts> {
    let policy: &Policy = gate.policy();
    let known = |name: &NetworkName| {
        let definition = Network::open(gate, name).ok()?.definition().clone();
        let network = facts::network(gate, definition);
        Some(NetworkFacts {
            name: network.name,
            plugin: policy.networks.get(&network.kind).cloned(),
            up: network.up,
            reaches_out: network.reaches_out,
            mtu: network.mtu,
            subnets: network.addresses.iter().filter_map(|address| subnet(address)).collect(),
        })
    };
    wanted.iter().filter_map(known).collect()
}

fn plugins(gate: &Gate, wanted: &BTreeSet<PluginId>) -> Result<Vec<PluginFacts>> {
    let all = crate::plugin::package::all(gate.layout())?;
    let wanted = all.into_iter().filter(|installed| wanted.contains(&installed.manifest.id));
    Ok(wanted.map(|installed| PluginFacts { id: installed.manifest.id, digest: installed.digest }).collect())
}

/// The subnet that an address is in (`10.77.0.1/24`); none where it is the link's own alone.
fn subnet(address: &str) -> Option<String> {
    let (address, prefix) = address.split_once('/')?;
    let prefix: u32 = prefix.parse().ok()?;
    match address.parse().ok()? {
        IpAddr::V4(address) if prefix <= 32 && !address.is_link_local() && !address.is_loopback() => {
            let kept = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            Some(format!("{}/{prefix}", std::net::Ipv4Addr::from(u32::from(address) & kept)))
        }
        IpAddr::V6(address) if prefix <= 128 && address.segments()[0] & 0xffc0 != 0xfe80 && !address.is_loopback() => {
            let kept = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            Some(format!("{}/{prefix}", std::net::Ipv6Addr::from(u128::from(address) & kept)))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_its_subnet_unless_it_is_the_links_own() {
        for (address, found) in [
            ("10.77.3.1/16", Some("10.77.0.0/16")),
            ("10.77.3.1/32", Some("10.77.3.1/32")),
            ("10.77.3.1/0", Some("0.0.0.0/0")),
            ("169.254.1.1/16", None),
            ("fd00:1::7/64", Some("fd00:1::/64")),
            ("fe80::1/64", None),
            ("10.0.0.1/33", None),
            ("10.0.0.1", None),
            ("x/24", None),
        ] {
            assert_eq!(subnet(address).as_deref(), found, "{address}");
        }
    }
}
