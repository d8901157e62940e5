//! Taps: one for each card of a running domain.

use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec};

use super::netlink::{self, Link, Links};
use super::owner::alias;
use super::{shape, sysctl};
use crate::error::{Failure, Kind, Result};
use crate::gate::perform::firewall::{self, Admission};
use crate::gate::{Done, Gate, Outcome};
use crate::types::{DomainName, InterfaceName, MacAddress};

/// [`Operation::TapCreate`](crate::gate::Operation::TapCreate).
pub(super) struct Tap<'a> {
    pub(super) domain: &'a DomainName,
    pub(super) tap: &'a InterfaceName,
    pub(super) bridge: &'a InterfaceName,
    pub(super) mtu: Option<u32>,
    pub(super) admission: Admission,
}

/// The host's end has another address than the guest's, and a high one: a bridge would take over the lowest of its
/// ports' where it has none of its own.
fn host_end(mac: MacAddress) -> [u8; 6] {
    let mut bytes = mac.bytes();
    bytes[0] = if bytes[0] == 0xfe { 0xfa } else { 0xfe };
    bytes
}

impl Tap<'_> {
    /// The descriptor is all that keeps the link: until it is handed on, an error here takes the link with it.
    pub(super) fn create(&self, gate: &Gate) -> Result<Done> {
        let (tap, bridge) = (self.tap, self.bridge);
        let descriptor = crate::sys::tap::create(tap).map_err(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => Failure::conflict(format!("the link {tap} exists"))
                .hint(format!("`ip link show {tap}` says what it is; the next start numbers its interfaces anew")),
            Some(libc::EPERM | libc::EACCES) => Failure::new(Kind::Denied, format!("cannot make the tap {tap}"))
                .because(error)
                .hint("taps need root (CAP_NET_ADMIN); a network of kind `user` does without"),
            Some(libc::ENOENT | libc::ENODEV) => {
                Failure::other(format!("cannot make the tap {tap}")).because(error).hint("load the module `tun`")
            }
            _ => Failure::other(format!("cannot make the tap {tap}")).because(error),
        })?;
        // Before the port forwards its first frame.
        firewall::port::admit(gate, tap, &self.admission)?;
        let ready = netlink::run(async |handle| {
            let links = Links::read(handle).await?;
            let found = links.named(bridge).filter(|link| link.is_bridge()).ok_or_else(|| {
                Failure::not_found(format!("there is no bridge {bridge}")).hint("start the card's network")
            })?;
            self.wire(handle, &links, found).await
        });
        match ready {
            Ok(index) => Ok(Done { outcome: Outcome::Tap { index }, descriptors: vec![descriptor] }),
            Err(failure) => {
                drop(descriptor);
                firewall::port::forget(gate, tap)?;
                Err(failure)
            }
        }
    }

    async fn wire(&self, handle: &Handle, links: &Links, bridge: &Link) -> Result<u32> {
        let tap = self.tap;
        let gone = || Failure::not_found(format!("the tap {tap} went away while it was made"));
        let index = links.named(tap).ok_or_else(gone)?.index;
        sysctl::quieten(tap);
        let named = LinkMessageBuilder::<LinkUnspec>::default()
            .index(index)
            .alias(alias(self.domain))
            .address(host_end(self.admission.mac).to_vec())
            .mtu(self.mtu.unwrap_or(bridge.mtu));
        netlink::change(handle, named, || format!("cannot set up the tap {tap}")).await?;
        if let Some(bandwidth) = self.admission.bandwidth {
            shape::limit(handle, index, bandwidth)
                .await
                .map_err(|error| netlink::failed(format!("cannot limit the bandwidth of the tap {tap}"), &error))?;
        }
        let wired = LinkMessageBuilder::<LinkUnspec>::default().index(index).controller(bridge.index).up();
        netlink::change(handle, wired, || format!("cannot put the tap {tap} on bridge {}", bridge.name)).await?;
        Ok(index)
    }
}

/// Removes the tap and what it admits. One that another owns is left alone.
pub(super) fn remove(gate: &Gate, domain: &DomainName, tap: &InterfaceName) -> Result<()> {
    let ours = netlink::run(async |handle| {
        let links = Links::read(handle).await?;
        match links.named(tap) {
            Some(link) if link.is_tap() && link.alias.as_deref() == Some(&alias(domain)) => {
                netlink::remove(handle, link).await?;
                Ok(true)
            }
            Some(_) => Ok(false),
            None => Ok(true),
        }
    })?;
    if ours { firewall::port::forget(gate, tap) } else { Ok(()) }
}
