//! Says that it is a network plugin, and is one for storage.

use fief_sdk::manifest::{Kind, Manifest};

hostile::backend!(|_| Ok(Vec::new()), hostile::calm::create, |_, _| Ok(()));

fief_sdk::export!(storage Hostile);
fief_sdk::manifest!(Manifest {
    id: "hostile-wrong-kind",
    version: "1.0.0",
    kind: Kind::Network,
    summary: "misbehaves, for a test",
    settings: &[],
    permissions: &[],
});
