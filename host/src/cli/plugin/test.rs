//! `fief plugin test`

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fetching::FetchArgs;
use super::{grant, tried_with};
use crate::cli::output::failure::note;
use crate::cli::output::progress::{Detail, Details, Progress};
use crate::cli::output::text::printable;
use crate::cli::output::{Cell, Column, Format, Row};
use crate::cli::{Context, load};
use crate::conformance::{self, Case, Ground, Options, Outcome, Report, Verdict, With, junit};
use crate::error::{Context as _, Failure, Kind, Result};
use crate::gate::Meter;
use crate::plugin::log;
use crate::plugin::source::{Fetched, Source};
use crate::sandbox::protocol::PluginKind;
use crate::sys::{apart, durable, interrupt};
use crate::types::VolumeName;

/// How alike two words are (Jaro-Winkler, 0 to 1) before one is offered for the other.
const ALIKE: f64 = 0.7;

/// Try out a plugin: whether it does what the interface says, found out in its sandbox
///
///     fief plugin test my_disks.wasm --settings pool.toml
///     fief plugin test my_disks.wasm --settings pool.toml --only block-model --seed 7
///     fief plugin test my_san.wasm --settings pool.toml --connection portal,allow=this-host --volume lun3
///     fief plugin test my_lan.wasm --settings network.toml
///     fief plugin test my_moves.wasm
///     fief plugin test --list
///
/// Nothing of this host is used: the plugin is installed below a folder that is gone afterwards, where it is granted what
/// it asks for as far as that takes no choice, and what the options say. A directory that the settings name and no option
/// grants is an empty one below that folder. pool.toml is a definition as fief pool create -f takes it. Where the
/// settings lead to a server, volumes are made there (their names begin with fieftest), and deleted again.
///
/// A network plugin is tried on a network that nobody else is on, with a cable fieftest0 to fieftest1 in it; network.toml is
/// a definition as fief network create -f takes it. A strategy moves domains that are made up; what it is given of settings is
/// the [settings] of that file.
///
/// Ends with exit code 6 where a case failed.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The plugin: .wasm, a directory that holds one or a project that was built to one, https://… or oci://…
    #[arg(value_name = "FILE|DIRECTORY|ADDRESS", required_unless_present = "list")]
    source: Option<Source>,
    /// The definition of a pool or network, with the settings that the plugin gets ('-' is standard input)
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    trial: Trial,
    #[command(flatten)]
    fetching: FetchArgs,
    /// List the cases, and try none
    #[arg(long)]
    list: bool,
}

/// How a plugin is tried.
#[derive(Debug, clap::Args)]
pub(super) struct Trial {
    #[command(flatten)]
    options: grant::Options,
    /// A volume that is there and whose content may be lost, for storage whose volumes are made elsewhere
    #[arg(long, value_name = "NAME")]
    volume: Option<VolumeName>,
    /// Try this case alone; may be repeated
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// Write the report to this file too, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// What random cases do follows from this number; another one each time where it is left out
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// What of the plugin's own words is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    Hidden,
    Shown,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    if args.list {
        return context.list(&chosen(&args.trial.only, None)?);
    }
    let Some(source) = &args.source else {
        return Err(Failure::usage("a plugin is needed").hint("fief plugin test --help"));
    };
    // A mistake in it is told before anything is fetched.
    chosen(&args.trial.only, None)?;
    let fetched = args.fetching.fetch(&context.gate()?, source)?;
    trial(context, &args.trial, args.settings.as_deref(), &fetched, Log::Hidden)
}

/// Tries a plugin with what that file defines, and says how it went.
///
/// # Errors
/// `Findings` where a case failed.
pub(super) fn trial(
    context: &Context,
    args: &Trial,
    definition: Option<&Path>,
    fetched: &Fetched,
    log: Log,
) -> Result<()> {
    let kind = load::inspect_plugin(fetched)?.manifest.kind;
    let cases = chosen(&args.only, Some(kind))?;
    let with = tried_with::read(kind, definition)?;
    if let Some(volume) = &args.volume {
        if kind != PluginKind::Storage {
            return Err(Failure::usage(format!("--volume means nothing to a {} plugin", kind.name())));
        }
        let from = definition.map(|path| path.display().to_string()).unwrap_or_default();
        context.confirm(&format!("write over the volume {volume} of the storage that {from} leads to"))?;
    }
    let seed = match args.seed {
        Some(seed) => seed,
        None => random()?,
    };
    // What cannot be written is told before the work, not after.
    if let Some(path) = &args.junit {
        durable::write(path, b"")?;
    }
    let Tried { report, id, said } = tried(context, args, fetched, with, &cases, seed)?;
    if let Some(path) = &args.junit {
        durable::write(path, junit::render(&id, &report).as_bytes())?;
    }
    context.list(&report.verdicts.iter().map(|verdict| Line { verdict, seed }).collect::<Vec<_>>())?;
    tell_failures(context, &report)?;
    if log == Log::Shown && !said.is_empty() {
        note(&format!("{id} said:\n{said}"));
    }
    verdict(context, &id, &report, seed)
}

