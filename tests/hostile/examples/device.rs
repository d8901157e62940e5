//! Serves volumes, of which each misbehaves in its own way, and takes its requests itself.

#[path = "device/volumes.rs"]
mod volumes;

use volumes::Device;

hostile::backend!(|_| Ok(Vec::new()), hostile::calm::create, |_, _| Ok(()));

fief_sdk::plugin! {
    storage: Hostile with block(Device);
    id: "hostile-device",
    summary: "misbehaves, for a test",
    permissions: [
        fief_sdk::Permission::interface(fief_sdk::Interface::Images, "misuses it"),
        fief_sdk::Permission::directory(fief_sdk::DirectoryAccess::ReadWrite, "tries to leave it"),
    ],
}
