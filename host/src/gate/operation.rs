//! Every privileged act, as a value: shown by `--dry-run`, judged by policy, written to the ledger, undone, audited.
//!
//! An operation says what is wanted and holds no authority: no path of the host's, no file descriptor. A directory
//! is the *name* of a grant; the gate looks up what it stands for. What the act brought forth is an [`Outcome`].

mod disk;
mod effect;
mod outcome;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use uuid::Uuid;

pub use crate::types::ProcessId;
pub use disk::{DiskSource, DiskTarget, FilePart, ForeignImage, ImageFormat, ImageRef, Preallocation};
pub use effect::Effect;
pub use outcome::{ImageFacts, ImageSnapshot, LinkFacts, Outcome, SnapshotFacts};

use crate::config::policy::Policy;
use crate::config::policy::edit::Edit;
use crate::types::{
    Access, Bandwidth, ByteSize, Cidr, Digest, DomainName, Endpoint, GrantName, InterfaceName, MacAddress, NetworkName,
    PeerName, PluginId, PoolName, RelativePath, SnapshotName, Spoofing, VolumeRef,
};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The person at the command line, or the supervisor acting on a domain's definition.
    Operator,
    Plugin(PluginId),
}

/// A connection that was granted to a plugin, for one pool of its.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConnectionRef {
    pub plugin: PluginId,
    pub connection: GrantName,
    pub pool: PoolName,
    /// Those settings of the pool that the grant's pattern names, as the host checked them: never the plugin's words.
    pub settings: BTreeMap<String, String>,
}

impl ConnectionRef {
    /// `settings` are all that the pool has. Without such a grant none of them is taken, and policy then says no.
    pub fn new(
        policy: &Policy,
        plugin: &PluginId,
        connection: &GrantName,
        pool: &PoolName,
        settings: &[(String, String)],
    ) -> Self {
        let grant = policy.plugins.get(plugin).and_then(|grants| grants.connections.get(connection));
        let named = grant.map(|grant| grant.to.settings()).unwrap_or_default();
        let settings = settings.iter().filter(|(key, _)| named.contains(&key.as_str())).cloned().collect();
        ConnectionRef { plugin: plugin.clone(), connection: connection.clone(), pool: pool.clone(), settings }
    }
}

/// What a connection is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A call that only asks.
    Ask,
    /// The same, for somebody who looks: it has to be quick.
    Look,
    /// A call that changes something on the other side, or a volume that is served.
    Change,
}

/// What guests may reach through a bridge (network.wit, `reach`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    Isolated,
    HostOnly,
    Routed,
    Nat(InterfaceName),
}

/// Checked form of network.wit's `dhcp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dhcp {
    pub range_start: Ipv4Addr,
    pub range_end: Ipv4Addr,
    pub netmask: Ipv4Addr,
    pub router: Option<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
    /// DNS suffix of the guests.
    pub domain: Option<String>,
    pub lease_seconds: u32,
    pub reservations: Vec<(MacAddress, Ipv4Addr)>,
}

