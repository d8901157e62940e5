//! The way that a guest goes to a volume, and why: what the pool says, or what is installed here.

use crate::error::Result;
use crate::gate::Gate;
use crate::hypervisor::qemu::drivers;
use crate::storage::{Client, Pool, Said, Transport};
use crate::types::VolumeName;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    pub transport: Transport,
    /// Completes "native, because …".
    pub why: String,
    /// Whether the pool left it open.
    pub open: bool,
}

impl Picked {
    /// `native, because QEMU has its libnfs driver`.
    pub fn words(&self) -> String {
        format!("{}, because {}", self.transport.as_str(), self.why)
    }
}

/// Who goes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goer {
    /// A hypervisor that has the host's network, or is still to be started and gets what it needs.
    Networked,
    /// One that runs, and was started without the host's network.
    Cut,
}

impl Goer {
    pub const fn running(has_host_network: bool) -> Self {
        if has_host_network { Goer::Networked } else { Goer::Cut }
    }
}

/// Picks, and has the pool see the volume so from here on; none where the pool has one way alone.
pub fn pick(gate: &Gate, pool: &mut Pool, volume: &VolumeName, goer: Goer) -> Result<Option<Picked>> {
    let picked = match pool.transport()? {
        Said::Nothing => return Ok(None),
        Said::Fixed(transport) => Picked { transport, why: "the pool says so".to_owned(), open: false },
        Said::Auto => {
            let picked = among(pool.natively(volume)?, goer, |client| drivers::lacks(gate, client))?;
            pool.choose(volume, picked.transport);
            picked
        }
    };
    Ok(Some(picked))
}

/// Of what the plugin says and what is installed.
fn among(
    natively: Result<Client, String>,
    goer: Goer,
    lacks: impl FnOnce(drivers::Client) -> Result<Option<String>>,
) -> Result<Picked> {
    let native = |why: &str| Picked { transport: Transport::Native, why: why.to_owned(), open: true };
    let served = |why: String| Picked { transport: Transport::Served, why, open: true };
    let installed = |client: drivers::Client| {
        lacks(client).map(|lacks| match lacks {
            Some(why) => served(why),
            None => native(&format!("QEMU has its {} driver", client.library())),
        })
    };
    match (natively, goer) {
        (Err(why), _) => Ok(served(why)),
        (Ok(Client::File), _) => Ok(native("it is a file here")),
        (Ok(Client::Nbd | Client::Nfs | Client::Iscsi), Goer::Cut) => {
            Ok(served("its hypervisor was started without the host's network".to_owned()))
        }
        (Ok(Client::Nbd), Goer::Networked) => Ok(native("QEMU speaks NBD")),
        (Ok(Client::Nfs), Goer::Networked) => installed(drivers::Client::Nfs),
        (Ok(Client::Iscsi), Goer::Networked) => installed(drivers::Client::Iscsi),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_served_where_qemu_lacks_the_driver_or_the_plugin_goes_no_other_way() {
        let words = |natively, lacks: Option<&str>| {
            among(natively, Goer::Networked, |_| Ok(lacks.map(str::to_owned))).map(|picked| picked.words()).unwrap()
        };
        assert_eq!(words(Ok(Client::Nfs), None), "native, because QEMU has its libnfs driver");
        assert_eq!(words(Ok(Client::Iscsi), None), "native, because QEMU has its libiscsi driver");
        assert_eq!(words(Ok(Client::Nfs), Some("none is here")), "served, because none is here");
        assert_eq!(words(Err("no mutual CHAP".to_owned()), None), "served, because no mutual CHAP");
        assert_eq!(words(Ok(Client::File), Some("never asked")), "native, because it is a file here");
        for (client, transport) in [(Client::File, Transport::Native), (Client::Iscsi, Transport::Served)] {
            assert_eq!(among(Ok(client), Goer::Cut, |_| Ok(None)).unwrap().transport, transport, "{client:?}");
        }
    }
}
