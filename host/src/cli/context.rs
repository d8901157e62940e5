//! What every verb is handed: where state lies, how to print, and the way to the gate.

use std::cell::{OnceCell, RefCell};
use std::fmt::Display;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::load;
use super::output::stdout::Reader;
use super::output::{self, Format, Row, Shown, stdout, text};
use super::root;
use crate::config::policy::{self, Policy};
use crate::domain::unfinished;
use crate::error::{Failure, Kind, Result};
use crate::gate::{Gate, Mode};
use crate::layout::Layout;

#[derive(Debug)]
pub struct Context {
    layout: Layout,
    format: Format,
    yes: bool,
    /// What changed is told by the caller, in words of its own.
    quiet: bool,
    mode: Mode,
    policy: OnceCell<Arc<Policy>>,
    /// Directories made by `prepare`, outermost first.
    made: RefCell<Vec<PathBuf>>,
}

impl Context {
    /// # Errors
    /// Where the root is there and is not fit to be one.
    pub fn new(layout: Layout, format: Format, yes: bool, dry_run: bool) -> Result<Self> {
        root::check(&layout)?;
        let mode = if dry_run { Mode::DryRun } else { Mode::Perform };
        Ok(Context { layout, format, yes, quiet: false, mode, policy: OnceCell::new(), made: RefCell::default() })
    }

    /// The same, without a word on what changed.
    pub(super) fn quietly(self) -> Self {
        Context { quiet: true, ..self }
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }
    pub fn format(&self) -> Format {
        self.format
    }
    pub fn mode(&self) -> Mode {
        self.mode
    }
    pub(super) fn quiet(&self) -> bool {
        self.quiet
    }
    /// `-o wide`: columns that cost something are worth it.
    pub fn wide(&self) -> bool {
        self.format == Format::Wide
    }
    /// Output is read by a program: it gets everything.
    pub fn for_programs(&self) -> bool {
        matches!(self.format, Format::Json | Format::Yaml)
    }

    /// The policy, read once; no file is an empty policy, which grants nothing.
    pub fn policy(&self) -> Result<Arc<Policy>> {
        if let Some(policy) = self.policy.get() {
            return Ok(policy.clone());
        }
        let policy = Arc::new(policy::load(&self.layout.policy())?);
        Ok(self.policy.get_or_init(|| policy).clone())
    }

    /// The gate, for a verb that only reads; the root may be absent.
    pub fn gate(&self) -> Result<Gate> {
        Ok(Gate::new(self.layout.clone(), self.policy()?, self.mode))
    }

    /// The gate, for a verb that changes something: the root is made where it is absent (not in a dry run).
    pub fn gate_for_change(&self) -> Result<Gate> {
        self.prepare()?;
        self.gate()
    }

    /// Makes the root where it is absent, for a change that does not go through the gate.
    pub fn prepare(&self) -> Result<()> {
        if self.mode == Mode::Perform {
            self.made.borrow_mut().extend(root::prepare(&self.layout)?);
        }
        Ok(())
    }

    /// Ahead of every verb: what a command that was killed has left is finished or taken back. Where that does not work
    /// it is told, and the verb goes on: it may be what mends it.
    pub(super) fn settle(&self) {
        if self.mode == Mode::Perform {
            let plugins = load::settle_plugins(&self.layout);
            for failure in plugins.into_iter().chain(unfinished::settle_all(&self.layout, || self.gate())) {
                output::failure::warn(&failure.to_string(), self.format);
            }
        }
    }

    /// At the end of every verb: a root that was made and then not used goes again.
    pub(super) fn tidy(&self) {
        for directory in self.made.take().iter().rev() {
            // Fails where there is something in it, as it should.
            let _ = std::fs::remove_dir(directory);
        }
    }

    /// Prints a listing.
    pub fn list<R: Row>(&self, rows: &[R]) -> Result<()> {
        self.print(&output::listing(rows, self.format, output::terminal_width())?)
    }

    /// Prints one thing.
    pub fn show(&self, shown: &Shown) -> Result<()> {
        self.print(&output::shown(shown, self.format)?)
    }

    /// Says that a change was made: `volume default/node1 created`. `item` is the thing as listings show it.
    /// In a dry run nothing was, and the gate has printed what would have been.
    pub fn changed(&self, kind: &'static str, name: &impl Display, what: &str, item: Value) -> Result<()> {
        if self.mode == Mode::DryRun || self.quiet {
            return Ok(());
        }
        let name = name.to_string();
        let name = text::printable(&name);
        match self.format {
            Format::Table | Format::Wide => self.print(&format!("{kind} {name} {what}\n")),
            Format::Name => self.print(&format!("{name}\n")),
            Format::Json | Format::Yaml => {
                let body = json!({ "item": item, "result": what });
                self.print(&output::document(self.format, output::json::envelope(kind, body))?)
            }
        }
    }

    /// A line for people, ahead of what may take long.
    pub fn say(&self, line: &str) -> Result<()> {
        match self.format {
            Format::Table | Format::Wide if !self.quiet && self.mode == Mode::Perform => {
                self.print(&format!("{line}\n"))
            }
            Format::Table | Format::Wide | Format::Name | Format::Json | Format::Yaml => Ok(()),
        }
    }

    /// Writes text as it is. A reader that went away is not an error.
    pub fn print(&self, text: &str) -> Result<()> {
        match stdout::write(text)? {
            Reader::There | Reader::Gone => Ok(()),
        }
    }

    /// Asks before something is lost. `what` is what would happen, as in `delete volume default/a and its data`.
    ///
    /// # Errors
    /// `NeedsYes` where the answer is not yes, or there is no terminal to ask on.
    pub fn confirm(&self, what: &str) -> Result<()> {
        if self.yes || self.mode == Mode::DryRun {
            return Ok(());
        }
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        ask(what, terminal, &mut std::io::stdin().lock())
    }
}

fn ask(what: &str, terminal: bool, answers: &mut impl BufRead) -> Result<()> {
    if !terminal {
        return Err(Failure::new(Kind::NeedsYes, format!("would {what}, and there is no terminal to ask on"))
            .hint("say --yes to do it without being asked"));
    }
    let question = format!("{}? [y/N] ", text::printable(what));
    let mut answer = String::new();
    // A terminal that went away gives no answer, which is not yes.
    let _ = std::io::stderr().write_all(question.as_bytes()).and_then(|()| answers.read_line(&mut answer));
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(Kind::NeedsYes, format!("did not {what}: the answer was not yes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_loses_something() {
        for yes in ["y\n", "YES\n", " y \n"] {
            assert!(ask("delete it", true, &mut yes.as_bytes()).is_ok(), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "yesterday\n"] {
            assert_eq!(ask("delete it", true, &mut no.as_bytes()).unwrap_err().kind, Kind::NeedsYes, "{no:?}");
        }
        let failure = ask("delete it", false, &mut "y\n".as_bytes()).unwrap_err();
        assert_eq!(failure.kind, Kind::NeedsYes);
        assert!(failure.hint.is_some_and(|hint| hint.contains("--yes")));
    }
}
