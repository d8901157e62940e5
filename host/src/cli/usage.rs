//! What clap says of a command line, in fief's own shape: what is wrong, and what was probably meant.

use clap::error::ErrorKind;

use super::output::stdout;
use crate::error::{Failure, Result};

/// Help and version are printed and are no failure; all else is a usage error.
pub(super) fn outcome(error: &clap::Error) -> Result<()> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => stdout::write(&error.render().to_string()).map(|_| ()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => Err(missing_verb(error)),
        ErrorKind::InvalidSubcommand => Err(from_text(&error.render().to_string(), false)),
        _ => Err(from_text(&error.render().to_string(), true)),
    }
}

/// A verb is missing: clap gives the whole help, of which the list of verbs is what helps.
fn missing_verb(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let verbs: Vec<&str> = text
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or("fief [OPTIONS] <COMMAND>");
    let failure = Failure::usage(format!("a verb is missing: {usage}"));
    if verbs.is_empty() {
        return failure.hint("fief --help lists the verbs");
    }
    failure.hint(format!("one of: {}", verbs.join(", ")))
}

/// Takes clap's own text apart: the error up to the first empty line, `tip:` lines, the usage (where that helps).
fn from_text(text: &str, with_usage: bool) -> Failure {
    let mut message: Vec<&str> = Vec::new();
    let mut tips: Vec<&str> = Vec::new();
    let mut usage = None;
    let mut in_message = true;
    for line in text.lines() {
        in_message &= !line.is_empty();
        if let Some(tip) = line.trim().strip_prefix("tip: ") {
            tips.push(tip);
        } else if let Some(line) = line.strip_prefix("Usage: ") {
            usage = Some(line);
        } else if in_message {
            message.push(line.trim());
        }
    }
    let message = message.join(" ");
    let failure = Failure::usage(message.strip_prefix("error: ").unwrap_or(&message).to_owned());
    match (tips.is_empty(), usage.filter(|_| with_usage)) {
        (false, _) => failure.hint(tips.join("; ")),
        (true, Some(usage)) => failure.hint(format!("usage: {usage}")),
        (true, None) => failure.hint("fief --help lists the verbs, fief VERB --help what each takes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn failure(line: &str) -> Failure {
        let arguments = line.split(' ');
        outcome(&super::super::Cli::try_parse_from(arguments).unwrap_err()).unwrap_err()
    }

    #[test]
    fn a_verb_that_does_not_exist_is_answered_with_the_nearest() {
        let failure = failure("fief netwrok list");
        assert_eq!(failure.message, "unrecognized subcommand 'netwrok'");
        assert_eq!(failure.hint.as_deref(), Some("a similar subcommand exists: 'network'"));
    }

    #[test]
    fn a_missing_verb_is_answered_with_those_there_are() {
        let failure = failure("fief policy");
        assert!(failure.message.starts_with("a verb is missing: fief policy"), "{failure}");
        assert_eq!(failure.hint.as_deref(), Some("one of: show, check, explain"));
    }

    #[test]
    fn a_wrong_value_says_what_is_wrong_with_it() {
        let failure = failure("fief volume create default/a --size 20");
        assert!(failure.message.contains("has no unit"), "{failure}");
        assert!(failure.hint.is_some());
    }

    #[test]
    fn missing_arguments_are_named_on_one_line() {
        let failure = failure("fief volume resize");
        assert!(!failure.message.contains('\n'), "{failure}");
        assert!(failure.message.contains("<SIZE>"), "{failure}");
    }
}
