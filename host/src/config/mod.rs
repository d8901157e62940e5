//! What operators write: raw as written → checked types, all mistakes at once, each with file, line and key.

pub mod domain;
pub mod lock;
pub mod network;
pub mod policy;
pub mod pool;
pub mod reader;
pub mod strategy;

#[cfg(test)]
mod bad_input;
mod settings;
mod text;
