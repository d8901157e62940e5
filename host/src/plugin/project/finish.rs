//! From what a compiler made to a plugin: wrapped as a component where it is a core module, and with its manifest.

use wasm_encoder::{CustomSection, Encode, Section};
use wasmparser::{ComponentExternalKind, Parser, Payload};
use wit_component::ComponentEncoder;

use crate::error::{Context, Failure, Result};
use crate::plugin::component::MANIFEST_SECTION;
use crate::plugin::{Manifest, package, printable, signature};

/// The first bytes of a core module (WebAssembly 1.0, 5.5.16).
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// The plugin that a component, or a core module that says of what world it is, becomes with that manifest. It is held against
/// the world of its kind, as an installation does. `shown` is where the bytes came from.
///
/// # Errors
/// `Usage` where it is none, has a manifest or a signature already, or is not what its manifest says.
pub fn finish(bytes: &[u8], manifest: &Manifest, shown: &str) -> Result<Vec<u8>> {
    if signature::is_signed(bytes) {
        return Err(Failure::usage(format!("{shown} is signed, and what is put into it would end that"))
            .hint("fief plugin sign comes after the manifest"));
    }
    let mut plugin = if bytes.starts_with(MODULE) { component(bytes, shown)? } else { without_strays(bytes, shown)? };
    let json = serde_json::to_vec(manifest).context(|| "cannot write the manifest".to_owned())?;
    let section = CustomSection { name: MANIFEST_SECTION.into(), data: json.into() };
    plugin.push(section.id());
    section.encode(&mut plugin);
    package::checked(&plugin, shown)?;
    Ok(plugin)
}

fn component(module: &[u8], shown: &str) -> Result<Vec<u8>> {
    let encoded = ComponentEncoder::default().validate(true).module(module).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| {
        let mut failure = Failure::usage(format!("{shown} makes no component"));
        failure.causes.push(printable(&format!("{error:#}")));
        failure.hint("it exports what its world says, and is linked with the object that says what world that is")
    })
}

/// The component without what it exports that is of no package: componentize-py leaves an interface `exports` there, by which it
/// looked at the component itself. Something takes the place of each, since what comes after is counted from there: an instance
/// with nothing in it, which nobody sees (Component Model, Binary.md: sections 5 and 11).
fn without_strays(component: &[u8], shown: &str) -> Result<Vec<u8>> {
    const EXPORTS: u8 = 11;
    const NOTHING: [u8; 5] = [5, 3, 1, 1, 0];
    let torn = |error: wasmparser::BinaryReaderError| Failure::usage(format!("{shown} is damaged")).because(error);
    let (mut kept, mut copied, mut depth) = (Vec::with_capacity(component.len()), 0, 0_usize);
    for payload in Parser::new(0).parse_all(component) {
        let section = match payload {
            Ok(Payload::ComponentExportSection(section)) if depth == 0 => section,
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => {
                depth += 1;
                continue;
            }
            Ok(Payload::End(_)) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            Ok(_) => continue,
            // What it is instead is told where all of it is looked at.
            Err(_) => break,
        };
        let range = section.range().start as usize..section.range().end as usize;
        let mut ends = Vec::new();
        for item in section.clone().into_iter_with_offsets() {
            let (start, export) = item.map_err(torn)?;
            let stray = export.kind == ComponentExternalKind::Instance && !export.name.name.contains(':');
            ends.push((start as usize, stray));
        }
        if !ends.iter().any(|(_, stray)| *stray) {
            continue;
        }
        // The section's head, its number and length, lies before its content.
        let before = range.start - 1 - leb128(range.len());
        if component[before] != EXPORTS {
            return Err(Failure::usage(format!("{shown} writes the lengths of its sections longer than they are")));
        }
        kept.extend(&component[copied..before]);
        for (index, (start, stray)) in ends.iter().enumerate() {
            let end = ends.get(index + 1).map_or(range.end, |(next, _)| *next);
            if *stray {
                kept.extend(NOTHING);
            } else {
                kept.push(EXPORTS);
                (1 + end - start).encode(&mut kept);
                kept.push(1);
                kept.extend(&component[*start..end]);
            }
        }
        copied = range.end;
    }
    kept.extend(&component[copied..]);
    Ok(kept)
}

/// Bytes that a number takes.
fn leb128(number: usize) -> usize {
    let mut bytes = Vec::new();
    number.encode(&mut bytes);
    bytes.len()
}
