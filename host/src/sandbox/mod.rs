//! The other room: `fief sandbox`, a process without privilege that runs one plugin.

pub mod protocol;
