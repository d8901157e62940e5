//! Words of the WIT packages and of the protocol, each into the other.

use crate::gate::operation::{self, ImageFacts, SnapshotFacts};
use crate::sandbox::protocol::{self, PluginError};
use crate::sandbox::version::v0_1::exports::fief::network::mode;
use crate::sandbox::version::v0_1::exports::fief::storage::{backend, fences, snapshots};
use crate::sandbox::version::v0_1::fief::migration::session;
use crate::sandbox::version::v0_1::fief::storage::images::Image;
use crate::sandbox::version::v0_1::fief::storage::volumes::{Access, Format, Holder, Preallocation, Volume};
use crate::sandbox::version::v0_1::fief::types::types::{self, Error, ErrorCode, Retry};

pub(in crate::sandbox) fn format(format: operation::ImageFormat) -> Format {
    match format {
        operation::ImageFormat::Raw => Format::Raw,
        operation::ImageFormat::Qcow2 => Format::Qcow2,
    }
}

pub(super) fn format_out(format: Format) -> operation::ImageFormat {
    match format {
        Format::Raw => operation::ImageFormat::Raw,
        Format::Qcow2 => operation::ImageFormat::Qcow2,
    }
}

pub(in crate::sandbox) fn preallocation(preallocation: operation::Preallocation) -> Preallocation {
    match preallocation {
        operation::Preallocation::Sparse => Preallocation::Sparse,
        operation::Preallocation::Full => Preallocation::Full,
    }
}

pub(super) fn preallocation_out(preallocation: Preallocation) -> operation::Preallocation {
    match preallocation {
        Preallocation::Sparse => operation::Preallocation::Sparse,
        Preallocation::Full => operation::Preallocation::Full,
    }
}

pub(super) fn image(facts: ImageFacts) -> Image {
    Image {
        format: format(facts.format),
        virtual_size: facts.virtual_size.bytes(),
        allocated: facts.allocated.bytes(),
        backing: facts.backing.map(|path| path.to_string()),
    }
}

/// The host's error, to the plugin.
pub(super) fn error(error: PluginError) -> Error {
    let code = match error.code {
        protocol::ErrorCode::NotFound => ErrorCode::NotFound,
        protocol::ErrorCode::AlreadyExists => ErrorCode::AlreadyExists,
        protocol::ErrorCode::InUse(by) => ErrorCode::InUse(by),
        protocol::ErrorCode::WrongState => ErrorCode::WrongState,
        protocol::ErrorCode::Invalid => ErrorCode::Invalid,
        protocol::ErrorCode::Denied => ErrorCode::Denied,
        protocol::ErrorCode::Exhausted => ErrorCode::Exhausted,
        protocol::ErrorCode::Unreachable => ErrorCode::Unreachable,
        protocol::ErrorCode::Timeout => ErrorCode::Timeout,
        protocol::ErrorCode::Unsupported => ErrorCode::Unsupported,
        protocol::ErrorCode::Corrupt => ErrorCode::Corrupt,
        protocol::ErrorCode::Io => ErrorCode::Io,
        protocol::ErrorCode::Other(code) => ErrorCode::Other(code),
    };
    let retry = match error.retry {
        protocol::Retry::Never => Retry::Never,
        protocol::Retry::AfterFix => Retry::AfterFix,
        protocol::Retry::AfterMs(ms) => Retry::AfterMs(ms),
    };
    Error { code, message: error.message, retry }
}

/// The plugin's error, to the host.
pub(in crate::sandbox) fn plugin_error(error: Error) -> PluginError {
    let code = match error.code {
        ErrorCode::NotFound => protocol::ErrorCode::NotFound,
        ErrorCode::AlreadyExists => protocol::ErrorCode::AlreadyExists,
        ErrorCode::InUse(by) => protocol::ErrorCode::InUse(by),
        ErrorCode::WrongState => protocol::ErrorCode::WrongState,
        ErrorCode::Invalid => protocol::ErrorCode::Invalid,
        ErrorCode::Denied => protocol::ErrorCode::Denied,
        ErrorCode::Exhausted => protocol::ErrorCode::Exhausted,
        ErrorCode::Unreachable => protocol::ErrorCode::Unreachable,
        ErrorCode::Timeout => protocol::ErrorCode::Timeout,
        ErrorCode::Unsupported => protocol::ErrorCode::Unsupported,
        ErrorCode::Corrupt => protocol::ErrorCode::Corrupt,
        ErrorCode::Io => protocol::ErrorCode::Io,
        ErrorCode::Other(code) => protocol::ErrorCode::Other(code),
    };
    let retry = match error.retry {
        Retry::Never => protocol::Retry::Never,
        Retry::AfterFix => protocol::Retry::AfterFix,
        Retry::AfterMs(ms) => protocol::Retry::AfterMs(ms),
    };
    PluginError { code, message: error.message, retry }
}

pub(in crate::sandbox) fn volume(volume: Volume) -> protocol::VolumeFacts {
    let Volume { name, size, allocated, format, backing } = volume;
    protocol::VolumeFacts { name, size, allocated, format: format_out(format), backing }
}

pub(in crate::sandbox) fn image_snapshot(snapshot: snapshots::Snapshot) -> SnapshotFacts {
    SnapshotFacts { name: snapshot.name, created: snapshot.created }
}

pub(in crate::sandbox) fn access(access: protocol::AttachAccess) -> Access {
    match access {
        protocol::AttachAccess::ReadOnly => Access::ReadOnly,
        protocol::AttachAccess::Exclusive => Access::Exclusive,
        protocol::AttachAccess::Handover => Access::Handover,
    }
}

