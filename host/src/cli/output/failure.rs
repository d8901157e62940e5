//! A failure on stderr: what failed, why, and the next step; with `-o json` the same as one line of JSON.

use std::io::Write;

use serde_json::json;

use super::{Format, json, text};
use crate::error::Failure;

/// Writes it; where stderr cannot be written there is nobody left to tell.
pub fn report(failure: &Failure, format: Format) {
    let _ = std::io::stderr().lock().write_all(render(failure, format).as_bytes());
}

/// A word beside what was asked for, for whoever sits at the terminal.
pub fn note(message: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{}\n", text::printable_lines(message, "    ")).as_bytes());
}

/// A line that does not change the outcome.
pub fn warn(message: &str, format: Format) {
    let line = match format {
        Format::Json => json::line(&json::envelope("warning", json!({ "message": message }))) + "\n",
        Format::Table | Format::Yaml | Format::Name | Format::Wide => {
            format!("warning: {}\n", text::printable_lines(message, "    "))
        }
    };
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

pub(super) fn render(failure: &Failure, format: Format) -> String {
    match format {
        Format::Json => {
            let body = json!({
                "code": failure.kind,
                "exit-code": failure.kind.exit_code(),
                "message": failure.message,
                "causes": failure.causes,
                "hint": failure.hint,
            });
            json::line(&json::envelope("error", body)) + "\n"
        }
        Format::Table | Format::Yaml | Format::Name | Format::Wide => {
            let mut out = format!("error: {}\n", text::printable_lines(&failure.message, "    "));
            for cause in &failure.causes {
                out.push_str(&format!("  caused by: {}\n", text::printable_lines(cause, "    ")));
            }
            if let Some(hint) = failure.hint.as_ref().filter(|hint| !hint.is_empty()) {
                out.push_str(&format!("hint: {}\n", text::printable_lines(hint, "    ")));
            }
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Failure {
        let mut failure = Failure::not_found("cannot start domain node1").hint("fief volume list shows what there is");
        failure.causes =
            vec!["no volume default/node1".to_owned(), "the plugin says: \x1b[2Jgone\nhint: lie".to_owned()];
        failure
    }

    #[test]
    fn people_read_what_failed_why_and_what_to_do() {
        insta::assert_snapshot!(render(&failure(), Format::Table), @r"
        error: cannot start domain node1
          caused by: no volume default/node1
          caused by: the plugin says: \x1b[2Jgone
            hint: lie
        hint: fief volume list shows what there is
        ");
    }

    #[test]
    fn programs_read_one_line() {
        insta::assert_snapshot!(render(&failure(), Format::Json), @r#"{"apiVersion":"fief/v1","causes":["no volume default/node1","the plugin says: \u001b[2Jgone\nhint: lie"],"code":"not-found","exit-code":3,"hint":"fief volume list shows what there is","kind":"error","message":"cannot start domain node1"}"#);
    }
}
