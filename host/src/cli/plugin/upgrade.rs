//! `fief plugin upgrade`

use std::cmp::Ordering;
use std::sync::Arc;

use semver::Version;

use super::asks::{Ask, asks};
use super::brief::BriefArgs;
use super::fetching::FetchArgs;
use super::grants;
use super::list::PluginRow;
use crate::cli::findings::{found, verdict};
use crate::cli::output::Row;
use crate::cli::output::failure::{note, warn};
use crate::cli::output::progress::Progress;
use crate::cli::{Context, load};
use crate::config::policy::edit::Edit;
use crate::config::policy::{self, Policy};
use crate::error::Result;
use crate::gate::{Gate, Mode, policy as file};
use crate::network::{self, Network};
use crate::plugin::compared::{Compared, Differs};
use crate::plugin::manifest::Permission;
use crate::plugin::source::Source;
use crate::plugin::{self, Installed, Manifest, printable};
use crate::sandbox::protocol::{Finding, PluginKind, Severity};
use crate::storage::{self, Pool};
use crate::types::Access;

/// Put another version of a plugin in the place of the one that is installed
///
/// What changes is shown first: what the new one asks for and the old one did not, who signed it, and how it answers for the
/// pools and networks that are there, beside the old one. It is tried before, as fief plugin install tries it. Where that takes the operator's word, nothing is changed without --accept. Domains that run
/// keep the version that they began with; fief plugin rollback brings it back for all.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A component with a manifest in it (.wasm), a directory that holds one or a project that was built to one,
    /// https://…, or oci://REGISTRY/NAME:TAG
    #[arg(value_name = "FILE|DIRECTORY|ADDRESS")]
    source: Source,
    /// Take it as it is: grant what it newly asks for as far as that takes no choice, and move the pin to it where there is one
    #[arg(long)]
    accept: bool,
    #[command(flatten)]
    brief: BriefArgs,
    #[command(flatten)]
    fetching: FetchArgs,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let fetched = args.fetching.fetch(&gate, &args.source)?;
    let mut new = load::inspect_plugin(&fetched)?;
    let id = &new.manifest.id.clone();
    let old = plugin::installed(gate.layout(), id)?;
    if old.digest == new.digest {
        let row = PluginRow::of(context.layout(), &old, gate.policy());
        return context.changed("plugin", id, "is that already", row.json());
    }
    let mut findings = differences(&old, &new, gate.policy());
    refuse(context, &new, &findings, args.accept)?;
    let edits = if args.accept { consented(&old, &new, gate.policy()) } else { Vec::new() };
    let then = Arc::new(file::wanted(gate.layout(), id, &edits)?);
    load::admit_plugin(&Gate::new(gate.layout().clone(), then.clone(), gate.mode()), &new)?;
    if gate.mode() == Mode::DryRun {
        return context.list(&findings);
    }
    new.trial = args.brief.tried(&gate, &new, &fetched)?;
    let progress = Progress::start(format!("trying {}", fetched.shown));
    let upgraded = load::stage_plugin(&gate, new.clone(), &fetched.bytes).and_then(|staged| {
        findings.extend(compared(&gate, &old, &new, then)?);
        drop(progress);
        refuse(context, &new, &findings, args.accept)?;
        staged.switch_with(&edits, || grants::apply(context, &gate, id, edits.clone()).map(drop))
    });
    load::tidy_plugins(gate.layout());
    upgraded?;
    for finding in &findings {
        match finding.severity {
            Severity::Warning => warn(&finding.message, context.format()),
            Severity::Blocker | Severity::Note if !context.for_programs() => note(&finding.message),
            Severity::Blocker | Severity::Note => {}
        }
    }
    let policy = policy::load(&context.layout().policy())?;
    grants::remind(context, &new, &policy)?;
    let row = PluginRow::of(context.layout(), &new, &policy);
    context.changed(
        "plugin",
        id,
        &format!("upgraded from {} to {}", old.manifest.version, new.manifest.version),
        row.json(),
    )
}

