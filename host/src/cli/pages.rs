//! Commands that pages and help texts print are commands that fief takes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;

use super::{Cli, command};

#[test]
fn each_command_that_a_page_or_a_help_text_shows_is_one() {
    let mut shown = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        shown.extend(blocks(&text).map(|(line, text)| (format!("{}:{line}", page.display()), text)));
    }
    examples(&command(), "fief", &mut shown);
    assert!(shown.len() > 100, "the pages were not understood: {shown:#?}");
    let wrong: Vec<String> = shown
        .iter()
        .flat_map(|(place, line)| commands(line).map(move |words| (place, words)))
        .filter_map(|(place, words)| Some(format!("{place}: {}: {}", words.join(" "), refused(&words)?)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a command is refused for, as it stands. Values may be placeholders, and `…` stands for what is left out.
fn refused(words: &[&str]) -> Option<String> {
    let cut = words.iter().any(|word| word.contains('…'));
    let kept = words.iter().filter(|word| !["…", "[ID…]"].contains(*word));
    let error = Cli::try_parse_from(kept).err()?;
    let meant = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument => cut,
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            cut || words.iter().any(|word| word.chars().all(|letter| letter.is_ascii_uppercase()))
        }
        _ => false,
    };
    (!meant).then(|| error.to_string())
}

fn pages() -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut pages = vec![workspace.join("README.md")];
    let entries = fs::read_dir(workspace.join("docs")).unwrap();
    pages.extend(
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "md")),
    );
    pages
}

/// The lines of a page that are for a shell, each with its number; one that goes on in the next is joined with it.
fn blocks(page: &str) -> impl Iterator<Item = (usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let (mut inside, mut goes_on) = (false, false);
    for (number, line) in (1..).zip(page.lines()) {
        if line.trim_start().starts_with("```") {
            inside = line.trim() == "```sh";
            continue;
        }
        let (text, continued) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, before)) => before.push_str(text),
            None if inside => lines.push((number, text.to_owned())),
            None => {}
        }
        goes_on = inside && continued;
    }
    lines.into_iter()
}

/// The examples of each verb's help text.
fn examples(command: &clap::Command, path: &str, shown: &mut Vec<(String, String)>) {
    let text = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("    "));
    shown.extend(lines.map(|line| (format!("{path} --help"), line.to_owned())));
    for verb in command.get_subcommands() {
        examples(verb, &format!("{path} {}", verb.get_name()), shown);
    }
}

/// The commands of fief's in a line of a shell's, in words: comments, and where its input and output go, are left out.
fn commands(line: &str) -> impl Iterator<Item = Vec<&str>> {
    let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
    let parts: Vec<Vec<&str>> = words
        .split(|word| ["|", "&&", "||", ";", "&"].contains(word))
        .map(|part| {
            let part = part.iter().skip_while(|word| **word != "fief").copied();
            part.take_while(|word| ![">", "<", ">>"].contains(word)).map(|word| word.trim_matches('\'')).collect()
        })
        .filter(|part: &Vec<&str>| !part.is_empty())
        .collect();
    parts.into_iter()
}

#[test]
fn a_wrong_command_is_found() {
    for wrong in ["fief lst", "fief list --wide", "fief volume create", "cat x | fief plugin instal FILE"] {
        let found: Vec<_> = commands(wrong).filter_map(|words| refused(&words)).collect();
        assert_eq!(found.len(), 1, "{wrong}: {found:?}");
    }
    let page = "```sh\nfief list   # --nonsense\n```\nfief lst\n```sh\nfief volume create a/b \\\n  --size 1GiB\n```\n";
    let lines: Vec<_> = blocks(page).collect();
    assert_eq!(lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 6]);
    assert!(lines.iter().flat_map(|(_, line)| commands(line)).all(|words| refused(&words).is_none()));
}
