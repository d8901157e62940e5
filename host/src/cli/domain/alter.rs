//! Verbs that change a domain, running or not, and how they say what became of it.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::Context;
use crate::domain::alter::{Altered, alter};
use crate::domain::change::Change;
use crate::error::Result;
use crate::types::{DomainName, Span};

/// What is said of a domain: `domain node1 has disk default/data now`.
pub(super) struct Words {
    pub(super) done: String,
    pub(super) already: String,
    /// With the reason after it.
    pub(super) later: String,
}

pub(super) fn change(context: &Context, name: &DomainName, change: &Change, within: Span, words: &Words) -> Result<()> {
    let gate = context.gate_for_change()?;
    let (said, result, because) = match alter(&gate, name, change, within.0)? {
        Altered::Done => (words.done.clone(), "done", None),
        Altered::Already => (words.already.clone(), "already", None),
        Altered::Later(because) => {
            (format!("{} from its next start: {because}", words.later), "pending", Some(because))
        }
    };
    let item: Value = json!({ "name": name, "change": change, "outcome": result, "because": because });
    context.changed("domain", name, &said, item)
}

/// A word as definitions write it, for clap.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(|error| error.to_string())
}
