//! The bindings of `fief:{types,storage,network,migration}@0.1.0`, both halves, made from `wit/`.
//!
//! One world holds all kinds: which of its exports a plugin must have is checked by kind in `load.rs`.

wasmtime::component::bindgen!({
    inline: "
        package fief:host;
        world room {
            import fief:types/log@0.1.0;
            import fief:types/timer@0.1.0;
            import fief:storage/images@0.1.0;
            import fief:storage/connections@0.1.0;
            import fief:storage/secrets@0.1.0;
            import fief:storage/directories@0.1.0;
            import fief:storage/files@0.1.0;
            import fief:storage/payloads@0.1.0;
            import fief:storage/requests@0.1.0;
            import fief:network/bridges@0.1.0;
            import fief:migration/session@0.1.0;
            export fief:storage/backend@0.1.0;
            export fief:storage/snapshots@0.1.0;
            export fief:storage/clones@0.1.0;
            export fief:storage/renames@0.1.0;
            export fief:storage/fences@0.1.0;
            export fief:storage/notes@0.1.0;
            export fief:storage/block@0.1.0;
            export fief:storage/block-queue@0.1.0;
            export fief:network/mode@0.1.0;
            export fief:migration/strategy@0.1.0;
        }
    ",
    path: ["../wit/types", "../wit/storage", "../wit/network", "../wit/migration"],
    world: "fief:host/room",
    with: {
        "fief:storage/connections.connection": crate::sandbox::interface::Stream,
        "fief:storage/files.file": crate::sandbox::interface::Open,
        "fief:storage/payloads.payload": crate::sandbox::interface::Payload,
        "fief:migration/session.migration": crate::sandbox::interface::Move,
    },
    imports: {
        // Plain functions whose work is waiting: the plugin waits for them, this process does not.
        "fief:storage/connections@0.1.0.[static]connection.open": async | trappable,
        "fief:storage/connections@0.1.0.[method]connection.read": async | trappable,
        "fief:storage/connections@0.1.0.[method]connection.write": async | trappable,
        "fief:storage/secrets@0.1.0.reveal": async | trappable,
        default: trappable,
    },
    exports: {
        // Called while other calls are under way.
        "fief:storage/block@0.1.0.[method]device.geometry": async | store,
        default: async,
    },
});
