//! What a plugin file is, read without running it: a component binary with its imports, its exports and the manifest.
//!
//! Nothing here validates the code; the compiler does that, in a sandbox.

use wasmparser::{Encoding, Parser, Payload};

use crate::error::{Failure, Result};
use crate::plugin::signature::{SIGNATURE_SECTION, is_signed};
use crate::plugin::text::printable;

/// Largest plugin, in bytes: ten times what a plugin with a whole language runtime inside takes.
pub const PLUGIN_MAX: usize = 64 << 20;
/// The custom section that holds the manifest.
pub const MANIFEST_SECTION: &str = "fief:manifest";
/// Longest manifest, in bytes.
const MANIFEST_MAX: usize = 64 << 10;
/// Components and modules within each other: an SDK plugin has two levels.
const DEPTH_MAX: usize = 8;
/// Most imports or exports of a component: an SDK plugin has about thirty.
const NAMES_MAX: usize = 512;

/// The parts of a component that concern the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// The manifest's JSON.
    pub manifest: Vec<u8>,
}

/// # Errors
/// `Usage` with the one cause that fits: what the file is instead, or where it breaks off.
pub fn read(bytes: &[u8]) -> Result<Component> {
    recognize(bytes)?;
    let torn = |error: wasmparser::BinaryReaderError| {
        Failure::usage("the component is damaged or cut off").because(error).hint("build or download the plugin again")
    };
    let (mut imports, mut exports, mut manifests) = (Vec::new(), Vec::new(), Vec::new());
    let (mut depth, mut signatures) = (0_usize, 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(torn)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(core_module()),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Failure::usage(format!("the component nests more than {DEPTH_MAX} levels")));
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(torn)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(torn)?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => manifests.push(section.data()),
            Payload::CustomSection(section) if section.name() == SIGNATURE_SECTION => signatures += 1,
            // Code, data, types and other custom sections: for the compiler.
            _ => {}
        }
        if imports.len() > NAMES_MAX || exports.len() > NAMES_MAX {
            return Err(Failure::usage(format!("the component has more than {NAMES_MAX} imports or exports")));
        }
    }
    if signatures > usize::from(is_signed(bytes)) {
        return Err(Failure::usage("the component has a signature that is not its last section")
            .hint("sign it again: `fief plugin sign`"));
    }
    let manifest = match manifests[..] {
        [] => {
            return Err(Failure::usage(format!("the component has no section {MANIFEST_SECTION}"))
                .hint("build it with fief's SDK, which puts the manifest there"));
        }
        [manifest] if manifest.len() <= MANIFEST_MAX => manifest.to_vec(),
        [manifest] => {
            return Err(Failure::usage(format!(
                "the manifest is {} bytes long, at most {MANIFEST_MAX} are allowed",
                manifest.len()
            )));
        }
        _ => {
            return Err(Failure::usage(format!(
                "the component has {} sections {MANIFEST_SECTION}, exactly one is allowed",
                manifests.len()
            )));
        }
    };
    Ok(Component { imports, exports, manifest })
}

fn core_module() -> Failure {
    Failure::usage("this is a core WebAssembly module, not a component").hint("build it with --target wasm32-wasip2")
}

