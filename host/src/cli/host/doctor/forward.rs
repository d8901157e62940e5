//! Who drops what this host forwards: a chain of another program's, whose policy counts for all links, fief's too.
//! Decided from what `nft list chains` and `iptables-legacy -S` print.

use std::path::Path;

use super::Check;
use crate::cli::host::program;

/// Where the rules of the old kernel interface are told; nft does not see them.
const LEGACY: &str = "/usr/sbin/iptables-legacy";

/// `through_bridges`: frames between guests of one bridge go through these chains too (br_netfilter).
pub(super) fn check(nft: &Path, proc: &Path, through_bridges: bool) -> Check {
    // What cannot be asked drops nothing that we could name.
    let chains = program::ask(nft, &["list", "chains"]).unwrap_or_default();
    let in_use = std::fs::read_to_string(proc.join("net/ip_tables_names")).unwrap_or_default();
    let legacy = match in_use.lines().any(|table| table == "filter") {
        true => program::ask(Path::new(LEGACY), &["-S"]).unwrap_or_default(),
        false => String::new(),
    };
    let droppers = droppers(&chains);
    let docker = ["ip", "filter", "DOCKER-USER"];
    let asked = droppers.iter().map(|Dropper { family, table, chain }| [family, table, chain].map(String::as_str));
    let rules = asked
        .chain([docker])
        .map(|[family, table, chain]| program::ask(nft, &["list", "chain", family, table, chain]).unwrap_or_default());
    if !droppers.is_empty() && lets_through(&rules.collect::<String>()) || lets_through(&legacy) {
        return Check::ok(NAME, "drop, but for the links fief-*");
    }
    decide(&droppers, &legacy, chains.contains("chain DOCKER"), through_bridges)
}

const NAME: &str = "forward-policy";

/// Whether rules like those of the remedy are there, in the words of nft or of iptables.
fn lets_through(rules: &str) -> bool {
    let accepts = |words: [&str; 2]| {
        rules.lines().any(|line| line.to_lowercase().contains("accept") && words.iter().any(|word| line.contains(word)))
    };
    accepts(["iifname \"fief-*\"", "-i fief-+"]) && accepts(["oifname \"fief-*\"", "-o fief-+"])
}

/// A base chain on the way of forwarded packets whose policy is to drop.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dropper {
    family: String,
    table: String,
    chain: String,
}

fn droppers(chains: &str) -> Vec<Dropper> {
    let (mut table, mut chain) = ((String::new(), String::new()), String::new());
    let mut found = Vec::new();
    for line in chains.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["table", family, name, "{"] => table = (family.to_owned(), name.to_owned()),
            ["chain", name, "{"] => chain = name.to_owned(),
            ["type", "filter", "hook", "forward", ..] if line.contains("policy drop") => {
                let (family, table) = table.clone();
                if matches!(family.as_str(), "ip" | "inet") {
                    found.push(Dropper { family, table, chain: chain.clone() });
                }
            }
            _ => {}
        }
    }
    found
}

fn decide(droppers: &[Dropper], legacy: &str, docker: bool, through_bridges: bool) -> Check {
    let old = legacy.lines().any(|line| line.trim() == "-P FORWARD DROP");
    let docker = docker || legacy.contains("-N DOCKER");
    let is_iptables = |dropper: &&Dropper| dropper.family == "ip" && dropper.table == "filter";
    let iptables = old || droppers.iter().any(|dropper| is_iptables(&dropper) && dropper.chain == "FORWARD");
    let others: Vec<&Dropper> = droppers.iter().filter(|dropper| !is_iptables(dropper)).collect();
    let (who, remedy) = match (iptables, others.first()) {
        (false, None) => return Check::ok(NAME, "accept"),
        // Docker keeps this chain for others' rules, and leaves it alone when it starts anew.
        (true, _) if docker => ("Docker's policy (iptables, FORWARD)".to_owned(), iptables_remedy("DOCKER-USER", old)),
        (true, _) => ("iptables' policy (FORWARD)".to_owned(), iptables_remedy("FORWARD", old)),
        (false, Some(Dropper { family, table, chain })) => {
            let insert = |way: &str| format!("nft insert rule {family} {table} {chain} {way} \"fief-*\" accept");
            let remedy = format!("{} && {}", insert("iifname"), insert("oifname"));
            (format!("the policy of nftables' {family} {table} {chain}"), remedy)
        }
    };
    let whom = match through_bridges {
        true => "what guests of routed and nat networks send out, and, by bridge-nf-call, what guests send each other",
        false => "what guests of routed and nat networks send out",
    };
    let remedy = format!("{remedy} (fief-* stands for the bridges; name others that a network has)");
    Check::warn(NAME, format!("{who} drops {whom}"), remedy)
}

