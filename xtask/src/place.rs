//! Where things lie in the tree and below `target/`.

use std::path::PathBuf;

/// The workspace, from where this crate was compiled.
pub(crate) fn workspace() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path
}

/// `target/`, or what `CARGO_TARGET_DIR` says.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => workspace().join(directory),
        None => workspace().join("target"),
    }
}

/// Kernel, initramfs and disk images of the guests.
pub(crate) fn guest() -> PathBuf {
    target().join("guest")
}

/// The host's binary.
pub(crate) fn fief(profile: &str) -> PathBuf {
    target().join(profile).join("fief")
}

/// A plugin of the tree, as a component.
pub(crate) fn plugin(package: &str) -> PathBuf {
    target().join("wasm32-wasip2/release").join(format!("{}.wasm", package.replace('-', "_")))
}
