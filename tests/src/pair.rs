//! Two hosts that are peers, each of which may send all its domains to the other, with all that stands around them.
//!
//! ```text
//!   Pair::new ─▸ lan             a bridge network of guests on both, and a third machine on it
//!             ─▸ nfs, iscsi      real servers that both reach, and pools of the same names on both
//!             ─▸ wires           what can go wrong between them: trouble.rs
//! ```
//! Each host is a network namespace with a root of its own, where `fief serve` runs; wires.rs has their links.

use std::ops::Index;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ganesha::Versions;
use crate::host::Host;
use crate::pools::{iscsi_plugin, iscsi_pool, nfs_plugin, nfs_pool};
use crate::tgt::Target;
use crate::{Census, Ganesha, Namespace, Relay, Serving, Tgt};

pub(crate) use wires::port;
pub use wires::{At, Net, Wires, address};

mod wires;

/// The target of [`Pair::iscsi`].
pub const TARGET: &str = "iqn.2026-01.test:pair";
/// The plugins that move domains.
const STRATEGIES: [&str; 2] = ["migration-live", "migration-static"];
/// Where `fief serve` listens.
pub const PORT: u16 = 8002;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::A, Side::B];

    #[must_use]
    pub const fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }

    /// As the other one calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Side::A => "hosta",
            Side::B => "hostb",
        }
    }
}

/// The plugins of the tree, as source.
fn plugins() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).with_file_name("plugins")
}

/// What two hosts share.
struct Storage {
    // Dropped in this order: the namespace goes last.
    nfs: Option<Ganesha>,
    iscsi: Option<(Tgt, Target)>,
    namespace: Arc<Namespace>,
}

pub struct Pair {
    // Dropped in this order: whoever uses something goes before it.
    serving: [Option<Serving>; 2],
    hosts: [Host; 2],
    before: [Census; 2],
    storage: Storage,
    third: Namespace,
    wires: Wires,
}

impl Index<Side> for Pair {
    type Output = Host;

    fn index(&self, side: Side) -> &Host {
        &self.hosts[side as usize]
    }
}

impl Pair {
    /// Both listen, and know each other as `hosta` and `hostb`.
    ///
    /// # Panics
    /// As [`Host::new`] does.
    #[track_caller]
    pub fn new() -> Pair {
        Pair::with(["", ""])
    }

    /// The same, with more lines for `[relocation]` of each.
    #[track_caller]
    pub fn with(relocation: [&str; 2]) -> Pair {
        let wires = Wires::new();
        let make = |side: Side| {
            let host = Host::new();
            let of_tree = |plugin: &&&str| plugins().join(plugin).is_dir();
            STRATEGIES.iter().filter(of_tree).for_each(|plugin| host.installs(plugin));
            wires.plug(host.namespace(), At::Host(side), &[Net::Lan, Net::Peers, Net::Stream, Net::Storage]);
            let accept = format!("[[relocation.accept]]\npeer = \"{}\"\ndomains = [\"*\"]", side.other().name());
            host.relocates(&format!("{}\n{accept}", relocation[side as usize]));
            let serving = Serving::start(&host);
            (host, serving)
        };
        let ((a, at_a), (b, at_b)) = std::thread::scope(|scope| {
            let other = scope.spawn(|| make(Side::B));
            (make(Side::A), other.join().expect("a second host"))
        });
        a.pairs_with(&b, Side::B.name(), Side::A.name(), &address(Net::Peers, At::Host(Side::A)));
        let (third, namespace) = (Namespace::new(), Arc::new(Namespace::new()));
        wires.plug(&third, At::Third, &[Net::Lan]);
        wires.plug(&namespace, At::Storage, &[Net::Storage]);
        let before = [a.census().without(at_a.pid()), b.census().without(at_b.pid())];
        let storage = Storage { nfs: None, iscsi: None, namespace };
        Pair { serving: [Some(at_a), Some(at_b)], hosts: [a, b], before, storage, third, wires }
    }

    pub fn a(&self) -> &Host {
        &self[Side::A]
    }

    pub fn b(&self) -> &Host {
        &self[Side::B]
    }

    pub fn wires(&self) -> &Wires {
        &self.wires
    }

    /// A machine on the guests' network, at `address(Net::Lan, At::Third)`.
    pub fn third(&self) -> &Namespace {
        &self.third
    }

    pub fn serving(&self, side: Side) -> &Serving {
        self.serving[side as usize].as_ref().expect("a host that serves")
    }

    /// `fief serve` ends there, as whoever holds a host's plug has it: by SIGKILL.
    pub fn stops_serving(&mut self, side: Side) {
        self.serving[side as usize] = None;
    }

    /// It ends and starts, with more in its environment; those that it starts get that too.
    #[track_caller]
    pub fn serves_with(&mut self, side: Side, environment: &[(String, String)]) {
        self.stops_serving(side);
        self.serving[side as usize] = Some(Serving::start_with(&self[side], environment));
    }

    #[track_caller]
    pub fn serves(&mut self, side: Side) {
        self.serves_with(side, &[]);
    }

