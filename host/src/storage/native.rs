//! Volumes that a client of the hypervisor's own reaches. The plugin says where; the host takes of that only what policy
//! and the pool's settings say too, and hands over an address that was looked up and checked here, never a name.
//!
//! What is held against the settings goes by their keys: `share` (or `export`) and `target`; `uid` and `gid` are taken
//! from there, and with `mutual-user` or `mutual-password` no target is reached.

use std::net::SocketAddr;

use super::answer::From;
use super::pool::Pool;
use super::secret::is_secret;
use super::{IscsiDisk, Login, NbdDisk, NfsDisk};
use crate::error::{Failure, Result};
use crate::gate::operation::{ConnectionRef, ImageFormat};
use crate::gate::{Actor, Ledger, Operation, Outcome};
use crate::plugin;
use crate::types::{Endpoint, GrantName, Host, RelativePath};

/// IANA's ports of NFS (RFC 8881, section 2.9.1) and of iSCSI (RFC 7143, section 4.2.7.3).
const NFS_PORT: u16 = 2049;
const ISCSI_PORT: u16 = 3260;
/// With either a target has to prove who it is.
const MUTUAL: [&str; 2] = ["mutual-user", "mutual-password"];
/// Longest iSCSI name, in bytes (RFC 7143, section 4.2.7.1).
const ISCSI_NAME_MAX: usize = 223;
/// Largest number of a unit that a single level of addressing has (SAM-5, section 4.7.7.1).
const LUN_MAX: u32 = 16_383;
/// Longest name of an export, in bytes (the NBD protocol, "Values").
const EXPORT_MAX: usize = 4096;
/// Longest user name of CHAP that a target takes, in bytes (RFC 7143, section 13).
const USER_MAX: usize = 255;

impl Pool {
    pub(super) fn nfs(
        &mut self,
        server: &str,
        port: Option<u16>,
        share: &str,
        path: &str,
        format: ImageFormat,
    ) -> Result<NfsDisk> {
        let from = From(&self.plugin);
        let host: Host = server.parse().map_err(|why| from.fault(format!("{server:?} is no server: {why}")))?;
        let path: RelativePath = path.parse().map_err(|why| from.fault(format!("{path:?} is no path: {why}")))?;
        if !is_share(share) {
            return Err(from.fault(format!("{share:?} is no share: it is absolute, with plain components")));
        }
        let said = match self.setting("share")? {
            None => self.setting("export")?,
            said => said,
        };
        if said.as_deref() != Some(share) {
            return Err(elsewhere("share", share, said.as_deref()));
        }
        let port = port.unwrap_or(NFS_PORT);
        if port != NFS_PORT {
            return Err(Failure::usage(format!("the hypervisor's own NFS client cannot be given the port {port}"))
                .hint("give the pool transport = \"served\""));
        }
        let address = self.granted_address(&Endpoint { host, port })?;
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Ok(NfsDisk {
            server: address.ip().to_string(),
            share: share.to_owned(),
            path: path.as_str().to_owned(),
            user: number(self.setting("uid")?),
            group: number(self.setting("gid")?),
            format,
        })
    }

