//! What a domain admits and what follows from what happens to it. Pure, so that every case can be tried.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::domain::Action;
use crate::error::Kind;
use crate::migration::handover::Holding;

/// Where a domain is in its life; the picture is in [`crate::domain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Off,
    Starting,
    Running,
    Paused,
    /// The guest is over; its hypervisor is kept, stopped, for a look at it.
    Preserved,
    Stopping,
    /// It was handed over to another host, which has not said that it took it: nothing of it may run here.
    Ceded,
    /// Another host owns it: it is on its way here, or what it has left here is not cleared away yet.
    Elsewhere,
}

impl State {
    pub const ALL: [State; 8] = [
        State::Off,
        State::Starting,
        State::Running,
        State::Paused,
        State::Preserved,
        State::Stopping,
        State::Ceded,
        State::Elsewhere,
    ];

    /// The state of a domain whose record says `self`: who owns it counts for more than what a supervisor wrote last.
    #[must_use]
    pub const fn where_held(self, holding: Holding) -> State {
        match (holding, self) {
            (Holding::Ceded, _) => State::Ceded,
            (Holding::Foreign | Holding::Gone, _) => State::Elsewhere,
            (Holding::Owned, State::Ceded | State::Elsewhere) => State::Off,
            (
                Holding::Owned,
                State::Off | State::Starting | State::Running | State::Paused | State::Preserved | State::Stopping,
            ) => self,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            State::Off => "off",
            State::Starting => "starting",
            State::Running => "running",
            State::Paused => "paused",
            State::Preserved => "preserved",
            State::Stopping => "stopping",
            State::Ceded => "ceded",
            State::Elsewhere => "elsewhere",
        }
    }
}

/// What an operator may ask of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    Start,
    /// Pull the plug.
    Stop,
    /// Ask the guest to power off.
    Shutdown,
    /// Ask the guest to power off, and start it again.
    Reboot,
    /// Pull the reset line.
    Reset,
    Pause,
    Resume,
    Console,
    /// See what the guest shows: a picture of it, or a viewer.
    Look,
    /// Memory, devices and definition into a file, then off.
    Save,
    /// A copy of the disks as they are at one moment.
    Copy,
    /// Plug or unplug a device, or set something, while the guest runs.
    Change,
    Delete,
}

impl Request {
    pub const ALL: [Request; 13] = [
        Request::Start,
        Request::Stop,
        Request::Shutdown,
        Request::Reboot,
        Request::Reset,
        Request::Pause,
        Request::Resume,
        Request::Console,
        Request::Look,
        Request::Save,
        Request::Copy,
        Request::Change,
        Request::Delete,
    ];
}

/// The answer to a request, before anything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Accept,
    /// It is so already: success, and nothing to do.
    Already,
    /// Not now; why, and what would help.
    Deny {
        /// What the failure is to whoever asked.
        kind: Kind,
        because: &'static str,
        hint: &'static str,
    },
}

const fn not_now(because: &'static str, hint: &'static str) -> Admission {
    Admission::Deny { kind: Kind::Conflict, because, hint }
}