struct Tried {
    report: Report,
    id: String,
    /// What the plugin logged.
    said: String,
}

fn tried(
    context: &Context,
    args: &Trial,
    fetched: &Fetched,
    with: With,
    cases: &[&'static Case],
    seed: u64,
) -> Result<Tried> {
    interrupt::watch();
    let details = Details::default();
    let what = format!("testing {}", fetched.shown);
    let progress = Progress::detailed(what, &Meter::default(), &details, context.format());
    let tell = |words: &str| details.tell(Detail { words: words.to_owned(), known: json!({ "case": words }) });
    tell("compiling");
    let policy = context.policy()?;
    let id = load::inspect_plugin(fetched)?.manifest.id;
    let ground = Ground::make(fetched, &policy.host, context.layout(), |installed, policy, own| {
        tried_with::edits(&args.options, &with, installed, policy, own)
    })?;
    let options = Options { seed, volume: args.volume.clone() };
    let run = || conformance::run(&ground, with.clone(), options, cases, |case| tell(case.id));
    let report = match &with {
        With::Network(_) => apart::on_no_network(conformance::CABLE, run)?,
        With::Pool(_) | With::Moves(_) => run()?,
    };
    drop(progress);
    // One that says nothing has no log.
    let said = std::fs::read_to_string(log::path(ground.gate().layout(), &id)).unwrap_or_default();
    Ok(Tried { report, id: id.to_string(), said })
}

/// # Errors
/// `Usage` for a case that there is not, or that is for plugins of another kind.
fn chosen(only: &[String], kind: Option<PluginKind>) -> Result<Vec<&'static Case>> {
    let near = |word: &str| {
        let all = conformance::cases().map(|case| (case.id, strsim::jaro_winkler(case.id, word)));
        let best = all.filter(|(_, likeness)| *likeness >= ALIKE).max_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or_else(|| "fief plugin test --list".to_owned(), |(id, _)| format!("did you mean {id}?"))
    };
    if let Some(word) = only.iter().find(|word| !conformance::cases().any(|case| case.id == **word)) {
        return Err(Failure::usage(format!("there is no case {word:?}")).hint(near(word)));
    }
    let chosen = conformance::cases().filter(|case| only.is_empty() || only.iter().any(|word| case.id == *word));
    let Some(kind) = kind else { return Ok(chosen.collect()) };
    let chosen: Vec<&Case> = chosen.collect();
    if let Some(other) = chosen.iter().find(|case| case.kind() != kind && !only.is_empty()) {
        let message =
            format!("{} is a case for {} plugins, and this is a {} plugin", other.id, other.kind().name(), kind.name());
        return Err(Failure::usage(message).hint("fief plugin test --list"));
    }
    Ok(chosen.into_iter().filter(|case| case.kind() == kind).collect())
}

fn random() -> Result<u64> {
    let name = durable::random_name().context(|| "there are no random numbers".to_owned())?;
    // Short enough to be typed again.
    Ok(u64::from_str_radix(&name.chars().take(8).collect::<String>(), 16).unwrap_or(1))
}

/// Each failure with all that is known of it, for people.
fn tell_failures(context: &Context, report: &Report) -> Result<()> {
    if !matches!(context.format(), Format::Table | Format::Wide) {
        return Ok(());
    }
    for Verdict { case, outcome, took: _ } in &report.verdicts {
        let Outcome::Failed(fault) = outcome else { continue };
        let mut text = format!("\n{} failed: {}\n", case.id, case.what);
        for (what, words) in [
            ("called", fault.called.as_str()),
            ("expected", fault.expected.as_str()),
            ("got", fault.got.as_str()),
            ("the interface says", case.rule),
            ("why it matters", case.why),
        ] {
            text.push_str(&format!("  {what}: {}\n", printable(words)));
        }
        context.print(&text)?;
    }
    Ok(())
}

