//! Plugins, from the host's side: what is installed, what each may do, and calls into their sandboxes.
//! Nothing here runs WebAssembly; that happens in the other room.

mod ask;
mod breach;
pub mod bundle;
mod cache;
pub mod compared;
pub mod component;
mod failure;
mod hearing;
mod loading;
pub mod log;
pub mod manifest;
mod met;
pub mod package;
mod patience;
mod pending;
pub mod permission;
pub mod process;
pub mod project;
mod reach;
pub mod recording;
mod relay;
pub mod replay;
mod reply;
pub mod serving;
pub mod session;
pub mod settings;
mod shape;
pub mod signature;
pub mod source;
pub mod strikes;
pub mod text;
pub mod trouble;
pub mod upgrade;
mod wires;
pub mod world;

pub use cache::{lend as lend_compiled, note_tried, was_tried};
pub use manifest::Manifest;
pub use package::{Installed, chosen, installed};
pub use patience::Patience;
pub use permission::{Effective, effective};
pub use serving::{Heard, Order, Serving};
pub use session::{Session, Steps, Subject};
pub use text::printable;
