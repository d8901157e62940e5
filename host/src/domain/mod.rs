//! The life of a domain.
//!
//! ```text
//!            start              let go
//!    Off ───────────▸ Starting ─────────▸ Running ◂───────▸ Paused
//!     ▴                  │                 │    │             │
//!     │                  │ failed          │    │ preserve    │
//!     │                  ▾                 ▾    ▾             │
//!     └────────────── Stopping ◂───────────┴─ Preserved ◂─────┤
//!          undone        ▴                                    │
//!                        └──────────── stop, power off, crash ┘
//! ```
//!
//! [`state`] holds this picture as pure functions: what is admitted, and what follows from what happens.
//! The [`supervisor`] is the one task that changes a domain's state; [`steps`] are what it does on the way up and
//! undoes on the way down; [`record`] is what it writes; [`client`] is how a command finds it.

pub mod alter;
pub mod autostart;
pub mod change;
pub mod client;
pub mod clone;
pub mod hold;
pub mod import;
pub mod keeper;
mod kept;
pub mod lease;
mod nvram;
mod ownership;
pub mod pending;
mod pools;
mod rebuild;
pub mod record;
pub mod recover;
pub mod relocation;
mod rename;
mod reservations;
pub mod restore;
mod run_id;
pub mod saved;
mod scratch;
pub mod snapshot;
pub mod state;
pub mod steps;
pub mod store;
pub mod supervisor;
pub mod survey;
pub mod transport;
pub mod unfinished;
pub mod volume;

pub use kept::kept_plugins;
pub use lease::users_of_volume;
pub use record::Record;
pub use state::State;