/// # Errors
/// `Findings` where a case failed.
fn verdict(context: &Context, id: &str, report: &Report, seed: u64) -> Result<()> {
    let count = |which: fn(&Outcome) -> bool| report.verdicts.iter().filter(|one| which(&one.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let passed = report.verdicts.len() - failed - skipped;
    if !report.left.is_empty() {
        let message = format!("these volumes could not be deleted again: {}", report.left.join(", "));
        crate::cli::output::failure::warn(&message, context.format());
    }
    if failed > 0 {
        return Err(Failure::new(Kind::Findings, format!("{id}: {failed} of {} cases failed", report.verdicts.len()))
            .hint(format!("--only CASE tries one again, with --seed {seed} in the same way")));
    }
    context.say(&format!("{id}: {passed} cases passed, {skipped} were skipped"))
}

/// A verdict, as it is listed.
struct Line<'a> {
    verdict: &'a Verdict,
    seed: u64,
}

impl Line<'_> {
    const fn result(&self) -> &'static str {
        match self.verdict.outcome {
            Outcome::Ok => "ok",
            Outcome::Failed(_) => "FAILED",
            Outcome::Skipped(_) => "skipped",
        }
    }
}

impl Row for Line<'_> {
    const KIND: &'static str = "case-result";
    const COLUMNS: &'static [Column] =
        &[Column::left("CASE"), Column::left("RESULT"), Column::right("TIME").wide(), Column::left("ABOUT")];
    fn name(&self) -> String {
        self.verdict.case.id.to_owned()
    }
    fn cells(&self) -> Vec<Cell> {
        let Verdict { case, outcome, took } = self.verdict;
        let about = match outcome {
            Outcome::Ok => case.what.to_owned(),
            Outcome::Failed(fault) => format!("expected {}, got {}", fault.expected, fault.got),
            Outcome::Skipped(why) => why.clone(),
        };
        vec![case.id.into(), self.result().into(), format!("{}ms", took.as_millis()).into(), about.into()]
    }
    fn json(&self) -> Value {
        let Verdict { case, outcome, took } = self.verdict;
        let mut item = json!({
            "case": case.id,
            "what": case.what,
            "rule": case.rule,
            "result": self.result().to_lowercase(),
            "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "seed": self.seed,
        });
        match outcome {
            Outcome::Ok => {}
            Outcome::Skipped(why) => item["reason"] = why.as_str().into(),
            Outcome::Failed(fault) => {
                item["called"] = fault.called.as_str().into();
                item["expected"] = fault.expected.as_str().into();
                item["got"] = fault.got.as_str().into();
                item["why"] = case.why.into();
            }
        }
        item
    }
}

impl Row for &'static Case {
    const KIND: &'static str = "case";
    const COLUMNS: &'static [Column] =
        &[Column::left("CASE"), Column::left("KIND"), Column::left("WHAT"), Column::left("RULE").wide()];
    fn name(&self) -> String {
        self.id.to_owned()
    }
    fn cells(&self) -> Vec<Cell> {
        vec![self.id.into(), self.kind().name().into(), self.what.into(), self.rule.into()]
    }
    fn json(&self) -> Value {
        json!({ "case": self.id, "kind": self.kind().name(), "what": self.what, "rule": self.rule, "why": self.why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_name_and_a_slip_is_told() {
        assert_eq!(chosen(&[], None).unwrap().len(), conformance::cases().count());
        let some = chosen(&["delete-absent".to_owned(), "create-twice".to_owned()], None).unwrap();
        assert_eq!(some.iter().map(|case| case.id).collect::<Vec<_>>(), ["create-twice", "delete-absent"]);
        let moves = chosen(&[], Some(PluginKind::Migration)).unwrap();
        assert!(!moves.is_empty() && moves.iter().all(|case| case.kind() == PluginKind::Migration));
        let failure = chosen(&["create-twice".to_owned()], Some(PluginKind::Migration)).unwrap_err();
        assert!(failure.message.contains("is a case for storage plugins"), "{failure}");
        let failure = chosen(&["create-twise".to_owned()], None).unwrap_err();
        assert_eq!((failure.kind, failure.hint.as_deref()), (Kind::Usage, Some("did you mean create-twice?")));
    }
}