pub const fn admit(state: State, request: Request) -> Admission {
    use Admission::{Accept, Already};
    match (request, state) {
        // Whatever is done here, its guest may run there by now.
        (_, State::Ceded) => Admission::Deny {
            kind: Kind::NeedsRecover,
            because: "it was handed over to another host, which has not said yet that it took it",
            hint: "`fief recover` asks that host again; where it is off for good, `fief recover --claim` takes the domain back",
        },
        (_, State::Elsewhere) => not_now(
            "another host owns it",
            "wait for its move to end; `fief recover` clears away what an earlier one left",
        ),

        (Request::Start, State::Off) => Accept,
        (Request::Start, State::Starting | State::Running) => Already,
        (Request::Start, State::Paused) => not_now("it is paused", "`fief resume` lets its guest go on"),
        (Request::Start, State::Preserved) => {
            not_now("it is kept for a look at it after its guest ended", "stop it first")
        }
        (Request::Start, State::Stopping) => not_now("it is being stopped", "try again in a moment"),

        (Request::Stop, State::Off) => Already,
        (Request::Stop, State::Starting | State::Running | State::Paused | State::Preserved | State::Stopping) => {
            Accept
        }

        (Request::Shutdown, State::Off) => Already,
        (Request::Shutdown, State::Running | State::Stopping) | (Request::Reboot, State::Running) => Accept,
        (Request::Shutdown | Request::Reboot, State::Starting) => {
            not_now("it is still starting", "try again in a moment")
        }
        (Request::Shutdown | Request::Reboot, State::Paused) => {
            not_now("its guest is paused, so it cannot be asked", "`fief resume` lets it go on")
        }
        (Request::Shutdown | Request::Reboot, State::Preserved) => {
            not_now("its guest does not run, so it cannot be asked", "`fief stop` pulls the plug")
        }
        (Request::Reboot, State::Off | State::Stopping) => not_now("it is off", "`fief start` starts it"),

        (Request::Reset, State::Running | State::Paused) => Accept,
        (Request::Reset, State::Starting) => not_now("it is still starting", "try again in a moment"),
        (Request::Reset, State::Preserved) => not_now("its guest is over", "`fief stop`, then `fief start`"),
        (Request::Reset, State::Off | State::Stopping) => not_now("it is off", "`fief start` starts it"),

        (Request::Pause, State::Running) => Accept,
        (Request::Pause, State::Paused) => Already,
        (Request::Resume, State::Paused) => Accept,
        (Request::Resume, State::Running) => Already,
        (Request::Pause | Request::Resume, State::Starting) => not_now("it is still starting", "try again in a moment"),
        (Request::Pause | Request::Resume, State::Preserved) => {
            not_now("its guest is over", "`fief stop`, then `fief start`")
        }
        (Request::Pause | Request::Resume, State::Off | State::Stopping) => {
            not_now("it is off", "`fief start` starts it")
        }

        (Request::Console, State::Starting | State::Running | State::Paused | State::Preserved) => Accept,
        (Request::Look, State::Running | State::Paused | State::Preserved) => Accept,
        (Request::Look, State::Starting) => not_now("it is still starting", "try again in a moment"),
        (Request::Console | Request::Look, State::Off | State::Stopping) => {
            not_now("it is off", "`fief start` starts it; `fief logs` shows what it said last")
        }

        (Request::Save | Request::Copy | Request::Change, State::Running | State::Paused) => Accept,
        (Request::Save | Request::Copy | Request::Change, State::Starting | State::Stopping) => {
            not_now("it is on its way up or down", "try again in a moment")
        }
        (Request::Save | Request::Copy | Request::Change, State::Preserved) => {
            not_now("its guest is over", "stop it first")
        }
        (Request::Save, State::Off) => not_now("it is off", "there is nothing to save"),
        // Of a domain that is off, the caller works on definition and volumes alone.
        (Request::Copy | Request::Change, State::Off) => Already,

        (Request::Delete, State::Off) => Accept,
        (Request::Delete, State::Starting | State::Running | State::Paused | State::Preserved | State::Stopping) => {
            not_now("it is not off", "`fief stop` stops it")
        }
    }
}

/// What happens to a domain that has a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// All steps of the start are done and recorded.
    Launched,
    LaunchFailed,
    PoweredOff,
    /// It was asked to, so that it starts again.
    PoweredOffToStart,
    Rebooted,
    Crashed,
    /// The hypervisor process is gone, with no word before.
    HypervisorGone,
    StopAsked,
    /// Another host holds one of its disks: what the guest writes goes nowhere any more.
    Fenced,
    /// Its state is whole in a file.
    Saved,
    Paused,
    Resumed,
    /// All steps of the start are undone.
    Undone,
}

impl Happening {
    pub const ALL: [Happening; 13] = [
        Happening::Launched,
        Happening::LaunchFailed,
        Happening::PoweredOff,
        Happening::PoweredOffToStart,
        Happening::Rebooted,
        Happening::Crashed,
        Happening::HypervisorGone,
        Happening::StopAsked,
        Happening::Fenced,
        Happening::Saved,
        Happening::Paused,
        Happening::Resumed,
        Happening::Undone,
    ];
}

/// What the supervisor has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Nothing,
    /// Let the guest go.
    LetGo,
    /// Undo the start, then end.
    TearDown,
    /// Undo the start, wait, then start once more.
    StartAgain {
        after: Duration,
    },
    /// Keep the hypervisor with its guest stopped.
    Keep,
    /// All is undone: end.
    End,
}

/// What a domain's definition says of its guest's end, and how often it was started again lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub on_poweroff: Action,
    pub on_reboot: Action,
    pub on_crash: Action,
    /// Starts that followed one another without the guest having run for [`SETTLED`].
    pub restarts: u32,
}

