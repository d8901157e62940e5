//! What a plugin author gets out of plain `cargo build --target wasm32-wasip2`, held against what the host expects.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use fief::plugin::Manifest;
use wasmparser::{Parser, Payload};

fn built(plugin: &str) -> Vec<u8> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // Where this test was built, so that nothing is compiled twice: TARGET/debug/deps/THIS.
    let target = std::env::current_exe().unwrap().ancestors().nth(3).map(PathBuf::from).unwrap();
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--target", "wasm32-wasip2", "--package", plugin, "--target-dir"])
        .arg(&target)
        .current_dir(&workspace)
        .status()
        .unwrap();
    assert!(status.success(), "{plugin} does not build");
    std::fs::read(target.join(format!("wasm32-wasip2/debug/{}.wasm", plugin.replace('-', "_")))).unwrap()
}

struct Seen {
    manifests: Vec<Vec<u8>>,
    imports: Vec<String>,
    exports: Vec<String>,
}

fn look(component: &[u8]) -> Seen {
    let mut seen = Seen { manifests: Vec::new(), imports: Vec::new(), exports: Vec::new() };
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::CustomSection(section) if section.name() == "fief:manifest" => {
                seen.manifests.push(section.data().to_vec());
            }
            Payload::ComponentImportSection(imports) if depth == 0 => {
                seen.imports.extend(imports.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                seen.exports.extend(exports.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    seen
}

#[test]
fn a_built_plugin_carries_one_manifest_and_exports_what_it_implements() {
    let cases: [(&str, &[&str], &[&str]); 5] = [
        (
            "storage-file",
            &[
                "fief:storage/backend@0.1.0",
                "fief:storage/block-queue@0.1.0",
                "fief:storage/block@0.1.0",
                "fief:storage/clones@0.1.0",
                "fief:storage/renames@0.1.0",
                "fief:storage/snapshots@0.1.0",
            ],
            &[
                "fief:storage/files@0.1.0",
                "fief:storage/images@0.1.0",
                "fief:storage/payloads@0.1.0",
                "fief:storage/requests@0.1.0",
                "fief:storage/volumes@0.1.0",
                "fief:types/log@0.1.0",
                "fief:types/types@0.1.0",
            ],
        ),
        ("network-host-only", &["fief:network/mode@0.1.0"], &["fief:network/bridges@0.1.0", "fief:types/types@0.1.0"]),
        ("network-user", &["fief:network/mode@0.1.0"], &["fief:types/types@0.1.0"]),
        (
            "migration-live",
            &["fief:migration/strategy@0.1.0"],
            &["fief:migration/session@0.1.0", "fief:types/types@0.1.0"],
        ),
        (
            "migration-static",
            &["fief:migration/strategy@0.1.0"],
            &["fief:migration/session@0.1.0", "fief:types/types@0.1.0"],
        ),
    ];
    for (plugin, exports, imports) in cases {
        let component = built(plugin);
        wasmparser::validate(&component).unwrap();
        let mut seen = look(&component);
        assert_eq!(seen.manifests.len(), 1, "{plugin}");
        let manifest: Manifest = serde_json::from_slice(&seen.manifests[0]).unwrap();
        assert_eq!(manifest.id.as_str(), plugin);
        seen.exports.sort();
        assert_eq!(seen.exports, exports, "{plugin}");
        let mut ours: Vec<_> = seen.imports.iter().filter(|name| name.starts_with("fief:")).collect();
        ours.sort();
        assert_eq!(ours, imports, "{plugin}");
        let other: Vec<_> = seen.imports.iter().filter(|name| !name.starts_with("fief:")).collect();
        let known: &[&str] = match plugin.starts_with("migration-") {
            true => &["wasi:io/", "wasi:cli/"],
            false => &["wasi:io/", "wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:random/"],
        };
        assert!(other.iter().all(|name| known.iter().any(|package| name.starts_with(package))), "{plugin}: {other:?}");
    }
}
