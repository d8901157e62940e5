//! The settings of a move, for whoever tries a strategy out.
//!
//! ```toml
//! [settings]                   # the strategy's own, as `fief migrate --set` gives them
//! rounds = 3
//! ```

use std::collections::BTreeMap;

use super::reader::Document;
use super::settings::settings;
use crate::error::Result;

/// Reads them; `source` names the text in messages.
///
/// # Errors
/// Kind `Usage`, with every mistake as a cause.
pub fn parse(bytes: &[u8], source: &str) -> Result<BTreeMap<String, String>> {
    Document::parse("settings of a move", source, bytes)?.read(settings)
}
