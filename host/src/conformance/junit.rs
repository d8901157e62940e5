//! A report in the form that build servers read (JUnit's `testsuites`). Pure.

use std::fmt::Write;

use super::{Outcome, Report};

/// `suite`: what was tried out.
pub fn render(suite: &str, report: &Report) -> String {
    let all = &report.verdicts;
    let failed = all.iter().filter(|one| matches!(one.outcome, Outcome::Failed(_))).count();
    let skipped = all.iter().filter(|one| matches!(one.outcome, Outcome::Skipped(_))).count();
    let took: f64 = all.iter().map(|one| one.took.as_secs_f64()).sum();
    let suite = escaped(suite);
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{suite}\" tests=\"{}\" \
         failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\" time=\"{took:.3}\">\n",
        all.len()
    );
    for one in all {
        let (id, took) = (escaped(one.case.id), one.took.as_secs_f64());
        let head = format!("    <testcase classname=\"{suite}\" name=\"{id}\" time=\"{took:.3}\"");
        // Writing into a text does not fail.
        let _ = match &one.outcome {
            Outcome::Ok => writeln!(out, "{head}/>"),
            Outcome::Skipped(why) => {
                writeln!(out, "{head}>\n      <skipped message=\"{}\"/>\n    </testcase>", escaped(why))
            }
            Outcome::Failed(fault) => {
                let message = format!("expected {}, got {}", fault.expected, fault.got);
                let text = format!(
                    "called: {}\nexpected: {}\ngot: {}\nrule: {}\nwhy: {}",
                    fault.called, fault.expected, fault.got, one.case.rule, one.case.why
                );
                writeln!(
                    out,
                    "{head}>\n      <failure type=\"{id}\" message=\"{}\">{}</failure>\n    </testcase>",
                    escaped(&message),
                    escaped(&text)
                )
            }
        };
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// As text and as the value of an attribute (XML 1.0, sections 2.2 and 2.4); what may not stand in XML is a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\t' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}' => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::conformance::{Fault, Verdict, cases};

    #[test]
    fn a_report_is_xml_whatever_a_plugin_says() {
        let nasty = "</failure><x a='\"&\n\u{1b}[2J\u{0}\u{FFFE}]]>";
        let fault = Fault { called: nasty.into(), expected: nasty.into(), got: nasty.into() };
        let outcomes = [Outcome::Ok, Outcome::Failed(fault), Outcome::Skipped(nasty.into())];
        let took = Duration::from_millis(1_500);
        let verdicts = cases().zip(outcomes).map(|(case, outcome)| Verdict { case, outcome, took }).collect();
        let text = render(nasty, &Report { verdicts, left: Vec::new() });
        let document = roxmltree::Document::parse(&text).unwrap();
        let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
        let counted = ["tests", "failures", "skipped", "time"].map(|name| suite.attribute(name).unwrap());
        assert_eq!(counted, ["3", "1", "1", "4.500"]);
        let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
        assert!(failure.text().unwrap().contains("called: </failure><x a='\"&\n?[2J"), "{:?}", failure.text());
    }
}
