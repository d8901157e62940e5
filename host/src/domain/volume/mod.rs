//! Volumes that come from elsewhere, and go elsewhere.
//!
//! ```text
//!   import   file ─▸ volume          export   volume ─▸ file
//!
//!   fill.rs   intent ─▸ held ─▸ the plugin makes the volume, noted ─▸ the gate copies ═▸ noted ─▸ let go ─▸ intent gone
//!                └────── any failure, ^C, or killed: the volume goes ──────┘
//! ```
//! While a volume is copied, from or to, no domain that writes to it starts, and no other command changes it: this command
//! has its lease (`lease.rs`).

pub mod export;
pub mod fill;
pub mod import;

pub use export::Export;
pub use import::Import;
