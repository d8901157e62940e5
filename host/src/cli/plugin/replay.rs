//! `fief plugin replay`

use std::fs::File;
use std::io::{BufReader, ErrorKind, Seek};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::fetching::FetchArgs;
use crate::cli::output::failure::note;
use crate::cli::output::progress::Progress;
use crate::cli::output::text::printable;
use crate::cli::output::{Cell, Column, Format, Row};
use crate::cli::{Context, load};
use crate::conformance::Ground;
use crate::error::{Context as _, Failure, Kind, Result};
use crate::plugin::recording::format::{Header, Reader};
use crate::plugin::replay::{Replay, Replayed, Verdict, words};
use crate::plugin::source::{Fetched, Source};
use crate::sandbox::protocol::PluginKind;
use crate::sys::interrupt;

/// Run a recording of a plugin again: the same calls in its sandbox, the answers out of the file
///
///     fief plugin replay customer.recording                          # with the plugin that was recorded, as it is installed here
///     fief plugin replay customer.recording --plugin my_disks.wasm   # with another build of it: is the fault cured?
///
/// No storage, no network and no pool is touched, here or there. Each call is told with what came of it then and now: same,
/// cured (it was the plugin's fault then and is not now) or DIFFERS. Ends with exit code 6 where a call differs, and names
/// the first.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// What fief plugin record wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Another build of the plugin: .wasm, a directory that holds one or a project that was built to one, https://… or oci://…
    #[arg(long, value_name = "FILE|DIRECTORY|ADDRESS")]
    plugin: Option<Source>,
    /// Show what the plugin logs
    #[arg(long)]
    log: bool,
    #[command(flatten)]
    fetching: FetchArgs,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let shown = args.file.display().to_string();
    let mut file = match File::open(&args.file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Failure::not_found(format!("there is no file {shown}")));
        }
        other => other.context(|| format!("cannot open {shown}"))?,
    };
    // All of it is looked at before anything of it runs.
    let mut reader = Reader::begin(BufReader::new(&file), &shown)?;
    let header = reader.header().clone();
    while reader.next_call()?.is_some() {}
    file.rewind().context(|| format!("cannot read {shown}"))?;
    let fetched = fetched(context, args, &header)?;
    let replayed = replayed(context, &fetched, Reader::begin(BufReader::new(&file), &shown)?)?;
    let lines: Vec<Line> = replayed.into_iter().map(Line).collect();
    context.list(&lines)?;
    tell(context, &lines, args.log)?;
    verdict(context, &header, &lines)
}

/// The plugin that is run.
fn fetched(context: &Context, args: &Args, header: &Header) -> Result<Fetched> {
    let Header { plugin, version, digest, .. } = header;
    let source = match &args.plugin {
        Some(source) => source.clone(),
        None => {
            let stored = context.layout().store(*digest);
            if !stored.exists() {
                let message = format!("{plugin} {version} ({digest}), which was recorded, is not installed here");
                return Err(
                    Failure::not_found(message).hint("--plugin FILE runs another build, or that one from a file")
                );
            }
            Source::Path(stored)
        }
    };
    let fetched = args.fetching.fetch(&context.gate()?, &source)?;
    let installed = load::inspect_plugin(&fetched)?;
    if installed.manifest.id != *plugin {
        let message = format!("{} is the plugin {}, and {plugin} was recorded", fetched.shown, installed.manifest.id);
        return Err(Failure::usage(message));
    }
    match installed.manifest.kind {
        PluginKind::Storage => Ok(fetched),
        PluginKind::Network | PluginKind::Migration => {
            let kind = installed.manifest.kind.name();
            Err(Failure::usage(format!("{plugin} is a {kind} plugin now, and calls of a pool were recorded")))
        }
    }
}

fn replayed(context: &Context, fetched: &Fetched, mut reader: Reader<BufReader<&File>>) -> Result<Vec<Replayed>> {
    interrupt::watch();
    let progress = Progress::start(format!("replaying {}", fetched.shown));
    let policy = context.policy()?;
    let ground = Ground::make(fetched, &policy.host, context.layout(), |_, _, _| Ok(Vec::new()))?;
    let installed = load::inspect_plugin(fetched)?;
    let mut replay = Replay::new(ground.gate(), &installed, ground.folder())?;
    let mut all = Vec::new();
    while let Some(line) = reader.next_call()? {
        interrupt::check().map_err(|error| Failure::other("not all calls were replayed").because(error))?;
        all.push(replay.next(line)?);
    }
    drop(progress);
    Ok(all)
}

