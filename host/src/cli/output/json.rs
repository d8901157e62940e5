//! JSON documents: each says which interface it follows and what it is.

use serde_json::{Value, json};

use super::text::is_unsafe;
use crate::error::{Context, Result};

/// Keys of a document are only ever added under one version.
pub const API_VERSION: &str = "fief/v1";

/// `body` (an object) with `apiVersion` and `kind` put in; its own keys are other ones.
pub fn envelope(kind: &str, body: Value) -> Value {
    let mut document = json!({ "apiVersion": API_VERSION, "kind": kind });
    if let (Value::Object(document), Value::Object(body)) = (&mut document, body) {
        for (key, value) in body {
            document.entry(key).or_insert(value);
        }
    }
    document
}

/// A document about one thing. It stands under `item`, in the shape that it has among the `items` of a listing,
/// so that a `kind` of its own (a pool has one) does not meet the document's.
pub fn single(kind: &str, item: Value) -> Value {
    envelope(kind, json!({ "item": item }))
}

/// Indented, with a newline at the end, and nothing in it that a terminal acts on.
pub fn pretty(value: &Value) -> Result<String> {
    serde_json::to_string_pretty(value).map(|text| escape(text) + "\n").context(|| "cannot write JSON".to_owned())
}

/// One line, without a newline at the end.
pub fn line(value: &Value) -> String {
    escape(value.to_string())
}

/// serde_json escapes U+0000 to U+001F; what else is unsafe can stand in a string only, where `\u` is read back.
pub(super) fn escape(text: String) -> String {
    if !text.chars().any(|c| is_unsafe(c) && c != '\n') {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) && character != '\n' {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_characters_are_escaped_and_read_back() {
        let value = json!({ "text": "a\u{9b}b\u{202e}\x1b\n" });
        let text = line(&value);
        assert!(text.chars().all(|c| !is_unsafe(c)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert_eq!(serde_json::from_str::<Value>(&pretty(&value).unwrap()).unwrap(), value);
    }

    #[test]
    fn a_kind_of_the_things_own_does_not_hide_the_documents() {
        assert_eq!(
            single("pool", json!({ "kind": "file", "name": "default" })),
            json!({ "apiVersion": "fief/v1", "kind": "pool", "item": { "kind": "file", "name": "default" } })
        );
    }
}
