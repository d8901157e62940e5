//! Components that no compiler makes: a well-behaved one with something appended. A component is a row of sections in
//! any order (Component Model, Binary.md), so what is appended is a part of it like any other.

use std::path::Path;

use wasmparser::{Parser, Payload};

/// Sections of a component (Binary.md, "Component Definitions").
const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const CORE_INSTANCE: u8 = 2;

pub(crate) struct Tail<'a> {
    component: &'a [u8],
}

impl<'a> Tail<'a> {
    pub(crate) fn of(component: &'a [u8]) -> Self {
        Tail { component }
    }

    /// With a core module of `tests/hostile/wat` and so many instances of it.
    pub(crate) fn module(&self, name: &str, instances: u32) -> Vec<u8> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile/wat").join(format!("{name}.wat"));
        let module = wat::parse_file(&path).unwrap();
        let mut bytes = self.component.to_vec();
        section(&mut bytes, CORE_MODULE, &module);
        let mut all = leb(instances);
        for _ in 0..instances {
            // Instantiate (0x00) this module with no arguments.
            all.push(0);
            all.extend(leb(self.modules()));
            all.push(0);
        }
        section(&mut bytes, CORE_INSTANCE, &all);
        bytes
    }

    /// With a custom section more.
    pub(crate) fn custom(&self, name: &str, data: &[u8]) -> Vec<u8> {
        let mut content = leb(u32::try_from(name.len()).unwrap());
        content.extend_from_slice(name.as_bytes());
        content.extend_from_slice(data);
        let mut bytes = self.component.to_vec();
        section(&mut bytes, CUSTOM, &content);
        bytes
    }

    /// Core modules of the component itself; the next one has this number.
    fn modules(&self) -> u32 {
        let (mut depth, mut count) = (0_u32, 0);
        for payload in Parser::new(0).parse_all(self.component) {
            match payload.unwrap() {
                Payload::ModuleSection { .. } => {
                    count += u32::from(depth == 0);
                    depth += 1;
                }
                Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        count
    }
}

fn section(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    bytes.extend(leb(u32::try_from(content.len()).unwrap()));
    bytes.extend_from_slice(content);
}

/// Unsigned LEB128.
fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}
