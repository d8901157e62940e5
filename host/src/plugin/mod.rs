//! Plugins, from the host's side: what is installed, what each may do, and calls into their sandboxes.
//! Nothing here runs WebAssembly; that happens in the other room.

pub mod manifest;
pub mod package;
pub mod session;
pub mod settings;

pub use manifest::Manifest;
pub use package::{Installed, installed};
pub use session::{Session, Subject};
