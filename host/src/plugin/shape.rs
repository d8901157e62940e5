//! Which answer belongs to which call, and what a call is named to people.

use crate::gate::operation::Purpose;
use crate::sandbox::protocol::{Call, MigrationCall, NetworkCall, Return, StorageCall};

/// The variant of [`Return`] that a call has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Nothing,
    PoolInfo,
    Volume,
    Volumes,
    Attachment,
    Snapshot,
    Snapshots,
    Fence,
    Notes,
    Port,
    Findings,
    Outcome,
}

pub(super) fn of(call: &Call) -> Shape {
    match call {
        Call::Storage { function, .. } => match function {
            StorageCall::Info => Shape::PoolInfo,
            StorageCall::All => Shape::Volumes,
            StorageCall::Find { .. }
            | StorageCall::Create { .. }
            | StorageCall::Resize { .. }
            | StorageCall::Clone { .. }
            | StorageCall::Rename { .. } => Shape::Volume,
            StorageCall::Attach { .. } => Shape::Attachment,
            StorageCall::SnapshotCreate { .. } => Shape::Snapshot,
            StorageCall::Snapshots { .. } => Shape::Snapshots,
            StorageCall::FenceShow { .. } | StorageCall::FenceTake { .. } => Shape::Fence,
            StorageCall::Notes { .. } => Shape::Notes,
            StorageCall::Delete { .. }
            | StorageCall::Detach { .. }
            | StorageCall::SnapshotDelete { .. }
            | StorageCall::SnapshotRevert { .. }
            | StorageCall::FenceRelease { .. }
            | StorageCall::NoteLeave { .. }
            | StorageCall::NoteRemove { .. } => Shape::Nothing,
        },
        Call::Network { function, .. } => match function {
            NetworkCall::Up => Shape::Nothing,
            NetworkCall::Plug { .. } => Shape::Port,
            NetworkCall::Check => Shape::Findings,
        },
        Call::Migration { function, .. } => match function {
            MigrationCall::Check => Shape::Findings,
            MigrationCall::Run => Shape::Outcome,
        },
    }
}

pub(super) fn of_return(given: &Return) -> Shape {
    match given {
        Return::Nothing => Shape::Nothing,
        Return::PoolInfo { .. } => Shape::PoolInfo,
        Return::Volume(_) => Shape::Volume,
        Return::Volumes(_) => Shape::Volumes,
        Return::Attachment(_) => Shape::Attachment,
        Return::Snapshot(_) => Shape::Snapshot,
        Return::Snapshots(_) => Shape::Snapshots,
        Return::Fence(_) => Shape::Fence,
        Return::Notes(_) => Shape::Notes,
        Return::Port(_) => Shape::Port,
        Return::Findings(_) => Shape::Findings,
        Return::Outcome(_) => Shape::Outcome,
    }
}

pub(super) const fn is_of_storage(call: &Call) -> bool {
    match call {
        Call::Storage { .. } => true,
        Call::Network { .. } | Call::Migration { .. } => false,
    }
}

/// Whether a call only asks, or changes something where the volumes are.
pub(super) fn purpose(call: &Call) -> Purpose {
    match call {
        Call::Storage { function, .. } => match function {
            StorageCall::Info
            | StorageCall::All
            | StorageCall::Find { .. }
            | StorageCall::Attach { .. }
            | StorageCall::Detach { .. }
            | StorageCall::Snapshots { .. }
            | StorageCall::FenceShow { .. }
            | StorageCall::Notes { .. } => Purpose::Ask,
            StorageCall::Create { .. }
            | StorageCall::Delete { .. }
            | StorageCall::Resize { .. }
            | StorageCall::SnapshotCreate { .. }
            | StorageCall::SnapshotDelete { .. }
            | StorageCall::SnapshotRevert { .. }
            | StorageCall::Clone { .. }
            | StorageCall::Rename { .. }
            | StorageCall::FenceTake { .. }
            | StorageCall::FenceRelease { .. }
            | StorageCall::NoteLeave { .. }
            | StorageCall::NoteRemove { .. } => Purpose::Change,
        },
        Call::Network { .. } => Purpose::Change,
        Call::Migration { function, .. } => match function {
            MigrationCall::Check => Purpose::Ask,
            MigrationCall::Run => Purpose::Change,
        },
    }
}

/// The function's name in the WIT package.
pub(super) fn name(call: &Call) -> &'static str {
    match call {
        Call::Storage { function, .. } => match function {
            StorageCall::Info => "backend.info",
            StorageCall::All => "backend.all",
            StorageCall::Find { .. } => "backend.find",
            StorageCall::Create { .. } => "backend.create",
            StorageCall::Delete { .. } => "backend.delete",
            StorageCall::Resize { .. } => "backend.resize",
            StorageCall::Attach { .. } => "backend.attach",
            StorageCall::Detach { .. } => "backend.detach",
            StorageCall::SnapshotCreate { .. } => "snapshots.create",
            StorageCall::SnapshotDelete { .. } => "snapshots.delete",
            StorageCall::SnapshotRevert { .. } => "snapshots.revert",
            StorageCall::Snapshots { .. } => "snapshots.all",
            StorageCall::Clone { .. } => "clones.clone",
            StorageCall::Rename { .. } => "renames.rename",
            StorageCall::FenceShow { .. } => "fences.show",
            StorageCall::FenceTake { .. } => "fences.take",
            StorageCall::FenceRelease { .. } => "fences.release",
            StorageCall::Notes { .. } => "notes.read",
            StorageCall::NoteLeave { .. } => "notes.leave",
            StorageCall::NoteRemove { .. } => "notes.remove",
        },
        Call::Network { function, .. } => match function {
            NetworkCall::Up => "mode.up",
            NetworkCall::Plug { .. } => "mode.plug",
            NetworkCall::Check => "mode.check",
        },
        Call::Migration { function, .. } => match function {
            MigrationCall::Check => "strategy.check",
            MigrationCall::Run => "strategy.run",
        },
    }
}
