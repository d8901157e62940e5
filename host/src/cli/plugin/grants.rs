//! What `grant`, `revoke` and `install --accept` share: the words of their options, and the change of policy.

use std::time::Duration;

use super::asks::{asks, interface, remedy};
use super::list::PluginRow;
use crate::cli::Context;
use crate::cli::output::Format;
use crate::cli::output::failure::{note, warn};
use crate::config::policy::edit::Edit;
use crate::config::policy::{HostInterface, NearAddress, Policy};
use crate::error::Result;
use crate::gate::{Actor, Gate, Ledger, Mode, Operation, policy as file, secret};
use crate::plugin::Installed;
use crate::sandbox::protocol::PluginKind;
use crate::types::{Access, EndpointPattern, GrantName, PluginId, Span};

/// `NAME=PATH`, and `:rw` where it may be written to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Directory {
    pub name: GrantName,
    pub path: String,
    pub access: Access,
}

/// `NAME`, and where it leads if not where the plugin asks; then words with commas.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Connection {
    pub name: GrantName,
    pub to: Option<EndpointPattern>,
    pub allow: Vec<NearAddress>,
    pub reserved_port: bool,
    pub timeout: Option<Duration>,
}

/// Why an option's text is none, as clap shows it.
type Parsed<T> = std::result::Result<T, String>;

pub(super) fn host_interface(text: &str) -> Parsed<HostInterface> {
    let all = [HostInterface::Images, HostInterface::Bridges, HostInterface::Session];
    let found = all.into_iter().find(|one| interface(*one) == text);
    found.ok_or_else(|| format!("the host has {}", all.map(interface).join(", ")))
}

pub(super) fn directory(text: &str) -> Parsed<Directory> {
    let (name, path) = text.split_once('=').ok_or("write NAME=PATH, and :rw behind it to let it be written to")?;
    let (path, access) = match path.rsplit_once(':') {
        Some((path, "rw")) => (path, Access::ReadWrite),
        Some((path, "ro")) => (path, Access::ReadOnly),
        Some(_) | None => (path, Access::ReadOnly),
    };
    let name = name.parse().map_err(|why| format!("{why}"))?;
    Ok(Directory { name, path: path.to_owned(), access })
}

pub(super) fn connection(text: &str) -> Parsed<Connection> {
    let mut words = text.split(',');
    let first = words.next().unwrap_or_default();
    let (name, to) = first.split_once('=').map_or((first, None), |(name, to)| (name, Some(to)));
    let name = name.parse().map_err(|why| format!("{why}"))?;
    let to = to.map(|to| to.parse().map_err(|why| format!("{why}"))).transpose()?;
    let mut connection = Connection { name, to, allow: Vec::new(), reserved_port: false, timeout: None };
    for word in words {
        match word.split_once('=') {
            Some(("allow", near)) => connection.allow.push(near_address(near)?),
            Some(("timeout", time)) => {
                let Span(time) = time.parse().map_err(|why| format!("{why}"))?;
                connection.timeout = Some(time);
            }
            None if word == "reserved-port" => connection.reserved_port = true,
            Some(_) | None => return Err(format!("{word:?} is not one of allow=…, reserved-port, timeout=…")),
        }
    }
    Ok(connection)
}

fn near_address(text: &str) -> Parsed<NearAddress> {
    let all = [NearAddress::Loopback, NearAddress::LinkLocal, NearAddress::ThisHost];
    let found = all.into_iter().find(|one| one.as_str() == text);
    found.ok_or_else(|| format!("what may be allowed is {}", all.map(NearAddress::as_str).join(", ")))
}

/// Changes policy, and shows the lines that went and came; `false` where all is so already.
pub(super) fn apply(context: &Context, gate: &Gate, id: &PluginId, edits: Vec<Edit>) -> Result<bool> {
    let lines = file::preview(gate.layout(), id, &edits)?;
    if lines.is_empty() {
        return Ok(false);
    }
    let operation = Operation::PolicyEdit { plugin: id.clone(), edits };
    gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new())?;
    if matches!(context.format(), Format::Table | Format::Wide) {
        note(&format!("{}:\n{}", gate.layout().policy().display(), lines.join("\n")));
    }
    Ok(true)
}

/// Says what a plugin still lacks, and how to give it that.
pub(super) fn remind(context: &Context, installed: &Installed, policy: &Policy) -> Result<()> {
    if context.mode() == Mode::DryRun {
        return Ok(());
    }
    let manifest = &installed.manifest;
    let row = PluginRow::of(context.layout(), installed, policy);
    let say = |message: String| warn(&message, context.format());
    let asks = asks(manifest, row.grants());
    if let Some(remedy) = remedy(&manifest.id, &asks) {
        let missing: Vec<&str> = asks.iter().filter(|ask| ask.granted.is_none()).map(|ask| ask.what.as_str()).collect();
        say(format!("{} is not granted all that it asks for: {}; {remedy}", manifest.id, missing.join(", ")));
    }
    let Some(grants) = row.grants() else { return Ok(()) };
    let stored = secret::names(context.layout())?;
    for name in grants.secrets.iter().filter(|name| !stored.contains(name)) {
        say(format!("the secret {name} is not stored; fief secret set {name}"));
    }
    let kind = match manifest.kind {
        PluginKind::Storage => "pool",
        PluginKind::Network => "network",
        PluginKind::Migration => return Ok(()),
    };
    if row.serves().is_empty() {
        say(format!("no kind of {kind} is served by {0} yet; fief plugin grant {0} --serve KIND", manifest.id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_policy_would_say_them() {
        let access = |text: &str| directory(text).map(|found| (found.path, found.access));
        assert_eq!(access("a=/srv/a"), Ok(("/srv/a".to_owned(), Access::ReadOnly)));
        assert_eq!(access("a=/srv/a:rw"), Ok(("/srv/a".to_owned(), Access::ReadWrite)));
        assert_eq!(access("a=/srv/a:b:ro"), Ok(("/srv/a:b".to_owned(), Access::ReadOnly)));
        assert_eq!(access("a=/srv/a:b"), Ok(("/srv/a:b".to_owned(), Access::ReadOnly)));
        assert!(directory("/srv/a").is_err() && directory("a b=/srv").is_err());
        assert_eq!(host_interface("images"), Ok(HostInterface::Images));
        assert!(host_interface("files").unwrap_err().contains("images, bridges, session"));

        let plain = connection("server").unwrap();
        assert_eq!((plain.to, plain.allow.len(), plain.reserved_port, plain.timeout), (None, 0, false, None));
        let whole = connection("server=[::1]:{port},allow=loopback,allow=this-host,reserved-port,timeout=3s").unwrap();
        assert_eq!(whole.to.unwrap().to_string(), "[::1]:{port}");
        assert_eq!(whole.allow, [NearAddress::Loopback, NearAddress::ThisHost]);
        assert!(whole.reserved_port && whole.timeout == Some(Duration::from_secs(3)));
        for wrong in ["", "a=b", "a,allow", "a,allow=all", "a,timeout=3", "a=b:1,x"] {
            assert!(connection(wrong).is_err(), "{wrong}");
        }
    }
}