/// Tells a component from what else people hand over, by its first bytes (Component Model, Binary.md: magic,
/// version 13, layer 1).
fn recognize(bytes: &[u8]) -> Result<()> {
    if bytes.len() > PLUGIN_MAX {
        return Err(Failure::usage(format!(
            "the file is {} MiB large, at most {} MiB are allowed",
            bytes.len() >> 20,
            PLUGIN_MAX >> 20
        )));
    }
    match bytes {
        [] => Err(Failure::usage("the file is empty")),
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(core_module()),
        [0, b'a', b's', b'm', version @ ..] if version.len() >= 4 => {
            Err(Failure::usage(format!("this is WebAssembly of an unknown version ({:02x?})", &version[..4])))
        }
        [0, b'a', b's', b'm', ..] => {
            Err(Failure::usage("the component is damaged or cut off").hint("build or download the plugin again"))
        }
        [0x7f, b'E', b'L', b'F', ..] => Err(Failure::usage("this is compiled machine code, not a component")
            .hint("install the .wasm file; fief compiles it itself and loads no other machine code")),
        [b'P', b'K', 3, 4, ..] | [0x1f, 0x8b, ..] => {
            Err(Failure::usage("this is an archive, not a component").hint("unpack it and install the .wasm file"))
        }
        _ if bytes.trim_ascii_start().starts_with(b"(") || bytes.trim_ascii_start().starts_with(b";;") => {
            Err(Failure::usage("this is WebAssembly text, not a binary").hint("compile it with wasm-tools parse"))
        }
        _ => Err(Failure::usage(format!(
            "this is not a WebAssembly component (it begins {:?})",
            printable(&String::from_utf8_lossy(&bytes[..bytes.len().min(8)]))
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn wat(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn what_is_no_component_is_refused_by_what_it_is() {
        let whole = wat(r#"(component (@custom "fief:manifest" "{}"))"#);
        let mut trailing = whole.clone();
        trailing.extend_from_slice(b"garbage");
        let twice = wat(r#"(component (@custom "fief:manifest" "{}") (core module (@custom "fief:manifest" "{}")))"#);
        let long = wat(&format!(r#"(component (@custom "fief:manifest" "{}"))"#, "x".repeat(MANIFEST_MAX + 1)));
        let deep = wat(&format!("(component {} {})", "(component ".repeat(9), ")".repeat(9)));
        let cases: [(&[u8], &str); 15] = [
            (b"", "the file is empty"),
            (&wat("(module)"), "core WebAssembly module"),
            (b"(component)", "WebAssembly text"),
            (b" ;; a comment\n(component)", "WebAssembly text"),
            (b"\x7fELF\x02\x01\x01", "compiled machine code"),
            (b"PK\x03\x04zip", "an archive"),
            (b"\x1f\x8bgzip", "an archive"),
            (b"#!/bin/sh\n", "not a WebAssembly component"),
            (b"\0as", "not a WebAssembly component"),
            (b"\0asm\x0d", "damaged or cut off"),
            (b"\0asm\x63\0\x01\0", "unknown version"),
            (&whole[..whole.len() - 2], "damaged or cut off"),
            (&trailing, "damaged or cut off"),
            (&twice, "exactly one is allowed"),
            (&wat("(component)"), "no section fief:manifest"),
        ];
        for (bytes, cause) in cases.into_iter().chain([(&long[..], "bytes long"), (&deep[..], "nests more")]) {
            let failure = read(bytes).unwrap_err();
            assert_eq!(failure.kind, Kind::Usage);
            assert!(failure.to_string().contains(cause), "{failure} does not say {cause:?}");
        }
    }

    #[test]
    fn a_file_cut_at_any_byte_is_refused_without_a_panic() {
        let whole = wat(
            r#"(component (import "fief:types/log@0.1.0" (instance)) (core module (memory 1) (@custom "fief:manifest" "{}")))"#,
        );
        assert!(read(&whole).is_ok());
        for end in 0..whole.len() {
            // A cut between two sections leaves a component that merely lacks its manifest or an import.
            if let Ok(component) = read(&whole[..end]) {
                assert_eq!(component.manifest, b"{}", "cut at {end}");
            }
        }
    }

    #[test]
    fn only_the_outermost_imports_and_exports_count() {
        let bytes = wat(r#"(component
            (import "outer" (instance))
            (component (import "inner" (instance)))
            (core module (@custom "fief:manifest" "{\"here\":1}") (import "core" "f" (func)) (func (export "g")))
            (instance $i) (export "out" (instance $i)))"#);
        let component = read(&bytes).unwrap();
        assert_eq!(component.imports, ["outer"]);
        assert_eq!(component.exports, ["out"]);
        assert_eq!(component.manifest, br#"{"here":1}"#);
    }
}