/// Each call that went otherwise with all that is known of it, for people.
fn tell(context: &Context, lines: &[Line], log: bool) -> Result<()> {
    if !matches!(context.format(), Format::Table | Format::Wide) {
        return Ok(());
    }
    for Line(call) in lines {
        if log && !call.said_now.is_empty() {
            note(&format!("call {} said:\n{}", call.number, call.said_now.join("\n")));
        }
        let Verdict::Differs(what) = &call.verdict else { continue };
        let mut text =
            format!("\ncall {} ({} {}) differs: {}\n", call.number, call.function, call.about, printable(what));
        for (when, end) in [("then", &call.then), ("now", &call.now)] {
            let end = end.as_ref().map_or_else(|| "was not answered".to_owned(), words);
            text.push_str(&format!("  {when}: it {}\n", printable(&end)));
        }
        for line in &call.notes {
            text.push_str(&format!("  note: {}\n", printable(line)));
        }
        context.print(&text)?;
    }
    Ok(())
}

/// # Errors
/// `Findings` where a call differs.
fn verdict(context: &Context, header: &Header, lines: &[Line]) -> Result<()> {
    let count = |which: fn(&Verdict) -> bool| lines.iter().filter(|line| which(&line.0.verdict)).count();
    let differs = count(|verdict| matches!(verdict, Verdict::Differs(_)));
    let cured = count(|verdict| matches!(verdict, Verdict::Cured));
    let left_out = count(|verdict| matches!(verdict, Verdict::LeftOut(_)));
    let first = lines.iter().find_map(|line| match &line.0.verdict {
        Verdict::Differs(what) => Some((&line.0, what)),
        Verdict::Same | Verdict::Cured | Verdict::LeftOut(_) => None,
    });
    let id = &header.plugin;
    let Some((call, what)) = first else {
        let same = lines.len() - cured - left_out;
        let more = [(cured, "cured"), (left_out, "were left out")].into_iter().filter(|(count, _)| *count > 0);
        let more: String = more.map(|(count, what)| format!(", {count} {what}")).collect();
        return context.say(&format!("{id}: {same} calls are the same{more}"));
    };
    let mut failure = Failure::new(
        Kind::Findings,
        format!("{id}: {differs} of {} calls differ, the first is call {}", lines.len(), call.number),
    );
    failure.causes.push(format!("{} {}: {what}", call.function, call.about));
    Err(failure.hint("-o json shows each call, then and now, and what the plugin logged"))
}

struct Line(Replayed);

impl Line {
    const fn result(&self) -> &'static str {
        match self.0.verdict {
            Verdict::Same => "same",
            Verdict::Cured => "cured",
            Verdict::Differs(_) => "DIFFERS",
            Verdict::LeftOut(_) => "left out",
        }
    }
}

impl Row for Line {
    const KIND: &'static str = "replayed-call";
    const COLUMNS: &'static [Column] = &[
        Column::right("CALL"),
        Column::left("FUNCTION"),
        Column::left("ABOUT"),
        Column::left("RESULT"),
        Column::left("THEN"),
        Column::left("NOTE").wide(),
    ];
    fn name(&self) -> String {
        self.0.number.to_string()
    }
    fn cells(&self) -> Vec<Cell> {
        let Replayed { number, function, about, then, verdict, notes, .. } = &self.0;
        let then = match verdict {
            Verdict::LeftOut(why) => why.clone(),
            Verdict::Same | Verdict::Cured | Verdict::Differs(_) => then.as_ref().map(words).unwrap_or_default(),
        };
        let about = if about.is_empty() { Cell::Nothing } else { about.as_str().into() };
        let notes = if notes.is_empty() { Cell::Nothing } else { notes.join("; ").into() };
        vec![number.to_string().into(), function.as_str().into(), about, self.result().into(), then.into(), notes]
    }
    fn json(&self) -> Value {
        let Replayed { number, function, about, then, now, verdict, notes, said_then, said_now } = &self.0;
        let mut item = json!({
            "call": number,
            "function": function,
            "about": about,
            "result": self.result().to_lowercase().replace(' ', "-"),
            "then": then,
            "now": now,
            "notes": notes,
            "logged-then": said_then,
            "logged-now": said_now,
        });
        match verdict {
            Verdict::Same | Verdict::Cured => {}
            Verdict::Differs(why) | Verdict::LeftOut(why) => item["reason"] = why.as_str().into(),
        }
        item
    }
}