    /// `login`: a user, and the name of a secret; both or neither.
    pub(super) fn iscsi(
        &mut self,
        portal: &str,
        target: &str,
        lun: u32,
        login: (Option<String>, Option<String>),
    ) -> Result<IscsiDisk> {
        let from = From(&self.plugin);
        let endpoint = endpoint(portal, ISCSI_PORT).map_err(|why| from.fault(format!("{portal:?}: {why}")))?;
        if !is_iscsi_name(target) {
            return Err(from.fault(format!("{target:?} is no name of a target")));
        }
        if lun > LUN_MAX {
            return Err(from.fault(format!("{lun} is no number of a unit, at most {LUN_MAX} is")));
        }
        // Without one in the settings the pool is all that the portal has.
        let said = self.setting("target")?;
        if said.as_deref().is_some_and(|said| said != target) {
            return Err(elsewhere("target", target, said.as_deref()));
        }
        // It would take any target's word for who it is. A pool that says more than that is never reached that way, whatever
        // its plugin answers.
        for key in MUTUAL {
            if self.setting(key)?.is_some() {
                return Err(Failure::denied(format!(
                    "the pool has {key}: its target is to prove who it is, which the hypervisor's own client does not ask for"
                ))
                .hint("give the pool transport = \"served\""));
            }
        }
        let portal = self.granted_address(&endpoint)?.to_string();
        let login = match login {
            (Some(user), Some(secret)) => Some(self.login(user, &secret)?),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(From(&self.plugin).fault("a login is a user and a password, and it gave one of them"));
            }
        };
        Ok(IscsiDisk { portal, target: target.to_owned(), lun, initiator: None, login, header_digest: false })
    }

    /// The disk, asked for under the name that the plugin gave.
    pub(super) fn as_initiator(
        &self,
        disk: IscsiDisk,
        initiator: Option<String>,
        header_digest: bool,
    ) -> Result<IscsiDisk> {
        if let Some(wrong) = initiator.as_deref().filter(|name| !is_iscsi_name(name)) {
            return Err(From(&self.plugin).fault(format!("{wrong:?} is no name of an initiator")));
        }
        Ok(IscsiDisk { initiator, header_digest, ..disk })
    }

    pub(super) fn nbd(&mut self, address: &str, export: &str) -> Result<NbdDisk> {
        let from = From(&self.plugin);
        let endpoint: Endpoint = address.parse().map_err(|why| from.fault(format!("{address:?}: {why}")))?;
        if export.len() > EXPORT_MAX || export.chars().any(char::is_control) {
            return Err(from.fault("the name of the export is too long or holds control characters"));
        }
        Ok(NbdDisk { server: self.granted_address(&endpoint)?, export: export.to_owned() })
    }

    fn login(&mut self, user: String, secret: &str) -> Result<Login> {
        let from = From(&self.plugin);
        if user.is_empty() || user.len() > USER_MAX || user.chars().any(char::is_control) {
            return Err(from.fault("the user's name is empty, too long or holds control characters"));
        }
        let name: GrantName =
            secret.parse().map_err(|why| from.fault(format!("{secret:?} is no name of a secret: {why}")))?;
        let manifest = plugin::chosen(&self.gate, &self.plugin).ok().map(|found| found.manifest);
        let named = self.settings()?.iter().any(|(key, value)| {
            value == name.as_str() && manifest.as_ref().is_none_or(|manifest| is_secret(manifest, key))
        });
        if !named {
            return Err(Failure::denied(format!("the pool's settings name no secret {:?}", name.as_str())));
        }
        Ok(Login { user, password: self.reveal(&name)? })
    }

    /// The address of what the plugin named, where one of its connections leads there for this pool.
    fn granted_address(&mut self, endpoint: &Endpoint) -> Result<SocketAddr> {
        let settings = self.settings()?;
        let value = |key: &str| settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let policy = self.gate.policy();
        let grants = policy.plugins.get(&self.plugin);
        let mut connections = grants.into_iter().flat_map(|grants| &grants.connections);
        let there = connections.find(|(_, grant)| grant.to.fill(value).as_ref() == Ok(endpoint));
        let Some((name, _)) = there else {
            return Err(Failure::denied(format!("policy grants plugin {} no connection to {endpoint}", self.plugin))
                .hint(format!("`fief plugin show {}` shows what it asks for beside what it has", self.plugin)));
        };
        let to = ConnectionRef::new(policy, &self.plugin, name, &self.definition.name, &settings);
        let operation = Operation::ConnectionResolve { to };
        let done = self.gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?;
        match done.outcome {
            Outcome::Connected { address, before: _ } => Ok(address),
            other => Err(Failure::other(format!("looking up {endpoint} brought forth {other:?}"))),
        }
    }

    pub(super) fn setting(&mut self, key: &str) -> Result<Option<String>> {
        Ok(self.settings()?.into_iter().find(|(name, _)| name == key).map(|(_, value)| value))
    }
}

fn endpoint(text: &str, port: u16) -> Result<Endpoint, crate::types::Invalid> {
    match text.parse::<Host>() {
        Ok(host) => Ok(Endpoint { host, port }),
        Err(_) => text.parse(),
    }
}

fn elsewhere(what: &str, named: &str, said: Option<&str>) -> Failure {
    let said = match said {
        Some(said) => format!("its settings say {said:?}"),
        None => format!("its settings say no {what}"),
    };
    Failure::denied(format!("the {what} {named:?} is not the pool's: {said}"))
}

/// Absolute, and no component leads out of it or is read in a second way by who puts it into a URL.
fn is_share(text: &str) -> bool {
    match text.strip_prefix('/') {
        Some("") => true,
        Some(rest) => rest.parse::<RelativePath>().is_ok() && !text.contains(['?', '#', '%']),
        None => false,
    }
}

/// `iqn.…`, `eui.…` or `naa.…` (RFC 7143, section 4.2.7).
fn is_iscsi_name(text: &str) -> bool {
    text.len() <= ISCSI_NAME_MAX
        && ["iqn.", "eui.", "naa."].iter().any(|kind| text.len() > kind.len() && text.starts_with(kind))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':'))
}
