//! `fief restore`.

use std::path::PathBuf;
use std::str::FromStr;

use serde_json::json;

use crate::cli::Context;
use crate::cli::output::failure::warn;
use crate::cli::output::progress::Progress;
use crate::domain::restore::{Mapping, Plan};
use crate::domain::supervisor::{Purpose, Report};
use crate::domain::{client, steps};
use crate::error::{Context as _, Failure, Result};
use crate::gate::{Ledger, Mode};
use crate::types::{DomainName, NetworkName, VolumeRef};

/// Go on with a guest that was saved into a file
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A state needs the machine type, the processor and the accelerator that it was saved with; what \
                        does not fit is named, and nothing is started. The file stays: it is refused once its domain \
                        has run on. A domain that was deleted meanwhile is defined again from the file."
)]
pub(in crate::cli) struct Args {
    /// A file that `fief save` wrote
    pub(in crate::cli) file: PathBuf,
    /// The name that it goes on under
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) name: Option<DomainName>,
    /// Another volume for a disk, counted from 0: --disk 0=default/moved
    #[arg(long = "disk", value_name = "N=POOL/VOLUME")]
    pub(in crate::cli) disks: Vec<Numbered<VolumeRef>>,
    /// Another network for a card, counted from 0: --card 0=lan
    #[arg(long = "card", value_name = "N=NETWORK")]
    pub(in crate::cli) cards: Vec<Numbered<NetworkName>>,
}

/// `N=VALUE`.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Numbered<T>(usize, T);

impl<T: FromStr<Err = crate::types::Invalid>> FromStr for Numbered<T> {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (number, value) = text.split_once('=').ok_or("it is written as N=VALUE, counted from 0")?;
        let number = number.parse().map_err(|_| format!("{number:?} is no number; the first is 0"))?;
        Ok(Numbered(number, value.parse().map_err(|error: crate::types::Invalid| error.to_string())?))
    }
}

pub(in crate::cli) fn run(context: &Context, args: &Args) -> Result<()> {
    let file = std::path::absolute(&args.file).context(|| format!("{} is no path", args.file.display()))?;
    let mapping = Mapping {
        name: args.name.clone(),
        disks: args.disks.iter().map(|Numbered(at, volume)| (*at, volume.clone())).collect(),
        cards: args.cards.iter().map(|Numbered(at, network)| (*at, network.clone())).collect(),
    };
    let gate = context.gate_for_change()?;
    let plan = Plan::new(&gate, &file, &mapping)?;
    let name = plan.name().clone();
    if let Some(loses) = plan.loses() {
        context.confirm(&loses)?;
    }
    if context.mode() == Mode::DryRun {
        return steps::launch(
            &gate,
            &mut Ledger::volatile(),
            plan.definition(),
            plan.places(),
            0,
            steps::Begins::Saved,
            None,
        )
        .map(drop);
    }
    let layout = context.layout();
    let prepared = plan.prepare(layout)?;
    let progress = Progress::start(format!("restoring {name} from {}", file.display()));
    let report = client::supervise(layout, &name, &Purpose::Restore(file.clone()));
    drop(progress);
    match report? {
        Report::Running { warning, .. } => {
            if let Some(warning) = warning {
                warn(&format!("domain {name}: {warning}"), context.format());
            }
            context.changed("domain", &name, "restored", json!({ "name": name, "file": file }))
        }
        Report::Off | Report::Expecting | Report::Handing => {
            Err(Failure::other(format!("domain {name} was off again at once"))
                .hint(format!("`fief logs {name}` shows what its guest said")))
        }
        Report::Failed(failure) => {
            prepared.take_back(layout);
            Err(failure)
        }
    }
}
