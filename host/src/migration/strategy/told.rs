//! Words of this floor and of the sandbox's protocol, each into the other.

use super::super::message::Power;
use super::super::plan::{DiskFacts, Facts, HostFacts, Sameness};
use super::super::steps::{Answer, Limits};
use crate::error::{Failure, Kind};
use crate::plugin::printable;
use crate::sandbox::protocol::{
    ErrorCode, Finding, MoveFacts, MoveHost, MovePower, MoveSameness, MoveVolume, PluginError, RawLimits, Retry,
    StepReply,
};

/// What a strategy is told of a move. `bandwidth`: what policy lets moves have, in bytes a second; `postcopy`: whether it lets this
/// strategy ask for that.
pub fn facts(facts: &Facts, bandwidth: Option<u64>, postcopy: bool) -> MoveFacts {
    let domain = &facts.domain;
    MoveFacts {
        domain: domain.name.to_string(),
        power: match domain.power {
            Power::Running => MovePower::Running,
            Power::Paused => MovePower::Paused,
            Power::Off => MovePower::Off,
        },
        memory: domain.memory.bytes(),
        volumes: domain.disks.iter().map(volume).collect(),
        snapshots: domain.snapshots.clone(),
        source: host(&facts.source),
        target: host(&facts.target),
        bandwidth,
        postcopy,
    }
}

fn volume(disk: &DiskFacts) -> MoveVolume {
    MoveVolume {
        volume: disk.volume.to_string(),
        disc: disk.disc,
        size: disk.size.bytes(),
        allocated: disk.allocated.bytes(),
        sameness: match disk.sameness {
            Sameness::Proven => MoveSameness::Proven,
            Sameness::Claimed => MoveSameness::Claimed,
            Sameness::Other => MoveSameness::Other,
            Sameness::Unknown => MoveSameness::Unknown,
        },
        room_at_target: disk.room_there.map(|room| room.bytes()),
    }
}

fn host(host: &HostFacts) -> MoveHost {
    MoveHost {
        name: host.name.clone(),
        architecture: host.architecture.clone(),
        hypervisor: host.hypervisor.clone(),
        hypervisor_version: host.hypervisor_version.clone(),
        memory_available: host.memory_available.map(|memory| memory.bytes()),
    }
}

pub(super) fn limits(raw: RawLimits) -> Limits {
    let RawLimits { bandwidth, downtime_ms, auto_converge, channels, compress } = raw;
    Limits { bandwidth, downtime_ms, auto_converge, channels, compress }
}

pub(super) fn reply(answer: Answer) -> StepReply {
    match answer {
        Answer::Done => StepReply::Done,
        Answer::Copied(bytes) => StepReply::Copied(bytes),
        Answer::Sample(sample) => StepReply::Sample(sample),
        Answer::Outcome(outcome) => StepReply::Outcome(outcome),
    }
}

/// Of a step that failed the plugin is told what kind of failure that is; the whole of it is for people.
pub(super) fn failed(failure: &Failure) -> PluginError {
    let code = match failure.kind {
        Kind::NotFound => ErrorCode::NotFound,
        Kind::Conflict | Kind::PartlyDone | Kind::NeedsRecover | Kind::NeedsYes => ErrorCode::WrongState,
        Kind::Denied => ErrorCode::Denied,
        Kind::NoRoom => ErrorCode::Exhausted,
        Kind::Usage | Kind::Findings => ErrorCode::Invalid,
        Kind::Unreachable => ErrorCode::Unreachable,
        Kind::TimedOut => ErrorCode::Timeout,
        Kind::Other | Kind::PluginFault => ErrorCode::Io,
    };
    PluginError { code, message: "the step failed, and the move was given up".into(), retry: Retry::Never }
}

/// A finding as it may go to people.
pub(super) fn finding(finding: Finding) -> Finding {
    let Finding { severity, code, object, message, remedy } = finding;
    let [code, object, message] = [code, object, message].map(|text| printable(&text));
    Finding { severity, code, object, message, remedy: remedy.map(|text| printable(&text)) }
}
