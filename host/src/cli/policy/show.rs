//! `fief policy show`

use serde_json::{Map, Value, json};

use crate::cli::Context;
use crate::cli::output::Shown;
use crate::cli::plugin::asks::access;
use crate::config::policy::select::Line;
use crate::config::policy::{ConnectionGrant, Limits, PluginGrants, Policy, Relocation, Trust};
use crate::error::{Failure, Result};
use crate::types::{ByteSize, GrantName, Span};

/// Print the policy in force, with every default filled in, as policy.toml would say it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Sizes are text with a unit in TOML, and bytes in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Person,
    Program,
}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    let policy = context.policy()?;
    let path = context.layout().policy();
    let mut text = toml(&value(&policy, Reader::Person))?;
    if !path.exists() {
        text.insert_str(0, &format!("# there is no {}: nothing is granted\n", path.display()));
    }
    let json = value(&policy, Reader::Program);
    context.show(&Shown { kind: "policy", name: path.display().to_string(), json, text })
}

fn toml(value: &Value) -> Result<String> {
    toml::to_string_pretty(value).map_err(|error| Failure::other("cannot write the policy as TOML").because(error))
}

fn value(policy: &Policy, reader: Reader) -> Value {
    let host = &policy.host;
    let plugins: Map<String, Value> =
        policy.plugins.iter().map(|(id, plugin)| (id.to_string(), grants(plugin, reader))).collect();
    let mut value = json!({
        "host": {
            "qemu": host.qemu,
            "qemu-img": host.qemu_img,
            "dnsmasq": host.dnsmasq,
            "nft": host.nft,
            "uid-base": host.uid_base,
        },
        "plugins": plugins,
        "pools": policy.pools,
        "networks": policy.networks,
        "relocation": relocation(&policy.relocation),
    });
    if !policy.select.migration.is_empty() {
        value["select"] = json!({ "migration": policy.select.migration.iter().map(line).collect::<Vec<_>>() });
    }
    if policy.trust != Trust::default() {
        value["trust"] = trust(&policy.trust);
    }
    value
}

fn line(Line { when, strategy, line: _ }: &Line) -> Value {
    let words = [
        ("domain", when.domain.as_ref().map(ToString::to_string)),
        ("peer", when.peer.as_ref().map(ToString::to_string)),
        ("power", when.power.map(|power| power.to_string())),
        ("storage", when.storage.map(|storage| storage.to_string())),
    ];
    let when: Map<String, Value> =
        words.into_iter().filter_map(|(key, word)| Some((key.to_owned(), word?.into()))).collect();
    json!({ "when": when, "use": strategy })
}

fn trust(trust: &Trust) -> Value {
    let plugins = trust.lines.iter().map(|line| match line.unsigned {
        true => json!({ "id": line.id, "unsigned": true }),
        false => json!({ "id": line.id, "signers": line.signers }),
    });
    json!({ "signers": trust.signers, "plugins": plugins.collect::<Vec<_>>() })
}

/// TOML has no word for what is not set, so that is left out.
fn relocation(relocation: &Relocation) -> Value {
    let accept = relocation.accept.iter().map(|line| json!({ "peer": line.peer, "domains": line.domains }));
    let mut value = json!({
        "enabled": relocation.enabled,
        "address": relocation.address,
        "port": relocation.port,
        "at-once": relocation.at_once,
        "encryption": relocation.encryption,
        "accept": accept.collect::<Vec<_>>(),
    });
    let networks = [("control-network", relocation.control_network), ("stream-network", relocation.stream_network)];
    for (key, address) in networks {
        if let Some(address) = address {
            value[key] = json!(address);
        }
    }
    if let Some(bandwidth) = relocation.bandwidth {
        value["bandwidth"] = json!(bandwidth);
    }
    value
}

