//! Uses a host interface that its manifest does not ask for.

use fief_sdk::manifest::{Kind, Manifest};

hostile::backend!(|_| Ok(Vec::new()), hostile::calm::create, |_, _| Ok(()));

fief_sdk::export!(storage Hostile);
fief_sdk::manifest!(Manifest {
    id: "hostile-unasked",
    version: "1.0.0",
    kind: Kind::Storage,
    summary: "misbehaves, for a test",
    settings: &[],
    permissions: &[],
});