fn iptables_remedy(chain: &str, legacy: bool) -> String {
    let program = if legacy { "iptables-legacy" } else { "iptables" };
    format!("{program} -I {chain} -i fief-+ -j ACCEPT && {program} -I {chain} -o fief-+ -j ACCEPT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::host::doctor::Health;

    fn chains(family: &str, table: &str, chain: &str, policy: &str) -> String {
        format!(
            "table {family} {table} {{\n\tchain {chain} {{\n\t\ttype filter hook forward priority filter; \
             policy {policy};\n\t}}\n\tchain DOCKER-USER {{\n\t}}\n}}\n"
        )
    }

    fn told(text: &str, legacy: &str, docker: bool) -> (Health, String, String) {
        let check = decide(&droppers(text), legacy, docker, false);
        (check.health, check.found, check.remedy.unwrap_or_default())
    }

    #[test]
    fn a_chain_that_accepts_or_is_elsewhere_is_no_finding() {
        for text in [
            String::new(),
            chains("ip", "filter", "FORWARD", "accept"),
            chains("ip6", "filter", "FORWARD", "drop"),
            chains("bridge", "filter", "FORWARD", "drop"),
            chains("ip", "filter", "FORWARD", "drop").replace("hook forward", "hook input"),
        ] {
            assert_eq!(told(&text, "-P FORWARD ACCEPT\n", true).0, Health::Ok, "{text}");
        }
    }

    #[test]
    fn who_drops_is_named_with_rules_that_let_guests_through() {
        for (text, legacy, docker, who, remedy) in [
            (chains("ip", "filter", "FORWARD", "drop"), "", true, "Docker", "iptables -I DOCKER-USER -i fief-+"),
            (chains("ip", "filter", "FORWARD", "drop"), "", false, "iptables", "iptables -I FORWARD -i fief-+"),
            (String::new(), "-P INPUT ACCEPT\n-P FORWARD DROP\n", false, "iptables", "iptables-legacy -I FORWARD"),
            (String::new(), "-P FORWARD DROP\n-N DOCKER\n", false, "Docker", "iptables-legacy -I DOCKER-USER"),
            (
                chains("inet", "fw", "through", "drop"),
                "",
                false,
                "inet fw through",
                "nft insert rule inet fw through iifname",
            ),
        ] {
            let (health, found, hint) = told(&text, legacy, docker);
            assert_eq!(health, Health::Warn, "{found}");
            assert!(found.contains(who), "{found}");
            assert!(hint.contains(remedy), "{hint}");
        }
    }

    #[test]
    fn rules_for_both_ways_let_guests_through_whoever_words_them() {
        assert!(lets_through("\tiifname \"fief-*\" accept\n\toifname \"fief-*\" counter packets 0 bytes 0 accept\n"));
        assert!(lets_through("-A FORWARD -i fief-+ -j ACCEPT\n-A FORWARD -o fief-+ -j ACCEPT\n"));
        assert!(!lets_through("-A FORWARD -i fief-+ -j ACCEPT\n-A FORWARD -o fief-+ -j DROP\n"));
    }

    #[test]
    fn with_bridge_nf_call_it_is_said_that_guests_do_not_reach_each_other() {
        let found = decide(&droppers(&chains("ip", "filter", "FORWARD", "drop")), "", true, true).found;
        assert!(found.contains("each other"), "{found}");
    }
}