fn grants(grants: &PluginGrants, reader: Reader) -> Value {
    let directories: Vec<Value> = grants
        .directories
        .iter()
        .map(|(name, grant)| json!({ "name": name, "path": grant.path, "access": access(grant.access) }))
        .collect();
    let connection = |(name, grant): (&GrantName, &ConnectionGrant)| {
        json!({
            "name": name,
            "to": grant.to,
            "allow": grant.allow,
            "reserved-port": grant.reserved_port,
            "timeout": Span(grant.timeout),
        })
    };
    let connections: Vec<Value> = grants.connections.iter().map(connection).collect();
    let mut value = json!({
        "interfaces": grants.interfaces,
        "directories": directories,
        "connections": connections,
        "secrets": grants.secrets,
        "bridges": grants.bridges,
        "postcopy": grants.postcopy,
        "limits": limits(&grants.limits, reader),
    });
    if let Some(digest) = grants.digest {
        value["digest"] = json!(digest);
    }
    if let Some(signer) = grants.signer {
        value["signer"] = json!(signer);
    }
    value
}

fn limits(limits: &Limits, reader: Reader) -> Value {
    let size = |size: ByteSize| match reader {
        Reader::Person => json!(size),
        Reader::Program => json!(size.bytes()),
    };
    json!({
        "memory": size(limits.memory),
        "table-elements": limits.table_elements,
        "handles": limits.handles,
        "cpu": Span(limits.cpu),
        "wall": Span(limits.wall),
        "host-call-bytes": size(limits.host_call_bytes),
        "log-lines-per-second": limits.log_lines_per_second,
        "busy-poll-microseconds": limits.busy_poll_microseconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::parse;

    #[test]
    fn the_policy_is_shown_with_its_defaults_as_its_file_would_say_it() {
        let mut policy = Policy::default();
        policy.plugins.insert("storage-file".parse().unwrap(), crate::cli::plugin::asks::tests::grants());
        policy.pools.insert("file".to_owned(), "storage-file".parse().unwrap());
        insta::assert_snapshot!(toml(&value(&policy, Reader::Person)).unwrap(), @r#"
        [host]
        dnsmasq = "/usr/sbin/dnsmasq"
        nft = "/usr/sbin/nft"
        qemu = "/usr/bin/qemu-system-x86_64"
        qemu-img = "/usr/bin/qemu-img"
        uid-base = 1900000000

        [networks]

        [plugins.storage-file]
        bridges = ["fief-*"]
        interfaces = [
            "images",
            "bridges",
        ]
        postcopy = false
        secrets = ["key"]

        [[plugins.storage-file.connections]]
        allow = []
        name = "server"
        reserved-port = false
        timeout = "10s"
        to = "{server}:{port}"

        [[plugins.storage-file.directories]]
        access = "read-write"
        name = "images"
        path = "/srv/images"

        [plugins.storage-file.limits]
        busy-poll-microseconds = 100
        cpu = "2s"
        handles = 1000
        host-call-bytes = "16MiB"
        log-lines-per-second = 200
        memory = "64MiB"
        table-elements = 100000
        wall = "30s"

        [pools]
        file = "storage-file"

        [relocation]
        accept = []
        address = "0.0.0.0"
        at-once = 2
        enabled = false
        encryption = "on"
        port = 8002
        "#);
        assert_eq!(value(&policy, Reader::Program)["plugins"]["storage-file"]["limits"]["memory"], 64 << 20);
    }

    #[test]
    fn what_chooses_and_whom_it_trusts_reads_back_as_itself() {
        let text = format!(
            "[plugins.mine]\n[[select.migration]]\nwhen = {{ domain = \"db-*\", power = \"off\" }}\nuse = \"mine\"\n\
             [trust.signers]\nacme = \"ed25519:{}\"\n[[trust.plugins]]\nid = \"acme-*\"\nsigners = [\"acme\"]\n\
             [[trust.plugins]]\nid = \"*\"\nunsigned = true\n",
            "07".repeat(32)
        );
        let policy = parse(text.as_bytes(), "x").unwrap();
        let shown = toml(&value(&policy, Reader::Person)).unwrap();
        let mut again = parse(shown.as_bytes(), "x").unwrap();
        // Where they stand is another matter.
        for (line, before) in again.select.migration.iter_mut().zip(&policy.select.migration) {
            line.line = before.line;
        }
        for (line, before) in again.trust.lines.iter_mut().zip(&policy.trust.lines) {
            line.line = before.line;
        }
        assert_eq!((again.select, again.trust), (policy.select, policy.trust));
    }
}
