//! Calls and answers, as a report tells of them. Texts of plugins are escaped.

use crate::plugin::printable;
use crate::sandbox::protocol::{
    AttachAccess, Attachment, CloneStyle, ErrorCode, Fence, Holder, Return, StorageCall, VolumeFacts,
};

/// Volumes of a list that are told by name.
const LISTED: usize = 12;

/// `create a, 1048576 bytes, raw`.
pub(super) fn call(function: &StorageCall) -> String {
    match function {
        StorageCall::Info => "info".to_owned(),
        StorageCall::All => "all".to_owned(),
        StorageCall::Find { name } => format!("find {name}"),
        StorageCall::Create { name, size, format, preallocation: _ } => {
            format!("create {name}, {size} bytes, {}", format.as_str())
        }
        StorageCall::Delete { name } => format!("delete {name}"),
        StorageCall::Resize { name, size } => format!("resize {name}, {size} bytes"),
        StorageCall::Attach { name, access } => format!("attach {name}, {}", access_word(*access)),
        StorageCall::Detach { name } => format!("detach {name}"),
        StorageCall::SnapshotCreate { volume, name } => format!("snapshots.create {volume}, {name}"),
        StorageCall::SnapshotDelete { volume, name } => format!("snapshots.delete {volume}, {name}"),
        StorageCall::SnapshotRevert { volume, name } => format!("snapshots.revert {volume}, {name}"),
        StorageCall::Snapshots { volume } => format!("snapshots.all {volume}"),
        StorageCall::Clone { source, snapshot, target, style } => {
            let of = snapshot.as_ref().map(|snapshot| format!(" of its snapshot {snapshot}")).unwrap_or_default();
            format!("clone {source}{of} as {target}, {}", style_word(*style))
        }
        StorageCall::Rename { name, to } => format!("rename {name} to {to}"),
        StorageCall::Notes { volume } => format!("notes.read {volume}"),
        StorageCall::NoteLeave { volume, note } => format!("notes.leave {volume}, {note:#x}"),
        StorageCall::NoteRemove { volume, note } => format!("notes.remove {volume}, {note:#x}"),
        StorageCall::FenceShow { volume } => format!("fences.show {volume}"),
        StorageCall::FenceTake { volume, holder: by, force } => {
            format!("fences.take {volume}, {}{}", holder(by), if *force { ", by force" } else { "" })
        }
        StorageCall::FenceRelease { volume, holder: by } => format!("fences.release {volume}, {}", holder(by)),
    }
}

pub(super) fn answer(answer: &Return) -> String {
    match answer {
        Return::Nothing => "success".to_owned(),
        Return::PoolInfo { identity, capacity, available, max_name, reachable_from_peers: _ } => format!(
            "identity {}, capacity {}, available {}, max-name {max_name}",
            printable(identity),
            bytes(*capacity),
            bytes(*available)
        ),
        Return::Volume(facts) => format!("the volume {}", volume(facts)),
        Return::Volumes(all) => {
            let shown: Vec<String> = all.iter().take(LISTED).map(volume).collect();
            format!("{} volumes: {}", all.len(), shown.join("; "))
        }
        Return::Attachment(Attachment::File { directory, path, .. }) => {
            format!("the file {} in {}", printable(path), printable(directory))
        }
        Return::Attachment(other) => printable(&format!("{other:?}")),
        Return::Snapshot(facts) => format!("the snapshot {}", printable(&facts.name)),
        Return::Snapshots(all) => {
            let names: Vec<String> = all.iter().map(|one| printable(&one.name)).collect();
            format!("the snapshots {}", names.join(", "))
        }
        Return::Fence(told) => fence(told),
        Return::Notes(all) => {
            let all: Vec<String> = all.iter().map(|note| format!("{note:#x}")).collect();
            format!("the notes {}", all.join(", "))
        }
        Return::Port(_) | Return::Findings(_) | Return::Outcome(_) => "an answer of another kind".to_owned(),
    }
}

pub(super) fn volume(facts: &VolumeFacts) -> String {
    format!("{}, {} bytes, {}", printable(&facts.name), facts.size, facts.format.as_str())
}

pub(super) fn fence(fence: &Fence) -> String {
    let by = fence.holder.as_ref().map_or_else(|| "nobody".to_owned(), holder);
    format!("a fence held by {by}, newest generation {}", fence.generation)
}

fn holder(holder: &Holder) -> String {
    let Holder { host, name: _, domain, generation } = holder;
    format!("host {}, domain {}, generation {generation}", printable(host), printable(domain))
}

fn bytes(size: Option<u64>) -> String {
    size.map_or_else(|| "not told".to_owned(), |size| size.to_string())
}

const fn access_word(access: AttachAccess) -> &'static str {
    match access {
        AttachAccess::ReadOnly => "read-only",
        AttachAccess::Exclusive => "exclusive",
        AttachAccess::Handover => "handover",
    }
}

const fn style_word(style: CloneStyle) -> &'static str {
    match style {
        CloneStyle::Linked => "linked",
        CloneStyle::Full => "full",
    }
}

/// As the interface spells it.
pub(super) const fn code(code: &ErrorCode) -> &'static str {
    match code {
        ErrorCode::NotFound => "not-found",
        ErrorCode::AlreadyExists => "already-exists",
        ErrorCode::InUse(_) => "in-use",
        ErrorCode::WrongState => "wrong-state",
        ErrorCode::Invalid => "invalid",
        ErrorCode::Denied => "denied",
        ErrorCode::Exhausted => "exhausted",
        ErrorCode::Unreachable => "unreachable",
        ErrorCode::Timeout => "timeout",
        ErrorCode::Unsupported => "unsupported",
        ErrorCode::Corrupt => "corrupt",
        ErrorCode::Io => "io",
        ErrorCode::Other(_) => "other",
    }
}
