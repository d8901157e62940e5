//! The rules as values (libnftables-json(5)). Pure.

use serde_json::{Value, json};

use crate::gate::operation::Reach;
use crate::types::InterfaceName;

/// How the names of fief's own tables begin.
pub const PREFIX: &str = "fief-";

/// The name of the table that belongs to a bridge or a tap.
pub(super) fn table(link: &InterfaceName) -> String {
    format!("{PREFIX}{link}")
}

/// A transaction that leaves the link's table absent, whether it was there or not.
pub(super) fn nothing(family: &str, link: &InterfaceName) -> Value {
    json!({ "nftables": emptied(family, link) })
}

/// `delete` fails on a table that is not there, so that it is added first.
fn emptied(family: &str, link: &InterfaceName) -> Vec<Value> {
    let table = json!({ "table": { "family": family, "name": table(link) } });
    vec![json!({ "add": table }), json!({ "delete": table })]
}

/// One table under construction.
pub(super) struct Table {
    family: &'static str,
    name: String,
    commands: Vec<Value>,
}

impl Table {
    pub(super) fn new(family: &'static str, link: &InterfaceName) -> Self {
        let name = table(link);
        let mut commands = emptied(family, link);
        commands.push(json!({ "add": { "table": { "family": family, "name": name } } }));
        Table { family, name, commands }
    }
    /// One that must not be there yet. To delete a table, even one that was only just added, the kernel waits until no
    /// processor looks at what is deleted: several times what the rest takes.
    pub(super) fn fresh(family: &'static str, link: &InterfaceName) -> Self {
        let name = table(link);
        let commands = vec![json!({ "create": { "table": { "family": family, "name": name } } })];
        Table { family, name, commands }
    }
    /// A base chain that accepts what no rule of it drops: other tables have their own say.
    fn chain(&mut self, kind: &str, hook: &str, priority: i32) {
        self.commands.push(json!({ "add": { "chain": {
            "family": self.family, "table": self.name, "name": hook,
            "type": kind, "hook": hook, "prio": priority, "policy": "accept",
        } } }));
    }
    /// The base chain `ingress` of one link: it goes with the link, and frames of other links do not pass by.
    pub(super) fn ingress(&mut self, link: &InterfaceName, priority: i32) {
        self.commands.push(json!({ "add": { "chain": {
            "family": self.family, "table": self.name, "name": "ingress",
            "type": "filter", "hook": "ingress", "dev": link.as_str(), "prio": priority, "policy": "accept",
        } } }));
    }
    pub(super) fn rule(&mut self, chain: &str, expressions: &[Value]) {
        self.commands.push(json!({ "add": { "rule": {
            "family": self.family, "table": self.name, "chain": chain, "expr": expressions,
        } } }));
    }
    pub(super) fn done(self) -> Value {
        json!({ "nftables": self.commands })
    }
}

pub(super) fn is(left: Value, right: Value) -> Value {
    json!({ "match": { "op": "==", "left": left, "right": right } })
}
pub(super) fn is_not(left: Value, right: Value) -> Value {
    json!({ "match": { "op": "!=", "left": left, "right": right } })
}
fn meta(key: &str) -> Value {
    json!({ "meta": { "key": key } })
}
pub(super) fn field(protocol: &str, field: &str) -> Value {
    json!({ "payload": { "protocol": protocol, "field": field } })
}
fn from(link: &InterfaceName) -> Value {
    is(meta("iifname"), json!(link.as_str()))
}
fn to(link: &InterfaceName) -> Value {
    is(meta("oifname"), json!(link.as_str()))
}
/// What the destination is *on the link that the packet came in by*: `local` are that link's own addresses alone.
fn destination(kinds: &[&str]) -> Value {
    is(json!({ "fib": { "result": "type", "flags": ["daddr", "iif"] } }), json!({ "set": kinds }))
}
fn accept() -> Value {
    json!({ "accept": null })
}
pub(super) fn drop() -> Value {
    json!({ "drop": null })
}

