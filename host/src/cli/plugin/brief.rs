//! The short run ahead of an installation, and what becomes of an installation where it fails.

use crate::cli::load;
use crate::cli::output::progress::Progress;
use crate::cli::output::text::printable;
use crate::conformance::{Brief, Case, Fault};
use crate::error::{Failure, Kind, Result};
use crate::gate::{Gate, Mode};
use crate::plugin::package::Trial;
use crate::plugin::source::Fetched;
use crate::plugin::{Installed, was_tried};
use crate::sys::interrupt;

/// Whether a plugin is tried before it is installed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct BriefArgs {
    /// Take it without the short run that tries it out first, in which it has nothing of this host
    #[arg(long)]
    untried: bool,
}

impl BriefArgs {
    /// Tries a plugin that may be installed, unless that was done on this host by this version of fief. A dry run runs nothing of
    /// it.
    ///
    /// # Errors
    /// `Findings` where it fails a case, `PluginFault` where it does not compile or load.
    pub(super) fn tried(self, gate: &Gate, new: &Installed, fetched: &Fetched) -> Result<Option<Trial>> {
        match gate.mode() {
            Mode::DryRun => return Ok(None),
            Mode::Perform => {}
        }
        if self.untried {
            return Ok(Some(Trial::PassedOver));
        }
        if was_tried(gate.layout(), new.digest) {
            return Ok(Some(Trial::Passed));
        }
        interrupt::watch();
        let progress = Progress::start(format!("trying {}", fetched.shown));
        let brief = load::try_plugin(gate, new, fetched);
        drop(progress);
        match brief {
            Ok(Brief::Passed(_)) => Ok(Some(Trial::Passed)),
            Ok(Brief::Failed(case, fault)) => Err(failed(new, case, &fault)),
            Err(failure) if failure.hint.is_none() => Err(failure.hint(AGREE)),
            Err(failure) => Err(failure),
        }
    }
}

const AGREE: &str = "--untried takes it as it is, without this run";

fn failed(new: &Installed, case: &Case, fault: &Fault) -> Failure {
    let id = &new.manifest.id;
    let mut failure =
        Failure::new(Kind::Findings, format!("the plugin {id} fails {}, and nothing of it is installed", case.id));
    failure.causes = vec![
        format!("called {}", printable(&fault.called)),
        format!("expected {}", printable(&fault.expected)),
        format!("got {}", printable(&fault.got)),
    ];
    failure.hint(format!(
        "tell its author; fief plugin test shows all that it fails, docs/conformance.md what each means. {AGREE}"
    ))
}
