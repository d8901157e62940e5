//! Settings of a pool whose types are this plugin's own.

use fief_sdk::manifest::SettingKind;
use fief_sdk::settings::Value;
use fief_sdk::storage::Transport;

/// The grants of `policy.toml` by which this plugin reaches a server.
pub(crate) const SERVER: &str = "server";
pub(crate) const MOUNT: &str = "mount";

fief_sdk::settings! {
    /// Of a pool.
    pub struct Settings {
        /// Name or address of the NFS server.
        server: String,
        /// Its TCP port.
        port: u16 = "2049",
        /// The exported folder, as the server calls it: /srv/vm.
        share: String,
        /// A folder inside of the share that holds the volumes; the share itself where nothing is said.
        directory: Option<String>,
        /// Which version of NFS: 4.1, 3, or auto: 3 where the server has no more, and mount-port is set.
        version: Version = "auto",
        /// The server's port of the mount protocol, which version 3 needs (mountd of `rpcinfo -p`).
        mount_port: Option<u16>,
        /// The user that the server is told (AUTH_SYS).
        uid: u32 = "0",
        /// The group that the server is told.
        gid: u32 = "0",
        /// How guests reach volumes: native (QEMU's own NFS client), served (this plugin), or auto.
        transport: Transport = "auto",
        /// TCP connections for each served volume, 1 to 4.
        connections: Connections = "2",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Auto,
    Four,
    Three,
}

impl Value for Version {
    const KIND: SettingKind = SettingKind::String;
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Version::Auto),
            "4.1" => Ok(Version::Four),
            "3" => Ok(Version::Three),
            _ => Err(format!("{text:?} is none of auto, 4.1 and 3")),
        }
    }
}

/// How many at most: more do not help one guest, and servers count them.
const MOST: u8 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections(pub usize);

impl Value for Connections {
    const KIND: SettingKind = SettingKind::Integer;
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse::<u8>() {
            Ok(count @ 1..=MOST) => Ok(Connections(count.into())),
            _ => Err(format!("{text:?} is not a number of connections from 1 to {MOST}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use fief_sdk::Settings as _;
    use fief_sdk::settings::Setting;

    use super::*;

    #[test]
    fn a_server_and_a_share_are_enough() {
        let written = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| Setting { key: (*key).into(), value: (*value).into() }).collect::<Vec<_>>()
        };
        let read = Settings::read(&written(&[("server", "nas"), ("share", "/srv/vm")])).unwrap();
        assert_eq!((read.port, read.version, read.transport), (2049, Version::Auto, Transport::Auto));
        assert_eq!((read.uid, read.connections.0, read.mount_port), (0, 2, None));
        for (key, bad) in [("version", "4"), ("transport", "tcp"), ("connections", "9"), ("port", "99999")] {
            let refused = Settings::read(&written(&[("server", "nas"), ("share", "/"), (key, bad)])).unwrap_err();
            assert!(refused.message.contains(key), "{}", refused.message);
        }
    }
}
