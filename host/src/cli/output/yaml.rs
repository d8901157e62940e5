//! YAML 1.2 from a JSON value. JSON is YAML, so any text that could be read as something else is written as JSON
//! writes it, and there is nothing to get wrong.

use serde_json::Value;

/// A document, with a newline at its end.
pub fn render(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => object(&mut out, map, 0),
        Value::Array(items) if !items.is_empty() => array(&mut out, items, 0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
    out
}

fn object(out: &mut String, map: &serde_json::Map<String, Value>, depth: usize) {
    for (at, (key, value)) in map.iter().enumerate() {
        // The first key of an item in a list stands on the line of its dash.
        if at > 0 || depth == 0 || out.ends_with('\n') {
            out.push_str(&"  ".repeat(depth));
        }
        out.push_str(&word(key));
        out.push(':');
        below(out, value, depth);
    }
}

fn array(out: &mut String, items: &[Value], depth: usize) {
    for item in items {
        out.push_str(&"  ".repeat(depth));
        out.push('-');
        match item {
            Value::Object(map) if !map.is_empty() => {
                out.push(' ');
                object(out, map, depth + 1);
            }
            Value::Array(_) | Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                below(out, item, depth)
            }
        }
    }
}

fn below(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            object(out, map, depth + 1);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            array(out, items, depth + 1);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            out.push(' ');
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Bare where no version of YAML could read it as anything but this text.
fn word(text: &str) -> String {
    const READ_AS_OTHER: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !READ_AS_OTHER.iter().any(|other| text.eq_ignore_ascii_case(other));
    if bare { text.to_owned() } else { super::json::escape(Value::from(text).to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_that_yaml_reads_as_something_else_are_quoted() {
        for text in
            ["", "yes", "No", "null", "~", "1.5", "0x10", "52:54", "- a", "a: b", "#", "a\nb", "2024-01-01", "é", "a b"]
        {
            assert_eq!(word(text), serde_json::to_string(text).unwrap(), "{text:?}");
        }
        for text in ["node1", "host-only", "a.b_c"] {
            assert_eq!(word(text), text);
        }
    }

    #[test]
    fn lists_and_objects_nest() {
        let value = json!({
            "disks": [{ "name": "a", "tags": ["x", "y"] }, { "name": "b", "tags": [], "more": {} }],
            "matrix": [[1, 2], [3]],
            "nothing": null,
            "settings": { "address": "10.0.0.1/24", "deep": { "er": true } },
        });
        insta::assert_snapshot!(render(&value), @r#"
        disks:
          - name: a
            tags:
              - x
              - "y"
          - more: {}
            name: b
            tags: []
        matrix:
          -
            - 1
            - 2
          -
            - 3
        nothing: null
        settings:
          address: "10.0.0.1/24"
          deep:
            er: true
        "#);
    }

    #[test]
    fn an_empty_document_is_still_one() {
        assert_eq!(render(&json!({})), "{}\n");
        assert_eq!(render(&json!([])), "[]\n");
        assert_eq!(render(&json!("x")), "x\n");
    }
}
