//! Imports run one way, as `host/src/lib.rs` draws it.

use super::{Source, is_rust};
use crate::command::Result;

/// Each top-level module of the host, and what it may use of the others.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "conformance",
            "domain",
            "peer",
            "plugin",
            "hypervisor",
            "migration",
            "network",
            "storage",
            "gate",
            "sys",
            "sandbox",
            "import",
            "config",
            "types",
            "error",
            "layout",
            "fault",
        ],
    ),
    (
        "domain",
        &[
            "peer",
            "plugin",
            "hypervisor",
            "migration",
            "network",
            "storage",
            "gate",
            "sys",
            "sandbox",
            "import",
            "config",
            "types",
            "error",
            "layout",
            "fault",
        ],
    ),
    (
        "peer",
        &[
            "plugin",
            "hypervisor",
            "network",
            "storage",
            "gate",
            "sys",
            "sandbox",
            "config",
            "types",
            "error",
            "layout",
            "fault",
        ],
    ),
    // Beside domains: a plugin is tried out without one.
    (
        "conformance",
        &["plugin", "storage", "network", "migration", "gate", "sys", "sandbox", "config", "types", "error", "layout"],
    ),
    ("plugin", &["gate", "sys", "sandbox", "config", "types", "error", "layout", "fault"]),
    ("hypervisor", &["storage", "gate", "sys", "sandbox", "config", "types", "error", "layout", "fault"]),
    ("migration", &["plugin", "gate", "sys", "sandbox", "config", "types", "error", "layout", "fault"]),
    ("network", &["plugin", "gate", "sys", "sandbox", "config", "types", "error", "layout", "fault"]),
    ("storage", &["plugin", "gate", "sys", "sandbox", "config", "types", "error", "layout", "fault"]),
    ("gate", &["sys", "config", "types", "error", "layout", "fault"]),
    // The other room: of the gate it knows the words alone (SANDBOX_OF_GATE).
    ("sandbox", &["gate", "sys", "config", "types", "error"]),
    ("import", &["config", "types", "error"]),
    ("sys", &["types", "error", "layout", "fault"]),
    ("config", &["types", "error", "layout", "fault"]),
    ("types", &["error"]),
    ("error", &[]),
    ("fault", &["error"]),
    ("bin", &["cli"]),
    ("layout", &["types", "error"]),
    ("main", &["cli", "domain", "sandbox", "error", "layout", "fault", "types", "sys"]),
];

/// The only part of the gate that the sandbox may name.
const SANDBOX_OF_GATE: &str = "crate::gate::operation";
/// The only parts of the sandbox that the host's own floors may name, since what runs there is another process: the
/// words between the two, how they travel, and the engine's settings, by which what was compiled is told apart.
const HOST_OF_SANDBOX: &[&str] = &["crate::sandbox::protocol", "crate::sandbox::wire", "crate::sandbox::SETTINGS"];

pub(crate) fn check(sources: &[Source]) -> Result<()> {
    let mut troubles = Vec::new();
    for Source { path, text } in sources.iter().filter(|source| is_rust(&source.path)) {
        let Ok(inside) = path.strip_prefix("host/src") else { continue };
        let Some(first) = inside.components().next() else { continue };
        let module = first.as_os_str().to_string_lossy();
        let module = module.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            troubles
                .push(format!("{}: {module} has no floor; give it one in xtask/src/check/imports.rs", path.display()));
            continue;
        };
        for (number, used) in uses(text) {
            if let Some(why) = wrong(module, allowed, &used) {
                troubles.push(format!("{}:{number}: {why}", path.display()));
            }
        }
    }
    if troubles.is_empty() { Ok(()) } else { Err(troubles.join("\n").into()) }
}

fn wrong(module: &str, allowed: &[&str], used: &str) -> Option<String> {
    let floor = used.trim_start_matches("crate::").split("::").next().unwrap_or_default();
    // A word that is no module (a macro's own name, say) is the compiler's to judge.
    MAY_USE.iter().find(|(name, _)| *name == floor)?;
    if floor == module {
        return None;
    }
    if !allowed.contains(&floor) {
        return Some(format!("{module} may not use {floor} (host/src/lib.rs draws who may)"));
    }
    if module == "sandbox" && floor == "gate" && !used.starts_with(SANDBOX_OF_GATE) {
        return Some(format!("of the gate, the sandbox may use {SANDBOX_OF_GATE} alone"));
    }
    // The command line runs the sandbox's own entry; every other floor only speaks with it.
    let shared = HOST_OF_SANDBOX.iter().any(|part| used.starts_with(part));
    if floor == "sandbox" && !matches!(module, "cli" | "main") && !shared {
        return Some(format!("of the sandbox, {module} may use {} alone", HOST_OF_SANDBOX.join(", ")));
    }
    None
}

/// Every path that starts with `crate::`, braces spread out, with its line.
fn uses(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (start, _) in code.match_indices("crate::") {
            // `$crate::` and `my_crate::` are other words.
            if code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let path: String =
                code[start..].chars().take_while(|&c| c.is_alphanumeric() || c == '_' || c == ':').collect();
            if path.ends_with("::") {
                let group: String = text.lines().skip(number).collect::<Vec<_>>().join(" ");
                let opening = format!("{path}{{");
                let from = group.find(&opening).map_or(group.len(), |at| at + opening.len());
                found.extend(spread(&group[from..]).into_iter().map(|name| (number + 1, format!("{path}{name}"))));
            } else {
                found.push((number + 1, path));
            }
        }
    }
    found
}

/// The paths of one level of a `{…}` group, up to its closing brace.
fn spread(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut depth = 0;
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            _ if depth == 0 && !c.is_whitespace() => name.push(c),
            _ => {}
        }
    }
    names.push(name);
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(module: &str) -> &'static [&'static str] {
        MAY_USE.iter().find(|(name, _)| *name == module).unwrap().1
    }

    #[test]
    fn a_lower_floor_may_not_use_a_higher_one() {
        assert!(wrong("gate", allowed("gate"), "crate::plugin::Session").is_some());
        assert!(wrong("config", allowed("config"), "crate::gate::Gate").is_some());
        assert!(wrong("domain", allowed("domain"), "crate::gate::Gate").is_none());
        assert!(wrong("sandbox", allowed("sandbox"), "crate::gate::operation::Reach").is_none());
        assert!(wrong("sandbox", allowed("sandbox"), "crate::gate::Gate").is_some());
        assert!(wrong("network", allowed("network"), "crate::sandbox::engine::Engine").is_some());
    }

    #[test]
    fn groups_and_paths_in_code_are_found() {
        let text = "use crate::{gate::{Gate, Ledger}, types::Digest};\nlet x = crate::sys::open(); // crate::cli\nuse crate::gate::{\n    operation::Dhcp, Gate,\n};\n";
        let found: Vec<String> = uses(text).into_iter().map(|(_, path)| path).collect();
        assert_eq!(
            found,
            [
                "crate::gate::",
                "crate::types::Digest",
                "crate::sys::open",
                "crate::gate::operation::Dhcp",
                "crate::gate::Gate"
            ]
        );
    }
}