/// A guest that ran this long ends a chain of restarts.
pub const SETTLED: Duration = Duration::from_secs(60);
/// After this many restarts in a chain the domain stays off: a guest that cannot come up must not burn the host.
pub const RESTARTS_MAX: u32 = 5;

/// 1, 2, 4, 8, 16 seconds.
const fn backoff(restarts: u32) -> Duration {
    Duration::from_secs(1 << if restarts < 4 { restarts } else { 4 })
}

/// The state that follows, and what to do about it.
pub const fn step(state: State, happening: Happening, rules: Rules) -> (State, Task) {
    match (state, happening) {
        (State::Starting, Happening::Launched) => (State::Running, Task::LetGo),
        (
            State::Starting,
            Happening::LaunchFailed | Happening::HypervisorGone | Happening::StopAsked | Happening::Fenced,
        ) => (State::Stopping, Task::TearDown),
        (State::Running | State::Paused, Happening::Saved) => (State::Stopping, Task::TearDown),

        (State::Running | State::Paused, Happening::PoweredOff) => ended(rules.on_poweroff, rules),
        (State::Running | State::Paused, Happening::PoweredOffToStart) => {
            (State::Stopping, Task::StartAgain { after: Duration::ZERO })
        }
        (State::Running | State::Paused, Happening::Crashed) => ended(rules.on_crash, rules),
        (State::Running | State::Paused, Happening::Rebooted) => match rules.on_reboot {
            // The hypervisor resets the guest in place.
            Action::Restart => (State::Running, Task::Nothing),
            Action::Destroy => (State::Stopping, Task::TearDown),
            Action::Preserve => (State::Preserved, Task::Keep),
        },
        (State::Running | State::Paused, Happening::HypervisorGone) => match rules.on_crash {
            // Nothing is left that could be kept.
            Action::Destroy | Action::Preserve => (State::Stopping, Task::TearDown),
            Action::Restart => ended(Action::Restart, rules),
        },
        (State::Running, Happening::Paused) => (State::Paused, Task::Nothing),
        (State::Paused, Happening::Resumed) => (State::Running, Task::Nothing),

        (State::Preserved, Happening::HypervisorGone) => (State::Stopping, Task::TearDown),
        (State::Running | State::Paused | State::Preserved, Happening::StopAsked | Happening::Fenced) => {
            (State::Stopping, Task::TearDown)
        }

        (State::Stopping, Happening::Undone) => (State::Off, Task::End),

        // Late or doubled words change nothing; nor does anything of what is not this host's.
        (State::Off | State::Ceded | State::Elsewhere, _)
        | (State::Starting, Happening::PoweredOff | Happening::Rebooted | Happening::Crashed)
        | (State::Starting | State::Preserved | State::Stopping, Happening::PoweredOffToStart)
        | (State::Starting, Happening::Paused | Happening::Resumed | Happening::Undone | Happening::Saved)
        | (State::Running, Happening::Launched | Happening::LaunchFailed | Happening::Resumed | Happening::Undone)
        | (State::Paused, Happening::Launched | Happening::LaunchFailed | Happening::Paused | Happening::Undone)
        | (State::Preserved, Happening::Launched | Happening::LaunchFailed | Happening::PoweredOff)
        | (State::Preserved, Happening::Rebooted | Happening::Crashed | Happening::Paused)
        | (State::Preserved, Happening::Resumed | Happening::Undone | Happening::Saved)
        | (State::Stopping, Happening::Launched | Happening::LaunchFailed | Happening::PoweredOff)
        | (State::Stopping, Happening::Rebooted | Happening::Crashed | Happening::HypervisorGone)
        | (State::Stopping, Happening::Fenced)
        | (State::Stopping, Happening::StopAsked | Happening::Saved | Happening::Paused | Happening::Resumed) => {
            (state, Task::Nothing)
        }
    }
}

const fn ended(action: Action, rules: Rules) -> (State, Task) {
    match action {
        Action::Destroy => (State::Stopping, Task::TearDown),
        Action::Preserve => (State::Preserved, Task::Keep),
        Action::Restart if rules.restarts < RESTARTS_MAX => {
            (State::Stopping, Task::StartAgain { after: backoff(rules.restarts) })
        }
        Action::Restart => (State::Stopping, Task::TearDown),
    }
}

#[cfg(test)]
mod tests;
