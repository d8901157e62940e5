//! Has two manifests, which the linker joins into one section.

use fief_sdk::manifest::{Kind, Manifest};

hostile::backend!(|_| Ok(Vec::new()), hostile::calm::create, |_, _| Ok(()));

const MANIFEST: Manifest = Manifest {
    id: "hostile-stammer",
    version: "1.0.0",
    kind: Kind::Storage,
    summary: "misbehaves, for a test",
    settings: &[],
    permissions: &[fief_sdk::Permission::interface(fief_sdk::Interface::Images, "misuses it")],
};

fief_sdk::export!(storage Hostile);
fief_sdk::manifest!(MANIFEST);
fief_sdk::manifest!(MANIFEST);
