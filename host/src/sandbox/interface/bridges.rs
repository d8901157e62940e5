//! `fief:network/bridges`: bridges, their addresses and rules, and DHCP on them, done by the host.

use super::images::nothing;
use super::mismatch;
use crate::gate::operation::LinkFacts;
use crate::sandbox::protocol::{Ask, RawDhcp, RawReach, Reply};
use crate::sandbox::room::Room;
use crate::sandbox::version::v0_1::fief::network::bridges::{BridgeSpec, Dhcp, Host, Link, Reach};
use crate::sandbox::version::v0_1::fief::types::types::Error;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

fn link(facts: LinkFacts) -> Link {
    let LinkFacts { name, kind, mac, mtu, up, addresses, bridge, owned, bridge_id: _, stp: _ } = facts;
    Link { name, kind, mac, mtu, up, addresses, bridge, owned }
}

fn one(reply: Reply) -> wasmtime::Result<Link> {
    match reply {
        Reply::Link(facts) => Ok(link(facts)),
        Reply::Nothing
        | Reply::Image(_)
        | Reply::Snapshot(_)
        | Reply::Snapshots(_)
        | Reply::Space { .. }
        | Reply::Links(_)
        | Reply::Connection
        | Reply::Secret
        | Reply::Step(_) => mismatch(&reply),
    }
}

impl Host for Room {
    fn links(&mut self) -> Answer<Vec<Link>> {
        self.ask(Ask::Links, |reply| match reply {
            Reply::Links(all) => Ok(all.into_iter().map(link).collect()),
            Reply::Nothing
            | Reply::Image(_)
            | Reply::Snapshot(_)
            | Reply::Snapshots(_)
            | Reply::Space { .. }
            | Reply::Link(_)
            | Reply::Connection
            | Reply::Secret
            | Reply::Step(_) => mismatch(&reply),
        })
    }
    fn ensure(&mut self, spec: BridgeSpec) -> Answer<Link> {
        let BridgeSpec { name, stp, mtu, mac } = spec;
        self.ask(Ask::Ensure { name, stp, mtu, mac }, one)
    }
    fn join(&mut self, bridge: String) -> Answer<Link> {
        self.ask(Ask::Join { bridge }, one)
    }
    fn enslave(&mut self, bridge: String, link: String, vlan: Option<u16>) -> Answer<()> {
        self.ask(Ask::Enslave { bridge, link, vlan }, nothing)
    }
    fn address(&mut self, bridge: String, cidr: String) -> Answer<()> {
        self.ask(Ask::Address { bridge, cidr }, nothing)
    }
    fn limit(&mut self, bridge: String, reach: Reach) -> Answer<()> {
        let reach = match reach {
            Reach::Isolated => RawReach::Isolated,
            Reach::HostOnly => RawReach::HostOnly,
            Reach::Routed => RawReach::Routed,
            Reach::Nat(link) => RawReach::Nat(link),
        };
        self.ask(Ask::Limit { bridge, reach }, nothing)
    }
    fn serve_dhcp(&mut self, bridge: String, dhcp: Dhcp) -> Answer<()> {
        let Dhcp { range_start, range_end, netmask, router, dns, domain, lease_seconds, reservations } = dhcp;
        let dhcp = RawDhcp { range_start, range_end, netmask, router, dns, domain, lease_seconds, reservations };
        self.ask(Ask::ServeDhcp { bridge, dhcp }, nothing)
    }
}
