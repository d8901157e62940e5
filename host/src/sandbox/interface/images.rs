//! `fief:storage/images`: image operations in granted directories, done by the host.

use super::{mismatch, words};
use crate::sandbox::protocol::{Ask, Reply};
use crate::sandbox::room::Room;
use crate::sandbox::version::v0_1::fief::storage::images::{Host, Image, ImageSnapshot, SpaceInfo};
use crate::sandbox::version::v0_1::fief::storage::volumes::{self, Format, Preallocation};
use crate::sandbox::version::v0_1::fief::types::types::Error;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Room {
    pub(super) fn ask<T>(&self, ask: Ask, pick: impl FnOnce(Reply) -> wasmtime::Result<T>) -> Answer<T> {
        match self.host.ask(ask)? {
            Ok(reply) => pick(reply).map(Ok),
            Err(error) => Ok(Err(words::error(error))),
        }
    }
}

fn image(reply: Reply) -> wasmtime::Result<Image> {
    match reply {
        Reply::Image(facts) => Ok(words::image(facts)),
        Reply::Nothing
        | Reply::Snapshot(_)
        | Reply::Snapshots(_)
        | Reply::Space { .. }
        | Reply::Link(_)
        | Reply::Links(_)
        | Reply::Connection
        | Reply::Secret
        | Reply::Step(_) => mismatch(&reply),
    }
}

pub(super) fn nothing(reply: Reply) -> wasmtime::Result<()> {
    match reply {
        Reply::Nothing => Ok(()),
        Reply::Image(_)
        | Reply::Snapshot(_)
        | Reply::Snapshots(_)
        | Reply::Space { .. }
        | Reply::Link(_)
        | Reply::Links(_)
        | Reply::Connection
        | Reply::Secret
        | Reply::Step(_) => mismatch(&reply),
    }
}

impl volumes::Host for Room {}

impl Host for Room {
    fn create(
        &mut self,
        directory: String,
        path: String,
        format: Format,
        size: u64,
        preallocation: Preallocation,
        backing: Option<String>,
    ) -> Answer<Image> {
        let (format, preallocation) = (words::format_out(format), words::preallocation_out(preallocation));
        self.ask(Ask::ImageCreate { directory, path, format, size, preallocation, backing }, image)
    }
    fn inspect(&mut self, directory: String, path: String) -> Answer<Image> {
        self.ask(Ask::ImageInspect { directory, path }, image)
    }
    fn resize(&mut self, directory: String, path: String, size: u64) -> Answer<Image> {
        self.ask(Ask::ImageResize { directory, path, size }, image)
    }
    fn delete(&mut self, directory: String, path: String) -> Answer<()> {
        self.ask(Ask::ImageDelete { directory, path }, nothing)
    }
    fn rename(&mut self, directory: String, path: String, to: String) -> Answer<()> {
        self.ask(Ask::ImageRename { directory, path, to }, nothing)
    }
    fn copy(
        &mut self,
        directory: String,
        source: String,
        snapshot: Option<String>,
        target: String,
        format: Format,
    ) -> Answer<Image> {
        self.ask(Ask::ImageCopy { directory, source, snapshot, target, format: words::format_out(format) }, image)
    }
    fn snapshot_create(&mut self, directory: String, path: String, name: String) -> Answer<ImageSnapshot> {
        self.ask(Ask::SnapshotCreate { directory, path, name }, |reply| match reply {
            Reply::Snapshot(facts) => Ok(ImageSnapshot { name: facts.name, created: facts.created }),
            Reply::Nothing
            | Reply::Image(_)
            | Reply::Snapshots(_)
            | Reply::Space { .. }
            | Reply::Link(_)
            | Reply::Links(_)
            | Reply::Connection
            | Reply::Secret
            | Reply::Step(_) => mismatch(&reply),
        })
    }
    fn snapshot_delete(&mut self, directory: String, path: String, name: String) -> Answer<()> {
        self.ask(Ask::SnapshotDelete { directory, path, name }, nothing)
    }
    fn snapshot_revert(&mut self, directory: String, path: String, name: String) -> Answer<()> {
        self.ask(Ask::SnapshotRevert { directory, path, name }, nothing)
    }
    fn snapshots(&mut self, directory: String, path: String) -> Answer<Vec<ImageSnapshot>> {
        self.ask(Ask::Snapshots { directory, path }, |reply| match reply {
            Reply::Snapshots(all) => {
                Ok(all.into_iter().map(|facts| ImageSnapshot { name: facts.name, created: facts.created }).collect())
            }
            Reply::Nothing
            | Reply::Image(_)
            | Reply::Snapshot(_)
            | Reply::Space { .. }
            | Reply::Link(_)
            | Reply::Links(_)
            | Reply::Connection
            | Reply::Secret
            | Reply::Step(_) => mismatch(&reply),
        })
    }
    fn space(&mut self, directory: String) -> Answer<SpaceInfo> {
        self.ask(Ask::Space { directory }, |reply| match reply {
            Reply::Space { capacity, available } => Ok(SpaceInfo { capacity, available }),
            Reply::Nothing
            | Reply::Image(_)
            | Reply::Snapshot(_)
            | Reply::Snapshots(_)
            | Reply::Link(_)
            | Reply::Links(_)
            | Reply::Connection
            | Reply::Secret
            | Reply::Step(_) => mismatch(&reply),
        })
    }
}
