//! The macros that turn a crate into a plugin: its exports, and its manifest as a custom section.

/// Declares the plugin: what it implements, and what it says of itself.
///
/// ```text
/// fief_sdk::plugin! {
///     storage: StorageFile with snapshots, clones, block(Device);      // or `network: HostOnly;`, `migration: Live;`
///     id: "storage-file",
///     summary: "volumes as image files in a directory",
///     permissions: [
///         Permission::interface(Interface::Images, "makes and changes image files"),
///     ],
/// }
/// ```
/// The settings are those of the trait's `Settings`; the version is that of the crate. A declaration that no host would
/// take (a bad id, a permission without a reason) does not compile.
#[macro_export]
macro_rules! plugin {
    (
        storage: $plugin:ident $(with $($ability:ident $(($device:ident))?),+)?;
        id: $id:expr, summary: $summary:expr, permissions: [$($permission:expr),* $(,)?] $(,)?
    ) => {
        $crate::export!(storage $plugin);
        $($($crate::__ability!($ability $plugin $($device)?);)+)?
        $crate::manifest!($crate::manifest::Manifest {
            id: $id,
            version: ::std::env!("CARGO_PKG_VERSION"),
            kind: $crate::manifest::Kind::Storage,
            summary: $summary,
            settings: <<$plugin as $crate::storage::StorageBackend>::Settings as $crate::settings::Settings>::SCHEMA,
            permissions: &[$($permission),*],
        });
    };
    (
        network: $plugin:ident;
        id: $id:expr, summary: $summary:expr, permissions: [$($permission:expr),* $(,)?] $(,)?
    ) => {
        $crate::export!(network $plugin);
        $crate::manifest!($crate::manifest::Manifest {
            id: $id,
            version: ::std::env!("CARGO_PKG_VERSION"),
            kind: $crate::manifest::Kind::Network,
            summary: $summary,
            settings: <<$plugin as $crate::network::NetworkMode>::Settings as $crate::settings::Settings>::SCHEMA,
            permissions: &[$($permission),*],
        });
    };
    (
        migration: $plugin:ident;
        id: $id:expr, summary: $summary:expr, permissions: [$($permission:expr),* $(,)?] $(,)?
    ) => {
        $crate::export!(migration $plugin);
        $crate::manifest!($crate::manifest::Manifest {
            id: $id,
            version: ::std::env!("CARGO_PKG_VERSION"),
            kind: $crate::manifest::Kind::Migration,
            summary: $summary,
            settings: <<$plugin as $crate::migration::MigrationStrategy>::Settings as $crate::settings::Settings>::SCHEMA,
            permissions: &[$($permission),*],
        });
    };
}

/// Exports one interface of a type, without a manifest: `export!(storage MyType)`. [`plugin!`] does this for you.
///
/// Off WebAssembly, where a plugin's unit tests run, it only checks that the type implements the trait.
#[macro_export]
macro_rules! export {
    (storage $plugin:ident) => {
        $crate::export!(@ backend, $crate::storage::StorageBackend, $plugin);
    };
    (snapshots $plugin:ident) => {
        $crate::export!(@ snapshots, $crate::storage::Snapshots, $plugin);
    };
    (clones $plugin:ident) => {
        $crate::export!(@ clones, $crate::storage::Clones, $plugin);
    };
    (renames $plugin:ident) => {
        $crate::export!(@ renames, $crate::storage::Renames, $plugin);
    };
    (notes $plugin:ident) => {
        $crate::export!(@ notes, $crate::storage::Notes, $plugin);
    };
    (fences $plugin:ident) => {
        $crate::export!(@ fences, $crate::storage::Fences, $plugin);
    };
    (block $device:ident) => {
        $crate::export!(@ block, $crate::block::BlockDevice, $device);
        $crate::export!(@ block_queue, $crate::block::BlockDevice, $device);
    };
    (calls $device:ident) => {
        $crate::export!(@ block, $crate::block::BlockDevice, $device);
    };
    (network $plugin:ident) => {
        $crate::export!(@ mode, $crate::network::NetworkMode, $plugin);
    };
    (migration $plugin:ident) => {
        $crate::export!(@ strategy, $crate::migration::MigrationStrategy, $plugin);
    };
    (@ $world:ident, $trait:path, $plugin:ident) => {
        const _: fn() = || {
            fn implements<T: $trait>() {}
            implements::<$plugin>();
        };
        // The canonical ABI asks for exported symbols.
        #[cfg(target_family = "wasm")]
        const _: () = {
            $crate::bindings::$world::export!($plugin with_types_in $crate::bindings::$world);
        };
    };
}

/// `block` alone is implemented by a type of its own. As `calls` it goes without `block-queue`: a host is to serve that, too.
#[doc(hidden)]
#[macro_export]
macro_rules! __ability {
    (block $plugin:ident $device:ident) => {
        $crate::export!(block $device);
    };
    (calls $plugin:ident $device:ident) => {
        $crate::export!(calls $device);
    };
    ($ability:ident $plugin:ident) => {
        $crate::export!($ability $plugin);
    };
}

/// Puts a manifest into the custom section `fief:manifest`. [`plugin!`] does this for you.
#[macro_export]
macro_rules! manifest {
    ($manifest:expr) => {
        const _: () = {
            // Names that an author's own constants do not have: items of a macro are seen by what is passed to it.
            const FIEF_MANIFEST: $crate::manifest::Manifest = $manifest.checked();
            const FIEF_LENGTH: usize = FIEF_MANIFEST.json_length();
            const FIEF_JSON: [u8; FIEF_LENGTH] = FIEF_MANIFEST.json();
            // A section of its own is asked for by an attribute that Rust counts as unsafe: two statics in one section
            // would be joined. The host refuses a manifest with anything after it.
            #[cfg(target_family = "wasm")]
            #[used]
            #[unsafe(link_section = "fief:manifest")]
            static SECTION: [u8; FIEF_LENGTH] = FIEF_JSON;
            #[cfg(not(target_family = "wasm"))]
            const _: [u8; FIEF_LENGTH] = FIEF_JSON;
        };
    };
}
