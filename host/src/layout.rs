//! Where everything lies below the root (`--root`, `FIEF_ROOT`): files that a person can read.
//!
//! ```text
//!   ROOT/policy.toml   .policy.lock
//!        audit.jsonl
//!        domains/NAME/    domain.toml record.json ledger.jsonl lock console.log supervisor.log nvram
//!                         running.toml served/ served-N.jsonl control.sock qmp.sock serial.sock vnc.sock   (while it runs)
//!                .unfinished/     what a command has begun and not ended (domain/unfinished.rs)
//!        pools/NAME/      pool.toml ledger.jsonl lock identity leases/ holds/
//!                         recording.jsonl recording-full.jsonl recording.lock   (while it is recorded: plugin/recording)
//!                         away             written when its storage did not answer; counts for seconds (storage/away.rs)
//!        networks/NAME/   network.toml record.json ledger.jsonl lock dhcp/ reserved.json
//!        plugins/ID/      plugin.json      what is installed under that id
//!        store/HEX.wasm                    the bytes, by digest
//!        cache/HEX-ENGINE.cwasm            compiled; only the owner of ROOT can write here
//!        handovers/UUID.json               who owns a domain that moved or is moving (migration/journal.rs)
//!        peers/NAME/      peer.json seen.json moves      a host that this one trusts (gate/peers.rs, peer/seen.rs)
//!              .invitation-ID              one that is open
//!        host/            id next-id probe.json drivers.json hypervisor.json processors.json uids.json serve.lock
//!                         peer-identity    who this host is to others, with its key (peer/identity.rs)
//!        secrets/NAME     the bytes, mode 0600 in a directory of mode 0700 (gate/secret.rs)
//! ```

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::types::{Digest, DomainName, GrantName, NetworkName, PeerName, PluginId, PoolName};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// `root` is absolute.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Layout { root: root.into() }
    }
    /// `/var/lib/fief` for root, else `$XDG_DATA_HOME/fief` or `~/.local/share/fief`; none where HOME is not set.
    pub fn default_root() -> Option<PathBuf> {
        if rustix::process::geteuid().is_root() {
            return Some(PathBuf::from("/var/lib/fief"));
        }
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        absolute("XDG_DATA_HOME")
            .map(|data| data.join("fief"))
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share/fief")))
    }
    pub fn root(&self) -> &Path {
        &self.root
    }
    pub fn policy(&self) -> PathBuf {
        self.root.join("policy.toml")
    }
    pub fn policy_lock(&self) -> PathBuf {
        self.root.join(".policy.lock")
    }
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit.jsonl")
    }
    pub fn domains(&self) -> PathBuf {
        self.root.join("domains")
    }
    pub fn domain(&self, name: &DomainName) -> PathBuf {
        self.domains().join(name)
    }
    pub fn pools(&self) -> PathBuf {
        self.root.join("pools")
    }
    pub fn pool(&self, name: &PoolName) -> PathBuf {
        self.pools().join(name)
    }
    pub fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }
    pub fn network(&self, name: &NetworkName) -> PathBuf {
        self.networks().join(name)
    }
    pub fn plugins(&self) -> PathBuf {
        self.root.join("plugins")
    }
    pub fn plugin(&self, id: &PluginId) -> PathBuf {
        self.plugins().join(id)
    }
    pub fn stored(&self) -> PathBuf {
        self.root.join("store")
    }
    pub fn store(&self, digest: Digest) -> PathBuf {
        self.stored().join(format!("{}.wasm", digest.hex()))
    }
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }
    pub fn secret(&self, name: &GrantName) -> PathBuf {
        self.secrets().join(name)
    }
    pub fn peers(&self) -> PathBuf {
        self.root.join("peers")
    }
    pub fn peer(&self, name: &PeerName) -> PathBuf {
        self.peers().join(name)
    }
    /// What is known of who owns each domain that ever moved (migration/journal.rs).
    pub fn handovers(&self) -> PathBuf {
        self.root.join("handovers")
    }
    pub fn handover(&self, domain: Uuid) -> PathBuf {
        self.handovers().join(format!("{domain}.json"))
    }
    /// Held by whoever works on who owns that domain.
    pub fn handover_lock(&self, domain: Uuid) -> PathBuf {
        self.handovers().join(format!(".{domain}.lock"))
    }
    pub fn host(&self) -> PathBuf {
        self.root.join("host")
    }
}
