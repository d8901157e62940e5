//! Whether a component is of the kind that its manifest says: its real imports and exports against the worlds of `wit/`.

use crate::config::policy::HostInterface;
use crate::error::{Failure, Result};
use crate::plugin::Manifest;
use crate::plugin::component::Component;
use crate::plugin::text::printable;
use crate::sandbox::protocol::PluginKind;

/// What every plugin may import: words, and a log.
const COMMON: &[&str] = &["fief:types/types@0.1.0", "fief:types/log@0.1.0"];
const TIMER: &str = "fief:types/timer@0.1.0";
/// The parts of WASI 0.2 behind which a sandbox has something.
const WASI: &[&str] = &["wasi:io/", "wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:random/"];
/// Those of them that are the same at each run.
const SAME: &[&str] = &["wasi:io/", "wasi:cli/"];

struct World {
    wasi: &'static [&'static str],
    /// Interfaces without functions, and those whose every use is granted by a name of its own.
    words: &'static [&'static str],
    /// What the host gives, if it is asked for and granted.
    host: &'static [(&'static str, HostInterface)],
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const STORAGE: World = World {
    wasi: WASI,
    words: &[
        TIMER,
        "fief:storage/volumes@0.1.0",
        "fief:storage/connections@0.1.0",
        "fief:storage/secrets@0.1.0",
        "fief:storage/directories@0.1.0",
        "fief:storage/files@0.1.0",
        "fief:storage/payloads@0.1.0",
        "fief:storage/requests@0.1.0",
    ],
    host: &[("fief:storage/images@0.1.0", HostInterface::Images)],
    required: &["fief:storage/backend@0.1.0"],
    optional: &[
        "fief:storage/snapshots@0.1.0",
        "fief:storage/clones@0.1.0",
        "fief:storage/renames@0.1.0",
        "fief:storage/fences@0.1.0",
        "fief:storage/notes@0.1.0",
        "fief:storage/block@0.1.0",
        "fief:storage/block-queue@0.1.0",
    ],
};

const NETWORK: World = World {
    wasi: WASI,
    words: &[TIMER],
    host: &[("fief:network/bridges@0.1.0", HostInterface::Bridges)],
    required: &["fief:network/mode@0.1.0"],
    optional: &[],
};

/// The same facts lead to the same steps, whenever and wherever: no clock, no random numbers, no files, no network.
const MIGRATION: World = World {
    wasi: SAME,
    words: &[],
    host: &[("fief:migration/session@0.1.0", HostInterface::Session)],
    required: &["fief:migration/strategy@0.1.0"],
    optional: &[],
};

/// An interface that this host speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// `PACKAGE/INTERFACE@VERSION`
    pub name: &'static str,
    /// The plugins that may have it; none: all.
    pub kind: Option<PluginKind>,
    /// Who gives it to the other: `host`, `plugin`, `plugin, may be left out`.
    pub given: &'static str,
}

/// All interfaces of fief's own that this host speaks, in the order of the kinds.
pub fn interfaces() -> impl Iterator<Item = Interface> {
    let kinds = [PluginKind::Storage, PluginKind::Network, PluginKind::Migration];
    let common = COMMON.iter().map(|name| Interface { name, kind: None, given: "host" });
    let of_kinds = kinds.into_iter().flat_map(|kind| {
        let world = of(kind);
        let with = move |given| move |name| Interface { name, kind: Some(kind), given };
        let host = world.host.iter().map(|(name, _)| *name);
        let host = world.words.iter().copied().chain(host).map(with("host"));
        let required = world.required.iter().copied().map(with("plugin"));
        host.chain(required).chain(world.optional.iter().copied().map(with("plugin, may be left out")))
    });
    common.chain(of_kinds)
}

const fn of(kind: PluginKind) -> World {
    match kind {
        PluginKind::Storage => STORAGE,
        PluginKind::Network => NETWORK,
        PluginKind::Migration => MIGRATION,
    }
}