/// A program to run as a domain's hypervisor. Descriptors travel beside it, never in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HypervisorCommand {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Needs the host's network (user-mode cards); else it gets an empty network namespace where fief is root.
    pub host_network: bool,
    /// Needs /dev/kvm.
    pub kvm: bool,
    /// Needs /dev/userfaultfd: its guest goes on while memory still comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub userfaults: bool,
    /// Address-space and file limits are derived from it.
    pub memory: ByteSize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Operation {
    // ---- files in granted directories (perform/image.rs, perform/directory.rs)
    /// A directory descriptor for a sandbox.
    DirectoryOpen {
        plugin: PluginId,
        directory: GrantName,
        access: Access,
    },
    DirectorySpace {
        plugin: PluginId,
        directory: GrantName,
    },
    ImageInspect {
        image: ImageRef,
    },
    ImageCreate {
        image: ImageRef,
        format: ImageFormat,
        size: ByteSize,
        preallocation: Preallocation,
        backing: Option<RelativePath>,
    },
    ImageResize {
        image: ImageRef,
        size: ByteSize,
    },
    ImageDelete {
        image: ImageRef,
    },
    /// Another name in the same folder, over nothing that has it.
    ImageRename {
        image: ImageRef,
        to: RelativePath,
    },
    ImageCopy {
        image: ImageRef,
        snapshot: Option<SnapshotName>,
        target: RelativePath,
        format: ImageFormat,
    },
    SnapshotCreate {
        image: ImageRef,
        snapshot: SnapshotName,
    },
    SnapshotDelete {
        image: ImageRef,
        snapshot: SnapshotName,
    },
    SnapshotRevert {
        image: ImageRef,
        snapshot: SnapshotName,
    },
    SnapshotList {
        image: ImageRef,
    },
    /// Has a snapshot say when it was taken: of one that came from another host, when it was there. There is no way back, and
    /// nothing is lost.
    SnapshotDate {
        image: ImageRef,
        snapshot: SnapshotName,
        created: u64,
        nanos: u32,
    },
    /// Whether the identity in an image can be reset; it may be open in a hypervisor.
    IdentityInspect {
        image: ImageRef,
    },
    /// Machine-id, host name and ssh host keys in an image that was copied: the system in it becomes `name`. There is no
    /// way back: the copy goes where that is not wanted.
    IdentityReset {
        image: ImageRef,
        name: DomainName,
    },
    /// Looks at a disk of another host.
    ForeignInspect {
        source: ForeignImage,
    },
    /// Finds out what a file is that the operator named and said no more of.
    ForeignDetect {
        path: PathBuf,
    },
    /// Copies all that a guest sees of a disk, holes kept. Into an image: undone with that image, which was made for it.
    DiskCopy {
        from: DiskSource,
        to: DiskTarget,
    },
    /// Serves an image, with every image that it stands on, as the disk that a guest would see: QEMU's storage daemon speaks NBD
    /// on the listening socket that comes as a descriptor, with an export called `disk`. It dies with the thread that starts it.
    /// With `snapshot`, as it was then, for reading and whoever writes to it meanwhile: the descriptor is a folder, where
    /// `qemu-nbd` makes the socket `image.sock` itself.
    ImageServe {
        image: ImageRef,
        format: ImageFormat,
        access: Access,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot: Option<SnapshotName>,
    },
    /// Descriptors of an image and of every image that it stands on, for a hypervisor.
    ImageOpen {
        image: ImageRef,
        format: ImageFormat,
        access: Access,
    },

    /// Breaks another host's hold of a volume, through the plugin of its pool, because the operator said that that host
    /// is off. `generation` is what the volume is held at from then on.
    FenceBreak {
        volume: VolumeRef,
        holder: String,
        generation: u64,
    },

    // ---- links (perform/link.rs), packet filter (perform/firewall.rs), DHCP and DNS (perform/dhcp.rs)
    LinkList {
        network: NetworkName,
    },
    BridgeCreate {
        network: NetworkName,
        bridge: InterfaceName,
        stp: bool,
        mtu: Option<u32>,
        mac: Option<MacAddress>,
    },
    BridgeAddress {
        network: NetworkName,
        bridge: InterfaceName,
        address: Cidr,
    },
    BridgeReach {
        network: NetworkName,
        bridge: InterfaceName,
        reach: Reach,
    },
    /// Uses a bridge that is there and that fief did not make. Nothing about it is changed.
    BridgeJoin {
        network: NetworkName,
        bridge: InterfaceName,
    },
    /// Puts a physical link into a bridge; its addresses, routes and DHCP client move to the bridge. With `vlan` a link
    /// for that VLAN (IEEE 802.1Q) is made on it and goes there instead, and the physical link keeps what it has.
    LinkEnslave {
        network: NetworkName,
        bridge: InterfaceName,
        link: InterfaceName,
        vlan: Option<u16>,
    },
    DhcpServe {
        network: NetworkName,
        bridge: InterfaceName,
        dhcp: Dhcp,
    },
    /// A tap on a bridge for one card; its descriptor goes to the hypervisor.
    TapCreate {
        domain: DomainName,
        tap: InterfaceName,
        bridge: InterfaceName,
        mac: MacAddress,
        mtu: Option<u32>,
        admit_address: Option<Ipv4Addr>,
        /// Ledgers of guests that were started by an earlier fief say nothing of it, nor of what follows.
        #[serde(default)]
        spoofing: Spoofing,
        #[serde(default)]
        bandwidth: Option<Bandwidth>,
    },

    // ---- streams beyond this host (perform/connection)
    /// A stream for a plugin.
    ConnectionOpen {
        to: ConnectionRef,
        purpose: Purpose,
    },
    /// The address that the same stream would go to, checked, for a client of the hypervisor's own.
    ConnectionResolve {
        to: ConnectionRef,
    },

    // ---- secrets (perform/secret.rs); their bytes travel beside these words, never in them
    /// The bytes of a secret, for a plugin or for a hypervisor.
    SecretReveal {
        plugin: PluginId,
        pool: PoolName,
        secret: GrantName,
    },
    /// Keeps a secret under a name, in place of what was there.
    SecretSet {
        secret: GrantName,
    },
    SecretDelete {
        secret: GrantName,
    },

    // ---- other hosts (perform/peer.rs)
    /// Lets one host join, once, until that second since 1970-01-01T00:00:00Z. What its token is checked by travels beside.
    PeerInvite {
        invitation: String,
        name: Option<PeerName>,
        until: u64,
    },
    /// Trusts the host that has this certificate. The invitation that it came by is used up.
    PeerPin {
        peer: PeerName,
        host: Uuid,
        host_name: String,
        fingerprint: Digest,
        address: Option<Endpoint>,
        invitation: Option<String>,
    },
    PeerForget {
        peer: PeerName,
    },

    // ---- what plugins may do (gate/policy.rs)
    /// Changes what policy.toml says of a plugin, in its own text.
    PolicyEdit {
        plugin: PluginId,
        edits: Vec<Edit>,
    },

    // ---- served volumes (perform/serving.rs)
    /// The folder of those sockets, for the domain's hypervisor alone; it comes back as a descriptor.
    ServedFolder {
        domain: DomainName,
    },
    /// The socket at which a disk is served to a domain's hypervisor, and to nobody else, as the attachment `export`.
    ServedListen {
        domain: DomainName,
        id: u32,
        /// The disk's place.
        disk: usize,
        /// It was moved there while its domain ran, and has another name.
        #[serde(default)]
        moved: bool,
        volume: VolumeRef,
        writes: bool,
        #[serde(default)]
        export: u64,
    },
    /// The socket at which the hypervisor of a domain that moves away brings the guest's memory, by several connections.
    MemoryListen {
        domain: DomainName,
        id: u32,
    },
    /// A folder in which the hypervisor of a domain that comes listens for them; it comes back as a descriptor.
    MemoryFolder {
        domain: DomainName,
        id: u32,
    },
    /// A sandbox that is to serve a volume, and nothing told to it yet. Its control socket comes back as a descriptor.
    ServingStart {
        plugin: PluginId,
        volume: VolumeRef,
        generation: u64,
    },

    // ---- the hypervisor (perform/process.rs)
    HypervisorStart {
        domain: DomainName,
        id: u32,
        command: HypervisorCommand,
    },
    /// Runs a hypervisor that ends by itself, to see what the accelerator can do; ended by force after `limit-ms`.
    HypervisorProbe {
        command: HypervisorCommand,
        limit_ms: u32,
    },
}

/// The name of the link that is made for a VLAN: `eth0.20`, or for a long name one that tells it apart.
pub fn vlan_link(link: &InterfaceName, vlan: u16) -> InterfaceName {
    let usual = format!("{link}.{vlan}");
    usual.parse().unwrap_or_else(|_| {
        let hash = sha2::Sha256::digest(link.as_str());
        let short = format!("vlan{vlan}-{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2]);
        // At most 4 + 4 + 1 + 6 letters and digits, which every name of a link may have.
        short.parse().unwrap_or_else(|_| link.clone())
    })
}
