//! The supervisor: one process a running domain, parent of its hypervisor, the one task that changes its state.
//!
//! ```text
//!   fief start ──spawn──▸ supervisor ── lock ▸ record ▸ steps ▸ record: running ▸ let go ──"running"──▸ fief start ends
//!                             │
//!                  control.sock  monitor  console  hypervisor's end
//!                             └──────── one loop, one state ────────┘
//! ```
//!
//! Killed, it leaves the guest running; the next command starts another, which finds the hypervisor by its record
//! and takes it up.

mod change;
mod connect;
mod console;
pub mod control;
mod copying;
mod ending;
mod filters;
mod finish;
mod heard;
mod job;
mod moving;
mod pause;
mod purpose;
mod relocate;
mod request;
mod resize;
mod run;
mod saving;
mod served;
mod storage;
mod undo;
mod watch;

pub use change::Changing;
pub use copying::Copying;
pub use moving::Moving;
pub use purpose::{Purpose, Report};
pub use run::run;
pub use saving::Saving;
pub use storage::{Storage, Trouble};