/// # Errors
/// `Usage`, with each import or export that is missing or one too many as a cause.
pub(super) fn check(component: &Component, manifest: &Manifest) -> Result<()> {
    let (kind, world) = (manifest.kind.name(), of(manifest.kind));
    let mut causes = Vec::new();
    for name in world.required {
        if !component.exports.iter().any(|export| export == name) {
            causes.push(format!("it does not export {name}"));
        }
    }
    for name in &component.exports {
        if !world.required.contains(&name.as_str()) && !world.optional.contains(&name.as_str()) {
            causes.push(format!("it exports {}, which is no part of a {kind} plugin", printable(name)));
        }
    }
    for name in &component.imports {
        match world.host.iter().find(|(interface, _)| interface == name) {
            Some((_, interface)) if !manifest.asks_for(*interface) => {
                causes.push(format!("it imports {name}, which its manifest does not ask for"));
            }
            Some(_) => {}
            None if COMMON.contains(&name.as_str())
                || world.words.contains(&name.as_str())
                || is_wasi(world.wasi, name) => {}
            None => causes.push(format!("it imports {}, which no {kind} plugin is given", printable(name))),
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::usage(format!("the component is not the {kind} plugin that its manifest says"));
    failure.causes = causes;
    Err(failure.hint("build it against the WIT packages of this version of fief"))
}

fn is_wasi(packages: &[&str], name: &str) -> bool {
    let known = packages.iter().any(|package| name.starts_with(package));
    known && name.rsplit_once("@0.2.").is_some_and(|(_, patch)| patch.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::manifest::Permission;

    fn manifest(kind: PluginKind, interfaces: &[HostInterface]) -> Manifest {
        let asked = interfaces.iter();
        Manifest {
            permissions: asked
                .map(|interface| Permission::Interface { interface: *interface, reason: "Because.".into() })
                .collect(),
            ..Manifest::plain(kind)
        }
    }

    fn component(imports: &[&str], exports: &[&str]) -> Component {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Component { imports: owned(imports), exports: owned(exports), manifest: Vec::new() }
    }

    #[test]
    fn a_plugin_of_its_kind_is_taken() {
        let imports = ["fief:types/log@0.1.0", "fief:storage/images@0.1.0", "wasi:cli/environment@0.2.6"];
        let exports = ["fief:storage/backend@0.1.0", "fief:storage/clones@0.1.0"];
        check(&component(&imports, &exports), &manifest(PluginKind::Storage, &[HostInterface::Images])).unwrap();
        let network = component(&["fief:network/bridges@0.1.0"], &["fief:network/mode@0.1.0"]);
        check(&network, &manifest(PluginKind::Network, &[HostInterface::Bridges])).unwrap();
        let imports = ["fief:migration/session@0.1.0", "wasi:cli/environment@0.2.6", "wasi:io/streams@0.2.6"];
        let strategy = component(&imports, &["fief:migration/strategy@0.1.0"]);
        check(&strategy, &manifest(PluginKind::Migration, &[HostInterface::Session])).unwrap();
    }

    #[test]
    fn a_plugin_with_every_interface_that_is_told_of_is_taken() {
        for kind in [PluginKind::Storage, PluginKind::Network, PluginKind::Migration] {
            let told: Vec<Interface> = interfaces().filter(|one| one.kind.is_none_or(|of| of == kind)).collect();
            let names = |host: bool| -> Vec<&str> {
                told.iter().filter(|one| (one.given == "host") == host).map(|one| one.name).collect()
            };
            let all = [HostInterface::Images, HostInterface::Bridges, HostInterface::Session];
            check(&component(&names(true), &names(false)), &manifest(kind, &all)).unwrap();
        }
    }

    #[test]
    fn a_strategy_has_nothing_that_differs_from_run_to_run() {
        for import in [
            "wasi:clocks/monotonic-clock@0.2.6",
            "wasi:clocks/wall-clock@0.2.6",
            "wasi:random/random@0.2.6",
            "wasi:random/insecure-seed@0.2.6",
            "wasi:filesystem/preopens@0.2.6",
            "wasi:sockets/tcp@0.2.6",
            "fief:types/timer@0.1.0",
            "fief:storage/files@0.1.0",
            "fief:storage/connections@0.1.0",
            "fief:storage/images@0.1.0",
        ] {
            let strategy = component(&[import], &["fief:migration/strategy@0.1.0"]);
            let interfaces = [HostInterface::Session, HostInterface::Images];
            let failure = check(&strategy, &manifest(PluginKind::Migration, &interfaces)).unwrap_err();
            assert!(failure.to_string().contains("which no migration plugin is given"), "{import}: {failure}");
        }
    }

    #[test]
    fn a_mismatch_names_each_missing_and_extra_interface() {
        let backend = "fief:storage/backend@0.1.0";
        let cases: [(&[&str], &[&str], &str); 9] = [
            (&[], &[], "does not export fief:storage/backend@0.1.0"),
            (&[], &["fief:storage/backend@0.2.0"], "exports fief:storage/backend@0.2.0"),
            (&[], &[backend, "fief:network/mode@0.1.0"], "exports fief:network/mode@0.1.0"),
            (&["fief:storage/images@0.1.0"], &[backend], "images@0.1.0, which its manifest does not ask for"),
            (&["fief:network/bridges@0.1.0"], &[backend], "imports fief:network/bridges@0.1.0"),
            (&["wasi:sockets/tcp@0.2.6"], &[backend], "imports wasi:sockets/tcp@0.2.6"),
            (&["wasi:http/outgoing-handler@0.2.6"], &[backend], "imports wasi:http"),
            (&["wasi:cli/environment@0.3.0"], &[backend], "imports wasi:cli/environment@0.3.0"),
            (&["evil\u{1b}[2J"], &[backend], "imports evil\\u{1b}[2J"),
        ];
        for (imports, exports, cause) in cases {
            let failure = check(&component(imports, exports), &manifest(PluginKind::Storage, &[])).unwrap_err();
            assert!(failure.to_string().contains(cause), "{failure} does not say {cause:?}");
        }
    }
}
