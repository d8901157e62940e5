//! What stands in the way of a move by copying. Pure.
//!
//! | code | severity | means |
//! | --- | --- | --- |
//! | `room` | blocker | the target's pool has less room left than a volume takes up |
//! | `room-unknown` | warning | the target's pool does not say what room it has left |
//! | `live-is-shorter` | note | the target reaches all volumes: a live move would hardly stop the guest |

use fief_sdk::migration::{Facts, Finding, Power, Severity};

pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    let target = &facts.target.name;
    let mut all = Vec::new();
    for volume in facts.to_copy() {
        let object = volume.volume.as_str();
        match volume.room_at_target {
            Some(room) if room >= volume.allocated => {}
            Some(room) => {
                let message = format!(
                    "it takes up {} MiB, and the pool on {target} has {} MiB left",
                    volume.allocated >> 20,
                    room >> 20
                );
                all.push(finding(Severity::Blocker, "room", object, message, "make room there"));
            }
            None => {
                let message = format!("the pool on {target} does not say what room it has left");
                all.push(finding(Severity::Warning, "room-unknown", object, message, "see that there is enough"));
            }
        }
    }
    if facts.power == Power::Running && facts.to_copy().next().is_none() {
        let message =
            "its guest stands still while its memory is copied, and the target reaches all of its volumes".into();
        let remedy = "`--strategy migration-live` hardly stops it";
        all.push(finding(Severity::Note, "live-is-shorter", &facts.domain, message, remedy));
    }
    all
}

fn finding(severity: Severity, code: &str, object: &str, message: String, remedy: &str) -> Finding {
    Finding { severity, code: code.into(), object: object.into(), message, remedy: Some(remedy.into()) }
}
