//! Pools on real servers: the plugin installed and granted what it needs, and a pool made.
//!
//! ```text
//!   nfs_plugin ─▸ nfs_pool …        iscsi_plugin ─▸ iscsi_portal ─▸ iscsi_pool …
//! ```

use std::fs;

use crate::{Ganesha, Host, Namespace, Tgt};

/// Where an iSCSI target of [`iscsi_portal`] listens: an address that other hosts can be wired to.
pub const PORTAL: &str = "10.9.0.1";

/// The plugin of NFS, its kind of pools and its grants.
#[track_caller]
pub fn nfs_plugin(host: &Host) {
    let connections = "{ name = \"server\", to = \"{server}:{port}\", allow = [\"this-host\"] }, \
                       { name = \"mount\", to = \"{server}:{mount-port}\", allow = [\"this-host\"] }";
    plugin(host, "nfs", &format!("connections = [{connections}]\n"));
}

/// The plugin of iSCSI, its kind of pools and its grants.
#[track_caller]
pub fn iscsi_plugin(host: &Host) {
    let connections = "{ name = \"portal\", to = \"{portal}:{port}\", allow = [\"this-host\"] }";
    plugin(host, "iscsi", &format!("connections = [{connections}]\n"));
}

fn plugin(host: &Host, kind: &str, grants: &str) {
    let path = host.root().join("policy.toml");
    let policy = fs::read_to_string(&path).expect("a policy");
    let policy = policy.replace("[pools]\n", &format!("[pools]\n{kind} = \"storage-{kind}\"\n"));
    // In front: what is said of other hosts is the end of a policy, and is exchanged by `relocates`.
    fs::write(&path, format!("[plugins.storage-{kind}]\n{grants}\n{policy}")).expect("a policy");
    host.installs(&format!("storage-{kind}"));
}

/// A pool on that server's share. What `settings` say counts before what the server says of itself.
#[track_caller]
pub fn nfs_pool(host: &Host, name: &str, server: &Ganesha, settings: &[&str]) {
    let place: Vec<String> = server.settings().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let place: Vec<&str> = place.iter().map(String::as_str).collect();
    pool(host, name, "nfs", &[&place, settings].concat());
}

/// A pool of that target's units. The same goes for its `settings`.
#[track_caller]
pub fn iscsi_pool(host: &Host, name: &str, tgt: &Tgt, target: &str, settings: &[&str]) {
    let address = tgt.portal().rsplit_once(':').expect("an address and a port").0;
    let place = [format!("portal={address}"), format!("target={target}")];
    let place: Vec<&str> = place.iter().map(String::as_str).collect();
    pool(host, name, "iscsi", &[&place, settings].concat());
}

#[track_caller]
fn pool(host: &Host, name: &str, kind: &str, settings: &[&str]) {
    let mut words = vec!["pool", "create", name, "--kind", kind];
    let key = |setting: &str| setting.split('=').next().map(str::to_owned);
    let last = |at: usize| settings[at + 1..].iter().all(|later| key(later) != key(settings[at]));
    let kept = settings.iter().enumerate().filter(|(at, _)| last(*at));
    words.extend(kept.flat_map(|(_, setting)| ["--set", *setting]));
    host.fief(&words);
}

/// A daemon without targets beside a host, at [`PORTAL`].
#[track_caller]
pub fn iscsi_portal(namespace: &Namespace) -> Tgt {
    namespace.ip("link add portal type veth peer name portal-peer");
    namespace.ip(&format!("address add {PORTAL}/32 dev portal"));
    namespace.ip("link set portal up");
    Tgt::start(namespace, PORTAL)
}
