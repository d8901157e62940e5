//! Asks for a secret that nobody granted.

use fief_sdk::manifest::{Kind, Manifest};

hostile::backend!(|_| Ok(Vec::new()), hostile::calm::create, |_, _| Ok(()));

fief_sdk::export!(storage Hostile);
fief_sdk::manifest!(Manifest {
    id: "hostile-greedy",
    version: "1.0.0",
    kind: Kind::Storage,
    summary: "misbehaves, for a test",
    settings: &[],
    permissions: &[
        fief_sdk::Permission::interface(fief_sdk::Interface::Images, "misuses it"),
        fief_sdk::Permission::secret("root-password", "would like to know it"),
    ],
});
