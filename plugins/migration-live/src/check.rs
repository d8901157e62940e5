//! What stands in the way of a live move. Pure.
//!
//! | code | severity | means |
//! | --- | --- | --- |
//! | `not-running` | blocker | the domain is off: it has no memory that could go over |
//! | `storage-not-shared` | blocker | the target does not reach a volume, and volumes are not to go along |
//! | `room` | blocker | the target's pool has no room for a volume that goes along |
//! | `postcopy-not-granted` | blocker | the settings ask for post-copy, and policy does not grant it |
//! | `volumes-copied` | note | volumes go along, which takes as long as they are large |

use fief_sdk::migration::{Facts, Finding, Power, Severity, VolumeFacts};

use crate::Settings;
use crate::pace::AtTimeOut;

pub(crate) fn findings(facts: &Facts, settings: &Settings) -> Vec<Finding> {
    let domain = facts.domain.as_str();
    let target = &facts.target.name;
    let mut all = Vec::new();
    if facts.power == Power::Off {
        let message = "it is off: no memory is there that could go over".to_owned();
        all.push(blocker("not-running", domain, message, "use `--strategy migration-static`, or start it first"));
    }
    for volume in facts.to_copy() {
        if !settings.disks {
            let message = format!("{target} does not reach it, and volumes are not to go along");
            all.push(blocker("storage-not-shared", &volume.volume, message, "set `disks` to true"));
        } else if lacks_room(volume) {
            let message = format!("the pool on {target} has less room left than it takes up");
            all.push(blocker("room", &volume.volume, message, "make room there"));
        }
    }
    let along: u64 = facts.to_copy().map(|volume| volume.allocated).fold(0, u64::saturating_add);
    if settings.disks && along > 0 {
        let message = format!("{} MiB of volumes go along while its guest runs", along >> 20);
        all.push(Finding {
            severity: Severity::Note,
            code: "volumes-copied".into(),
            object: domain.into(),
            message,
            remedy: None,
        });
    }
    if settings.at_time_out == AtTimeOut::Postcopy && !facts.postcopy {
        let message = "the settings ask for post-copy, and policy does not grant it".to_owned();
        let remedy = "`postcopy = true` below [plugins.migration-live] in policy.toml, or another `at-time-out`";
        all.push(blocker("postcopy-not-granted", domain, message, remedy));
    }
    all
}

fn lacks_room(volume: &VolumeFacts) -> bool {
    volume.room_at_target.is_some_and(|room| room < volume.allocated)
}

fn blocker(code: &str, object: &str, message: String, remedy: &str) -> Finding {
    let severity = Severity::Blocker;
    Finding { severity, code: code.into(), object: object.into(), message, remedy: Some(remedy.into()) }
}
