//! `fief migrate`

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::far::Far;
use crate::cli::output::progress::{Details, Progress};
use crate::cli::output::text::printable;
use crate::cli::output::{self, Format, Shown};
use crate::cli::{Context, findings, settings};
use crate::domain::relocation::{self, ask};
use crate::domain::store;
use crate::domain::survey::{Known, Plan, Predicted, Wish};
use crate::error::{Failure, Result};
use crate::gate::{Gate, Meter, Mode};
use crate::peer;
use crate::types::{Bandwidth, ByteSize, DomainName, PeerName, PluginId, Span};

/// Longest that a guest may be asked to stand still for the last of it.
const DOWNTIME_MAX: Duration = Duration::from_secs(60);

/// Move a domain to another host
///
///     fief migrate node1 hostb --plan
///     fief migrate node1 hostb --bandwidth 1Gbit --downtime 100ms
///
/// All that stands in the way is found first, on both hosts, and told at once; where something does, nothing is moved and
/// the exit code is 6. Policy says which strategy moves what ([[select.migration]]).
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Args {
    name: DomainName,
    /// Where to (fief peer list)
    #[arg(required_unless_present = "cancel")]
    peer: Option<PeerName>,
    /// Give up a move that is under way
    #[arg(long, conflicts_with_all = ["peer", "plan", "strategy", "eject", "leave_snapshots", "bandwidth", "downtime", "set"])]
    cancel: bool,
    /// Say what stands in the way, and how long it would take; move nothing (so does --dry-run)
    #[arg(long)]
    plan: bool,
    /// The plugin that moves it, in the place of what policy picks
    #[arg(long, value_name = "PLUGIN")]
    strategy: Option<PluginId>,
    /// Take discs out of drives that the other host does not have
    #[arg(long)]
    eject: bool,
    /// Give up snapshots that cannot go along with volumes that are copied
    #[arg(long)]
    leave_snapshots: bool,
    /// At most so much at a time, as in 1Gbit
    #[arg(long, value_name = "BANDWIDTH")]
    bandwidth: Option<Bandwidth>,
    /// How long the guest may stand still for the last of it, as in 100ms
    #[arg(long, value_name = "TIME")]
    downtime: Option<Span>,
    /// A setting of the strategy's; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = settings::setting)]
    set: Vec<(String, String)>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    if args.cancel {
        return cancel(context, &args.name);
    }
    let only_planned = args.plan || context.mode() == Mode::DryRun;
    let wish = wish(args)?;
    // What is asked for a plan changes nothing, in a dry run too.
    let gate = Gate::new(context.layout().clone(), context.policy()?, Mode::Perform);
    let waiting = Progress::asking_peer(&wish.peer, context.format());
    let planned = peer::run(Plan::make(&gate, wish));
    drop(waiting);
    let mut plan = planned?;
    findings::gravest_first(&mut plan.findings);
    let subject = format!("migrate {} {}", plan.wish.domain, plan.wish.peer);
    let verdict = findings::verdict(&subject, &plan.findings);
    if only_planned || verdict.is_err() {
        show(context, &plan)?;
        return verdict;
    }
    go(context, &gate, plan)
}

fn cancel(context: &Context, name: &DomainName) -> Result<()> {
    match context.mode() {
        Mode::Perform => ask::cancel(&context.gate_for_change()?, name)?,
        Mode::DryRun if !context.layout().domain(name).exists() => return Err(store::no_such(context.layout(), name)),
        Mode::DryRun => {}
    }
    context.changed("domain", name, "its move is given up", json!({ "name": name }))
}

