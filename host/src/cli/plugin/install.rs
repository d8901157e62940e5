//! `fief plugin install`

use std::path::PathBuf;

use super::brief::BriefArgs;
use super::fetching::{self, FetchArgs};
use super::list::PluginRow;
use super::{grant, grants, transfer};
use crate::cli::output::Row;
use crate::cli::output::progress::Progress;
use crate::cli::{Context, load};
use crate::config::policy::{self, edit::Edit};
use crate::error::{Failure, Result};
use crate::plugin::source::Source;

/// Check a plugin, try it out, store it under its digest, and compile it
///
/// It is tried for some seconds, in its sandbox and with nothing of this host: a call that ends in a fault, or a case of fief
/// plugin test that it fails, and nothing is installed. Installing grants nothing. What the plugin asks for and has not been granted is said, with the command that grants it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A component with a manifest in it (.wasm), a directory that holds one or a project that was built to one,
    /// https://…, or oci://REGISTRY/NAME:TAG
    #[arg(value_name = "FILE|DIRECTORY|ADDRESS", required_unless_present = "locked")]
    source: Option<Source>,
    /// Instead, all plugins of a lock (fief plugin lock), these bytes and no others, from where it says; or none of them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "accept", "digest"])]
    locked: Option<PathBuf>,
    /// With --locked: take them in the place of other versions that are installed, which a rollback brings back
    #[arg(long, requires = "locked")]
    replace: bool,
    /// Grant what it asks for as far as that takes no choice, and pin these bytes (fief plugin show FILE shows it before)
    #[arg(long)]
    accept: bool,
    #[command(flatten)]
    brief: BriefArgs,
    #[command(flatten)]
    fetching: FetchArgs,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate_for_change()?;
    let source = match (&args.source, &args.locked) {
        (Some(source), _) => source,
        (None, Some(file)) => {
            let progress = Progress::start(format!("fetching what {} names", file.display()));
            let set = load::locked_plugins(&gate, file, &args.fetching.options());
            drop(progress);
            return transfer::install(context, &gate, set?, args.replace, args.brief);
        }
        (None, None) => return Err(Failure::usage("no plugin is named")),
    };
    let fetched = args.fetching.fetch(&gate, source)?;
    if !matches!(source, Source::Path(_)) {
        fetching::tell(context, &fetched)?;
    }
    let mut installed = load::inspect_plugin(&fetched)?;
    load::may_install_plugin(&gate, &installed)?;
    installed.trial = args.brief.tried(&gate, &installed, &fetched)?;
    let progress = Progress::start(format!("compiling {}", fetched.shown));
    let done = load::install_plugin(&gate, &installed, &fetched.bytes);
    drop(progress);
    done?;
    if args.accept {
        let mut edits = grant::all_asked(&installed.manifest, gate.policy(), &[], &[]);
        edits.push(Edit::Pin { digest: installed.digest });
        grants::apply(context, &gate, &installed.manifest.id, edits)?;
    }
    let policy = policy::load(&context.layout().policy())?;
    grants::remind(context, &installed, &policy)?;
    let row = PluginRow::of(context.layout(), &installed, &policy);
    context.changed("plugin", &installed.manifest.id, "installed", row.json())
}
