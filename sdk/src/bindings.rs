//! Generated from `wit/`. One world for what every host gives, and one for each interface that a plugin may export:
//! the linker joins the worlds of the `export!` macros that a plugin really calls, so a component exports what its
//! author implemented and imports what its code uses, and nothing else.
//!
//! The generated code is the only place of the SDK that needs `unsafe` (the canonical ABI of the component model).
#![allow(unreachable_pub, missing_docs, clippy::all)]

/// The macros below read these files without telling the compiler that they did.
const _: [&str; 4] = [
    include_str!("../../wit/types/types.wit"),
    include_str!("../../wit/storage/storage.wit"),
    include_str!("../../wit/network/network.wit"),
    include_str!("../../wit/migration/migration.wit"),
];

/// Host interfaces, and the words that all interfaces share.
pub mod host {
    wit_bindgen::generate!({
        inline: "
            package fief:sdk;
            world host {
                import fief:types/types@0.1.0;
                import fief:types/log@0.1.0;
                import fief:types/timer@0.1.0;
                import fief:storage/volumes@0.1.0;
                import fief:storage/images@0.1.0;
                import fief:storage/connections@0.1.0;
                import fief:storage/secrets@0.1.0;
                import fief:storage/files@0.1.0;
                import fief:storage/payloads@0.1.0;
                import fief:storage/requests@0.1.0;
                import fief:network/bridges@0.1.0;
                import fief:migration/session@0.1.0;
            }
        ",
        path: ["../wit/types", "../wit/storage", "../wit/network", "../wit/migration"],
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
        // Of handles there are no two that are equal.
        additional_derives_ignore: ["write-payload", "act", "request"],
    });
}

pub mod backend {
    wit_bindgen::generate!({
        inline: "package fief:sdk; world backend { export fief:storage/backend@0.1.0; }",
        path: ["../wit/types", "../wit/storage"],
        with: {
            "fief:types/types@0.1.0": crate::bindings::host::fief::types::types,
            "fief:storage/volumes@0.1.0": crate::bindings::host::fief::storage::volumes,
        },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "fief_sdk::bindings::backend",
    });
}

pub mod snapshots {
    wit_bindgen::generate!({
        inline: "package fief:sdk; world snapshots { export fief:storage/snapshots@0.1.0; }",
        path: ["../wit/types", "../wit/storage"],
        with: {
            "fief:types/types@0.1.0": crate::bindings::host::fief::types::types,
            "fief:storage/volumes@0.1.0": crate::bindings::host::fief::storage::volumes,
        },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "fief_sdk::bindings::snapshots",
    });
}

pub mod clones {
    wit_bindgen::generate!({
        inline: "package fief:sdk; world clones { export fief:storage/clones@0.1.0; }",
        path: ["../wit/types", "../wit/storage"],
        with: {
            "fief:types/types@0.1.0": crate::bindings::host::fief::types::types,
            "fief:storage/volumes@0.1.0": crate::bindings::host::fief::storage::volumes,
        },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "fief_sdk::bindings::clones",
    });
}

pub mod renames {
    wit_bindgen::generate!({
        inline: "package fief:sdk; world renames { export fief:storage/renames@0.1.0; }",
        path: ["../wit/types", "../wit/storage"],
        with: {
            "fief:types/types@0.1.0": crate::bindings::host::fief::types::types,
            "fief:storage/volumes@0.1.0": crate::bindings::host::fief::storage::volumes,
        },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "fief_sdk::bindings::renames",
    });
}

pub mod notes {
    wit_bindgen::generate!({
        inline: "package fief:sdk; world notes { export fief:storage/notes@0.1.0; }",
        path: ["../wit/types", "../wit/storage"],
        with: {
            "fief:types/types@0.1.0": crate::bindings::host::fief::types::types,
            "fief:storage/volumes@0.1.0": crate::bindings::host::fief::storage::volumes,
        },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "fief_sdk::bindings::notes",
    });
}

pub mod fences {
    wit_bindgen::generate!({
        inline: "package fief:sdk; world fences { export fief:storage/fences@0.1.0; }",
        path: ["../wit/types", "../wit/storage"],
        with: {
            "fief:types/types@0.1.0": crate::bindings::host::fief::types::types,
            "fief:storage/volumes@0.1.0": crate::bindings::host::fief::storage::volumes,
        },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "fief_sdk::bindings::fences",
    });
}

pub mod block {
    wit_bindgen::generate!({
        inline: "package fief:sdk; world block { export fief:storage/block@0.1.0; }",
        path: ["../wit/types", "../wit/storage"],
        with: {
            "fief:types/types@0.1.0": crate::bindings::host::fief::types::types,
            "fief:storage/volumes@0.1.0": crate::bindings::host::fief::storage::volumes,
        },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "fief_sdk::bindings::block",
    });
}

pub mod block_queue {
    wit_bindgen::generate!({
        inline: "package fief:sdk; world block-queue { export fief:storage/block-queue@0.1.0; }",
        path: ["../wit/types", "../wit/storage"],
        pub_export_macro: true,
        default_bindings_module: "fief_sdk::bindings::block_queue",
    });
}

pub mod mode {
    wit_bindgen::generate!({
        inline: "package fief:sdk; world mode { export fief:network/mode@0.1.0; }",
        path: ["../wit/types", "../wit/network"],
        with: { "fief:types/types@0.1.0": crate::bindings::host::fief::types::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "fief_sdk::bindings::mode",
    });
}

pub mod strategy {
    wit_bindgen::generate!({
        inline: "package fief:sdk; world strategy { export fief:migration/strategy@0.1.0; }",
        path: ["../wit/types", "../wit/migration"],
        with: {
            "fief:types/types@0.1.0": crate::bindings::host::fief::types::types,
            "fief:migration/session@0.1.0": crate::bindings::host::fief::migration::session,
        },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "fief_sdk::bindings::strategy",
    });
}