pub(in crate::sandbox) fn holder(holder: protocol::Holder) -> Holder {
    let protocol::Holder { host, name, domain, generation } = holder;
    Holder { host, name, domain, generation }
}

pub(in crate::sandbox) fn fence(fence: fences::Fence) -> protocol::Fence {
    let fences::Fence { kind, holder, generation } = fence;
    let kind = match kind {
        fences::Kind::None => protocol::FenceKind::None,
        fences::Kind::Lease => protocol::FenceKind::Lease,
        fences::Kind::Registration => protocol::FenceKind::Registration,
        fences::Kind::Reservation => protocol::FenceKind::Reservation,
    };
    let holder =
        holder.map(|Holder { host, name, domain, generation }| protocol::Holder { host, name, domain, generation });
    protocol::Fence { kind, holder, generation }
}

pub(in crate::sandbox) fn attachment(attachment: backend::Attachment) -> protocol::Attachment {
    match attachment {
        backend::Attachment::File(backend::FileNode { directory, path, format }) => {
            protocol::Attachment::File { directory, path, format: format_out(format) }
        }
        backend::Attachment::Nfs(backend::NfsNode { server, port, share, path, format }) => {
            protocol::Attachment::Nfs { server, port, share, path, format: format_out(format) }
        }
        backend::Attachment::Iscsi(node) => {
            let backend::IscsiNode { portal, target, lun, initiator, header_digest, user, password } = node;
            protocol::Attachment::Iscsi { portal, target, lun, initiator, header_digest, user, password }
        }
        backend::Attachment::Nbd(backend::NbdNode { address, export }) => protocol::Attachment::Nbd { address, export },
        backend::Attachment::Served => protocol::Attachment::Served,
    }
}

pub(in crate::sandbox) fn port(port: mode::Port) -> protocol::Port {
    match port {
        mode::Port::Bridge(mode::BridgePort { bridge, admit_address, mtu, vlan }) => {
            protocol::Port::Bridge { bridge, admit_address, mtu, vlan }
        }
        mode::Port::User(mode::UserPort { network, forwards, restricted }) => {
            protocol::Port::User { network, forwards: forwards.into_iter().map(forward).collect(), restricted }
        }
    }
}

pub(in crate::sandbox) fn forward(forward: mode::Forward) -> protocol::Forward {
    let mode::Forward { protocol, host_address, host_port, guest_port } = forward;
    let protocol = match protocol {
        mode::Protocol::Tcp => protocol::Protocol::Tcp,
        mode::Protocol::Udp => protocol::Protocol::Udp,
    };
    protocol::Forward { protocol, host_address, host_port, guest_port }
}

pub(in crate::sandbox) fn finding(finding: types::Finding) -> protocol::Finding {
    let types::Finding { severity, code, object, message, remedy } = finding;
    let severity = match severity {
        types::Severity::Blocker => protocol::Severity::Blocker,
        types::Severity::Warning => protocol::Severity::Warning,
        types::Severity::Note => protocol::Severity::Note,
    };
    protocol::Finding { severity, code, object, message, remedy }
}

pub(in crate::sandbox) fn facts(facts: protocol::MoveFacts) -> session::Facts {
    let protocol::MoveFacts { domain, power, memory, volumes, snapshots, source, target, bandwidth, postcopy } = facts;
    let power = match power {
        protocol::MovePower::Running => session::Power::Running,
        protocol::MovePower::Paused => session::Power::Paused,
        protocol::MovePower::Off => session::Power::Off,
    };
    let volumes = volumes.into_iter().map(moved_volume).collect();
    let (source, target) = (host(source), host(target));
    session::Facts { domain, power, memory, volumes, snapshots, source, target, bandwidth, postcopy }
}

fn moved_volume(volume: protocol::MoveVolume) -> session::VolumeFacts {
    let protocol::MoveVolume { volume, disc, size, allocated, sameness, room_at_target } = volume;
    let sameness = match sameness {
        protocol::MoveSameness::Proven => session::Sameness::Proven,
        protocol::MoveSameness::Claimed => session::Sameness::Claimed,
        protocol::MoveSameness::Other => session::Sameness::Other,
        protocol::MoveSameness::Unknown => session::Sameness::Unknown,
    };
    session::VolumeFacts { volume, disc, size, allocated, sameness, room_at_target }
}

fn host(host: protocol::MoveHost) -> session::HostFacts {
    let protocol::MoveHost { name, architecture, hypervisor, hypervisor_version, memory_available } = host;
    session::HostFacts { name, architecture, hypervisor, hypervisor_version, memory_available }
}

pub(super) fn limits(limits: session::Limits) -> protocol::RawLimits {
    let session::Limits { bandwidth, downtime_ms, auto_converge, channels, compress } = limits;
    protocol::RawLimits { bandwidth, downtime_ms, auto_converge, channels, compress }
}

pub(super) fn sample(sample: protocol::Sample) -> session::Sample {
    let protocol::Sample { remaining, transferred, dirty_rate, bandwidth, elapsed_ms, expected_downtime_ms, round } =
        sample;
    session::Sample { remaining, transferred, dirty_rate, bandwidth, elapsed_ms, expected_downtime_ms, round }
}

pub(super) fn outcome(outcome: protocol::Outcome) -> session::Outcome {
    let protocol::Outcome { downtime_ms, total_ms, transferred } = outcome;
    session::Outcome { downtime_ms, total_ms, transferred }
}

pub(in crate::sandbox) fn outcome_out(outcome: session::Outcome) -> protocol::Outcome {
    let session::Outcome { downtime_ms, total_ms, transferred } = outcome;
    protocol::Outcome { downtime_ms, total_ms, transferred }
}