/// Moves it as planned, and shows how far that is.
fn go(context: &Context, gate: &Gate, plan: Plan) -> Result<()> {
    let (name, peer) = (plan.wish.domain, plan.wish.peer);
    let Plan { strategy, settings, facts, .. } = plan;
    let bandwidth = plan.wish.bandwidth;
    let snapshots = facts.domain.disks.iter().any(|disk| disk.goes_along() && !disk.snapshots.is_empty());
    let wish = relocation::Wish { to: peer.clone(), strategy, settings, bandwidth, snapshots, facts: Box::new(facts) };
    let meter = Meter::default();
    let (details, mut far) = (Details::default(), Far::default());
    let shown = Progress::detailed(format!("moving {name} to {peer}"), &meter, &details, context.format());
    let moved = ask::migrate(gate, &name, wish, |progress| {
        let (done, total, detail) = far.look(progress);
        meter.tell(done, total);
        details.tell(detail);
    });
    drop(shown);
    let moved = moved?;
    for stays in &moved.stays {
        output::failure::warn(stays, context.format());
    }
    let outcome = moved.outcome.unwrap_or_default();
    let said = format!(
        "moved to {peer} in {}, its guest stood still for {}, {} went over",
        seconds(Duration::from_millis(outcome.total_ms)),
        seconds(Duration::from_millis(outcome.downtime_ms)),
        ByteSize::from_bytes(outcome.transferred).human()
    );
    context.changed("domain", &name, &said, json!({ "name": name, "peer": peer, "outcome": outcome }))
}

fn wish(args: Args) -> Result<Wish> {
    let downtime = args.downtime.map(|Span(downtime)| downtime);
    if downtime.is_some_and(|downtime| downtime > DOWNTIME_MAX || downtime.is_zero()) {
        return Err(Failure::usage(format!("--downtime is from 1ms to {}", Span(DOWNTIME_MAX))));
    }
    let mut settings = BTreeMap::new();
    for (key, value) in args.set {
        if settings.insert(key.clone(), value).is_some() {
            return Err(
                Failure::usage(format!("the setting {key} is given twice")).hint(format!("keep one --set {key}=VALUE"))
            );
        }
    }
    Ok(Wish {
        domain: args.name,
        peer: args.peer.ok_or_else(|| Failure::usage("where is it to go?").hint("fief peer list shows the hosts"))?,
        strategy: args.strategy,
        settings,
        eject: args.eject,
        leave_snapshots: args.leave_snapshots,
        bandwidth: args.bandwidth,
        downtime,
    })
}

fn show(context: &Context, plan: &Plan) -> Result<()> {
    if context.format() == Format::Name {
        return context.list(&plan.findings);
    }
    let json = json!({
        "domain": plan.wish.domain,
        "peer": plan.wish.peer,
        "strategy": plan.chosen.strategy,
        "because": plan.chosen.because,
        "findings": plan.findings,
        "prediction": plan.prediction.map(prediction_json),
        "disks": plan.facts.domain.disks,
    });
    let mut text = summary(plan);
    if !plan.findings.is_empty() {
        text.push('\n');
        text.push_str(&output::listing(&plan.findings, context.format(), output::terminal_width())?);
    }
    context.show(&Shown { kind: "migration-plan", name: plan.wish.domain.to_string(), json, text })
}

fn prediction_json(predicted: Predicted) -> serde_json::Value {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let Predicted { prediction, bandwidth, known } = predicted;
    json!({
        "total-ms": ms(prediction.total),
        "pause-ms": ms(prediction.pause),
        "bytes": prediction.sent,
        "rounds": prediction.rounds,
        "converges": prediction.converges,
        "bandwidth": bandwidth,
        "bandwidth-known-by": known,
    })
}

fn summary(plan: &Plan) -> String {
    let mut lines = vec![
        ("move", format!("{} to {}", plan.wish.domain, plan.wish.peer)),
        ("strategy", format!("{} ({})", plan.chosen.strategy, plan.chosen.because)),
    ];
    if let Some(Predicted { prediction, bandwidth, known }) = plan.prediction {
        let how = match known {
            Known::Limit => "the limit",
            Known::Assumed => "assumed",
        };
        let rate = ByteSize::from_bytes(bandwidth).human();
        let sent = ByteSize::from_bytes(prediction.sent).human();
        lines.push(("time", format!("about {}: {sent} at {rate} a second ({how})", seconds(prediction.total))));
        let more = if prediction.converges { "" } else { ": it writes faster than can be sent" };
        if !prediction.pause.is_zero() {
            lines.push(("pause", format!("about {}{more}", seconds(prediction.pause))));
        }
    }
    let findings = if plan.findings.is_empty() { "nothing stands in the way" } else { "as below" };
    lines.push(("findings", findings.to_owned()));
    lines.iter().map(|(key, value)| format!("{key:<12} {}\n", printable(value))).collect()
}

/// `90 ms`, `4.3 s`, `12 min`.
fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..=599 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 600..=86_399 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
