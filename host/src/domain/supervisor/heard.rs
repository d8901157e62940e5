//! What a hypervisor says, in the words of the state machine.

use crate::domain::state::Happening;
use crate::error::Result;
use crate::hypervisor::Event;
use crate::hypervisor::qemu::qmp;

/// What happened while no supervisor was there to hear of it.
pub async fn missed(monitor: &qmp::Monitor) -> Result<Option<Happening>> {
    Ok(match monitor.status().await? {
        // Killed after the record said running and before the guest was let go.
        qmp::RunState::Prelaunch => {
            monitor.resume().await?;
            None
        }
        qmp::RunState::Running | qmp::RunState::Suspended => Some(Happening::Resumed),
        qmp::RunState::Shutdown => Some(Happening::PoweredOff),
        qmp::RunState::GuestPanicked | qmp::RunState::InternalError => Some(Happening::Crashed),
        qmp::RunState::Paused
        | qmp::RunState::IoError
        | qmp::RunState::Watchdog
        | qmp::RunState::Debug
        | qmp::RunState::Inmigrate
        | qmp::RunState::Postmigrate
        | qmp::RunState::FinishMigrate
        | qmp::RunState::SaveVm
        | qmp::RunState::RestoreVm
        | qmp::RunState::Colo => Some(Happening::Paused),
        qmp::RunState::Other => None,
    })
}

pub fn heard(event: &Event) -> Option<Happening> {
    match event {
        Event::PoweredOff => Some(Happening::PoweredOff),
        Event::Rebooted => Some(Happening::Rebooted),
        Event::Panicked => Some(Happening::Crashed),
        Event::StoppedOnError { .. } => Some(Happening::Paused),
        Event::Paused => Some(Happening::Paused),
        Event::Resumed => Some(Happening::Resumed),
        // The loop sees to these itself. Of the end of the process that follows it hears too, and that is what counts.
        Event::Unplugged(_) | Event::ToldOfError { .. } | Event::Closed => None,
    }
}