/// What an operator may agree to.
const ASKS_MORE: &str = "asks-more";
const OTHER_SIGNER: &str = "other-signer";
const OLDER: &str = "older";
const LOST: &str = "interface-gone";
const PINNED: &str = "pinned";
const OTHER_PORT: &str = "other-port";
const CONSENT: [&str; 6] = [ASKS_MORE, OTHER_SIGNER, OLDER, LOST, PINNED, OTHER_PORT];

/// # Errors
/// `Findings` where one stands in the way that was not agreed to, or that nobody can agree to; they are printed then.
fn refuse(context: &Context, new: &Installed, findings: &[Finding], accept: bool) -> Result<()> {
    let mut open: Vec<Finding> =
        findings.iter().filter(|finding| !(accept && CONSENT.contains(&finding.code.as_str()))).cloned().collect();
    crate::cli::findings::gravest_first(&mut open);
    let refused = verdict(&format!("plugin {} {}", new.manifest.id, new.manifest.version), &open);
    if refused.is_err() {
        context.list(&open)?;
    }
    refused
}

/// What differs as far as the files say, gravest first. Pure.
fn differences(old: &Installed, new: &Installed, policy: &Policy) -> Vec<Finding> {
    let id = new.manifest.id.as_str();
    let mut all = Vec::new();
    let mut ask = |code: &str, message: String| {
        let remedy = Some("say --accept if that is as it should be".to_owned());
        all.push(Finding { remedy, ..found(Severity::Blocker, code, id, message) });
    };
    for Ask { what, reason, .. } in beyond(new, old) {
        ask(ASKS_MORE, format!("it asks for {what}, which it did not: {}", printable(&reason)));
    }
    if old.signer.is_some() && old.signer != new.signer {
        ask(
            OTHER_SIGNER,
            match new.signer {
                Some(signer) => format!("it is signed by {signer}, and was by another"),
                None => "it is signed by nobody, and was signed".to_owned(),
            },
        );
    }
    if order(&old.manifest, &new.manifest) == Some(Ordering::Greater) {
        ask(OLDER, format!("it is version {}, older than {}", new.manifest.version, old.manifest.version));
    }
    let has = interfaces(&new.exports);
    for gone in interfaces(&old.exports).into_iter().filter(|name| !has.contains(name)) {
        ask(LOST, format!("it has no {gone} any more"));
    }
    if policy.pinned(&new.manifest.id).is_some_and(|pin| pin != new.digest) {
        ask(PINNED, "policy pins other bytes under its id".to_owned());
    }
    if policy.pinned_signer(&new.manifest.id).is_some_and(|pin| Some(pin) != new.signer) {
        ask(PINNED, "policy wants another's signature of what has its id".to_owned());
    }
    let mut note = |message: String| all.push(found(Severity::Note, "changed", id, message));
    for less in beyond(old, new) {
        note(format!("it asks for {} no more; fief plugin revoke takes the grant back", less.what));
    }
    let had = interfaces(&old.exports);
    for gained in has.into_iter().filter(|name| !had.contains(name)) {
        note(format!("it has {gained} now"));
    }
    if old.manifest.kind != new.manifest.kind {
        let message =
            format!("it is a plugin for {}, and was one for {}", new.manifest.kind.name(), old.manifest.kind.name());
        all.insert(0, found(Severity::Blocker, "other-kind", id, message));
    }
    all
}

/// Without their versions: a newer one of an interface is that interface.
fn interfaces(exports: &[String]) -> Vec<String> {
    exports.iter().map(|name| printable(name.split('@').next().unwrap_or(name))).collect()
}

fn order(old: &Manifest, new: &Manifest) -> Option<Ordering> {
    let version = |manifest: &Manifest| Version::parse(&manifest.version).ok();
    version(old).zip(version(new)).map(|(old, new)| old.cmp_precedence(&new))
}