/// The chains of [`reach`], by name.
pub(super) fn chains(reach: &Reach) -> &'static [&'static str] {
    match reach {
        Reach::Isolated | Reach::HostOnly => &["input", "forward"],
        Reach::Routed => &["forward"],
        Reach::Nat(_) => &["forward", "postrouting"],
    }
}

/// The table of a bridge.
///
/// | reach | guests may open connections to |
/// | --- | --- |
/// | isolated | each other; the host answers DHCP |
/// | host-only | each other, and the host at the bridge's own addresses |
/// | routed | anything, and anything to them |
/// | nat | anything, behind the link's address; from outside only answers come back |
pub(super) fn reach(bridge: &InterfaceName, reach: &Reach) -> Value {
    let mut table = Table::new("inet", bridge);
    match reach {
        Reach::Isolated => {
            input(&mut table, bridge, false);
            inside_only(&mut table, bridge);
        }
        Reach::HostOnly => {
            input(&mut table, bridge, true);
            inside_only(&mut table, bridge);
        }
        Reach::Routed => {
            table.chain("filter", "forward", 0);
            table.rule("forward", &[from(bridge), accept()]);
            table.rule("forward", &[to(bridge), accept()]);
        }
        Reach::Nat(link) => {
            let answers = is(json!({ "ct": { "key": "state" } }), json!({ "set": ["established", "related"] }));
            table.chain("filter", "forward", 0);
            table.rule("forward", &[from(bridge), to(bridge), accept()]);
            table.rule("forward", &[from(bridge), to(link), accept()]);
            table.rule("forward", &[from(link), to(bridge), answers, accept()]);
            table.rule("forward", &[from(bridge), drop()]);
            table.rule("forward", &[to(bridge), drop()]);
            table.chain("nat", "postrouting", 100);
            table.rule("postrouting", &[from(bridge), to(link), json!({ "masquerade": null })]);
        }
    }
    table.done()
}

/// Packets of guests to this host. Forwarded ones do not come by here, answers to the host's own requests do.
fn input(table: &mut Table, bridge: &InterfaceName, host: bool) {
    // A client asks by broadcast first and renews by unicast (RFC 2131, 4.4).
    let dhcp = is(field("udp", "dport"), json!(67));
    table.chain("filter", "input", 0);
    table.rule("input", &[from(bridge), dhcp, destination(&["local", "broadcast"]), accept()]);
    if host {
        table.rule("input", &[from(bridge), destination(&["local"]), accept()]);
    }
    table.rule("input", &[from(bridge), drop()]);
}

/// No way through this host in or out. Frames between guests come by here too where br_netfilter is loaded.
fn inside_only(table: &mut Table, bridge: &InterfaceName) {
    table.chain("filter", "forward", 0);
    table.rule("forward", &[from(bridge), to(bridge), accept()]);
    table.rule("forward", &[from(bridge), drop()]);
    table.rule("forward", &[to(bridge), drop()]);
}

/// The rules in one line each.
#[cfg(test)]
pub(super) fn lines(ruleset: &Value) -> String {
    let lines: Vec<String> = ruleset["nftables"].as_array().unwrap().iter().map(Value::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> InterfaceName {
        text.parse().unwrap()
    }

    #[test]
    fn each_reach_has_its_rules() {
        for (label, kind) in [
            ("isolated", Reach::Isolated),
            ("host_only", Reach::HostOnly),
            ("routed", Reach::Routed),
            ("nat", Reach::Nat(name("eth0"))),
        ] {
            insta::assert_snapshot!(label, lines(&reach(&name("fief-lab"), &kind)));
        }
    }

    #[test]
    fn the_chains_that_a_check_looks_for_are_those_that_are_made() {
        for kind in [Reach::Isolated, Reach::HostOnly, Reach::Routed, Reach::Nat(name("eth0"))] {
            let ruleset = reach(&name("br"), &kind);
            let made: Vec<&str> = ruleset["nftables"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|c| c["add"]["chain"]["name"].as_str())
                .collect();
            assert_eq!(made, chains(&kind));
        }
    }
}