    /// Puts somebody else's address in the place of the one by which `side` knows the other: a relay's.
    #[track_caller]
    pub fn reaches_by(&self, side: Side, address: &str) {
        let file = self[side].root().join(format!("peers/{}/peer.json", side.other().name()));
        let mut peer: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&file).expect("a peer")).expect("JSON of a peer");
        peer["address"] = address.into();
        std::fs::write(&file, peer.to_string()).expect("a peer");
    }

    /// The other's own again.
    #[track_caller]
    pub fn directly(&self, side: Side) {
        self.reaches_by(side, &format!("{}:{PORT}", address(Net::Peers, At::Host(side.other()))));
    }

    /// From now on `side` reaches the other through a relay, which others do not.
    #[track_caller]
    pub fn by_relay(&self, side: Side) -> Relay {
        let server = format!("{}:{PORT}", address(Net::Peers, At::Host(side.other()))).parse().expect("an address");
        let relay = Relay::before(server, self.wires.switch(), wires::relay().parse().expect("an address"));
        self.reaches_by(side, &relay.address());
        relay
    }

    /// A bridge network `lan` on both, with the card `eth0`; up.
    #[track_caller]
    pub fn lan(&mut self) {
        for host in &self.hosts {
            let words = ["network", "create", "lan", "--kind", "bridge", "--set", "uplink=eth0"];
            host.fief(&[&words[..], &["--set", "bridge=fief-lan"]].concat());
            host.fief(&["network", "start", "lan"]);
        }
        self.is_made();
    }

    /// An NFS server, and the pools `nfs-native` and `nfs-served` of it on both.
    #[track_caller]
    pub fn nfs(&mut self) {
        let at = address(Net::Storage, At::Storage);
        let server = Ganesha::at(self.storage.namespace.clone(), &at, Versions::ThreeAndFour, None);
        for host in &self.hosts {
            nfs_plugin(host);
            for transport in ["native", "served"] {
                nfs_pool(host, &format!("nfs-{transport}"), &server, &[&format!("transport={transport}")]);
            }
        }
        self.storage.nfs = Some(server);
        self.is_made();
    }

    /// A pool `mixed`: a folder of A's own there, and on B of the server that [`Pair::nfs`] made, whose plugin serves it.
    ///
    /// # Panics
    /// Where there is no such server yet.
    #[track_caller]
    pub fn mixed(&mut self) {
        self.a().fief(&["pool", "create", "mixed", "--kind", "file", "--set", "directory=images"]);
        let server = self.storage.nfs.as_ref().expect("an NFS server");
        nfs_pool(self.b(), "mixed", server, &["transport=served"]);
        self.is_made();
    }

    /// An iSCSI target with units `lun1` and so on of these sizes, and the pools `iscsi-native` and `iscsi-served` of it
    /// on both. Gives the files that the units are.
    #[track_caller]
    pub fn iscsi(&mut self, sizes: &[u64]) -> Vec<PathBuf> {
        let mut tgt = Tgt::start(&self.storage.namespace, &address(Net::Storage, At::Storage));
        let target = tgt.target(TARGET);
        let units = (1..).zip(sizes).map(|(lun, &bytes)| tgt.disk(target, lun, bytes)).collect();
        for host in &self.hosts {
            iscsi_plugin(host);
            for transport in ["native", "served"] {
                let setting = format!("transport={transport}");
                iscsi_pool(host, &format!("iscsi-{transport}"), &tgt, TARGET, &[&setting]);
            }
        }
        self.storage.iscsi = Some((tgt, target));
        self.is_made();
        units
    }

    /// The folder that the server of [`Pair::nfs`] exports.
    pub fn export(&self) -> PathBuf {
        self.storage.nfs.as_ref().expect("a pair with NFS").export()
    }

    /// Of [`Pair::nfs`].
    pub fn ganesha(&mut self) -> &mut Ganesha {
        self.storage.nfs.as_mut().expect("a pair with NFS")
    }

    /// Of [`Pair::iscsi`].
    pub fn tgt(&mut self) -> (&mut Tgt, Target) {
        let (tgt, target) = self.storage.iscsi.as_mut().expect("a pair with iSCSI");
        (tgt, *target)
    }

    /// What is on a host now, but for `fief serve` itself, which may be another by the next time.
    pub fn census(&self, side: Side) -> Census {
        let census = self[side].census();
        match &self.serving[side as usize] {
            Some(serving) => census.without(serving.pid()),
            None => census,
        }
    }

    /// What is there now is how the two were made, to [`Pair::is_as_made`].
    pub fn is_made(&mut self) {
        self.before = Side::BOTH.map(|side| self.census(side));
    }

    /// Asserts that nothing is left on either host of what was done there since.
    #[track_caller]
    pub fn is_as_made(&self) {
        for side in Side::BOTH {
            let serving = self.serving[side as usize].as_ref().map(Serving::pid);
            self[side].settles_to_but(&self.before[side as usize], serving);
        }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Pair::new()
    }
}

#[cfg(test)]
mod tests;
