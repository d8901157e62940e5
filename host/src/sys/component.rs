//! Loading of a compiled component: machine code that the engine trusts without checking it.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use wasmtime::Engine;
use wasmtime::component::Component;

/// Maps a compiled component from an open file. The file must have been written by fief's own compiler into the
/// cache that only the owner of the root can write (`plugin/cache.rs` checks owner and mode before it opens it).
///
/// # Errors
/// The engine's, where the file was compiled by another version or for another processor.
pub fn load(engine: &Engine, file: BorrowedFd<'_>) -> wasmtime::Result<Component> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the bytes come from `Engine::precompile_component` in a process of ours and nobody but the owner of
    // the root can change them (the host checked that on the very descriptor); the engine checks its own version
    // and settings. Cache files are replaced by rename, never written in place, so the mapping does not change.
    unsafe { Component::deserialize_file(engine, path) }
}
