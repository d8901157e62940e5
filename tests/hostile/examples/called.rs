//! The same volumes as `device`, served by a call for each request.

#[path = "device/volumes.rs"]
mod volumes;

use volumes::Device;

hostile::backend!(|_| Ok(Vec::new()), hostile::calm::create, |_, _| Ok(()));

fief_sdk::plugin! {
    storage: Hostile with calls(Device);
    id: "hostile-called",
    summary: "misbehaves, for a test",
    permissions: [
        fief_sdk::Permission::interface(fief_sdk::Interface::Images, "misuses it"),
        fief_sdk::Permission::directory(fief_sdk::DirectoryAccess::ReadWrite, "tries to leave it"),
    ],
}