/// What one asks for beyond the other.
fn beyond(one: &Installed, other: &Installed) -> Vec<Ask> {
    let reads = |asked: &Permission| matches!(asked, Permission::Directory { access: Access::ReadOnly, .. });
    let directory = other.manifest.permissions.iter().any(|asked| matches!(asked, Permission::Directory { .. }));
    let others = asks(&other.manifest, None);
    let each = asks(&one.manifest, None).into_iter().zip(&one.manifest.permissions);
    each.filter(|(ask, asked)| !(others.iter().any(|other| other.what == ask.what) || (directory && reads(asked))))
        .map(|(ask, _)| ask)
        .collect()
}

/// The changes of policy that --accept stands for. What was asked for before, and is not granted, stays so.
fn consented(old: &Installed, new: &Installed, policy: &Policy) -> Vec<Edit> {
    let more = beyond(new, old);
    let id = &new.manifest.id;
    let now = asks(&new.manifest, policy.plugins.get(id)).into_iter().filter(|ask| ask.granted.is_none());
    let mut edits: Vec<Edit> =
        now.filter(|ask| more.iter().any(|more| more.what == ask.what)).filter_map(|ask| ask.edit).collect();
    if policy.pinned(id).is_some() {
        edits.push(Edit::Pin { digest: new.digest });
    }
    if policy.pinned_signer(id).is_some_and(|pin| Some(pin) != new.signer) {
        edits.push(new.signer.map_or(Edit::UnpinSigner, |signer| Edit::PinSigner { signer }));
    }
    edits
}

/// How the new one answers for each pool or network that the plugin serves, beside the old one. Nothing is changed.
fn compared(gate: &Gate, old: &Installed, new: &Installed, then: Arc<Policy>) -> Result<Vec<Finding>> {
    let id = &new.manifest.id;
    let (layout, now) = (gate.layout(), gate.policy());
    let older =
        Gate::new(layout.clone(), Arc::new(now.clone()), Mode::DryRun).keeping([(id.clone(), old.digest)].into());
    let newer = Gate::new(layout.clone(), then, Mode::DryRun).keeping([(id.clone(), new.digest)].into());
    let mut findings = Vec::new();
    match new.manifest.kind {
        PluginKind::Storage => {
            for pool in Pool::all(gate)?.into_iter().filter(|pool| now.pools.get(&pool.kind) == Some(id)) {
                let came = storage::compare(&older, &newer, &pool.name)?;
                findings.extend(told(&format!("pool {}", pool.name), came));
            }
        }
        PluginKind::Network => {
            for network in Network::all(gate)?.into_iter().filter(|one| now.networks.get(&one.kind) == Some(id)) {
                let came = network::compare(&older, &newer, &network.name)?;
                findings.extend(told(&format!("network {}", network.name), came));
            }
        }
        // What it does depends on the domain that moves, and a move is not tried for it.
        PluginKind::Migration => {}
    }
    Ok(findings)
}

fn told(object: &str, came: Compared) -> Vec<Finding> {
    match came {
        Compared::Alike => Vec::new(),
        Compared::Otherwise(how) => {
            let each = how.into_iter().map(|how| match how {
                Differs::Answer(how) => found(Severity::Blocker, "answers-otherwise", object, printable(&how)),
                Differs::Port(how) => Finding {
                    remedy: Some(
                        "say --accept if that is as it should be; domains that run keep their ports".to_owned(),
                    ),
                    ..found(Severity::Blocker, OTHER_PORT, object, printable(&how))
                },
            });
            each.collect()
        }
        Compared::Fails(why) => vec![found(Severity::Blocker, "fails", object, printable(&why))],
        Compared::Unknown(why) => {
            let message = format!("{object} was not compared: the version before has no answer: {}", printable(&why));
            vec![found(Severity::Warning, "not-compared", object, message)]
        }
    }
}
