//! Whether a plugin does what the interface says, found out from outside: through the real gate, in its real sandbox.
//!
//! ```text
//!   ground.rs   a root for this run alone: policy, the plugin installed
//!   brief.rs    a short run ahead of an installation         bare.rs   calls with a host that does nothing
//!   bench.rs    its pool, and the calls that cases make      disk.rs   the bytes of a volume
//!   moves.rs    moves of domains that are made up            model.rs  what a disk may hold (pure)
//!   networks.rs a network, apart from this host's            cases/    one file for each family
//!   expect.rs   an answer held against what was expected     words.rs  both, for people
//!   junit.rs    the report that build servers read
//! ```
//! A case makes its own volumes and deletes them. It knows nothing of the plugin but its exports.

mod bare;
mod bench;
mod brief;
mod cases;
mod disk;
mod expect;
mod ground;
pub mod junit;
mod model;
mod moves;
mod networks;
mod random;
mod settings;
mod words;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::network::NetworkDefinition;
use crate::config::pool::PoolDefinition;
use crate::error::{Failure, Kind, Result};
use crate::sandbox::protocol::{Ability, PluginKind};
use crate::sys::interrupt;

pub use bench::Options;
pub use brief::{Brief, brief};
pub use expect::{Fault, Stop};
pub use ground::Ground;
pub use networks::CABLE;

/// So many calls of a plugin that does not end are waited for.
const HUNG: u32 = 6;

/// One thing that is tried out.
#[derive(Debug)]
pub struct Case {
    /// Stays the same from version to version.
    pub id: &'static str,
    /// What is tried, in a few words.
    pub what: &'static str,
    /// The sentence of the interface or the SDK's manual that says so.
    pub rule: &'static str,
    /// What an operator loses where it is not so.
    pub why: &'static str,
    needs: Option<Ability>,
    run: Run,
}

/// By the kind of plugin that a case is for.
#[derive(Debug, Clone, Copy)]
enum Run {
    /// With nothing but the plugin.
    Bare(PluginKind, fn(&mut bare::Bench) -> expect::Result<()>),
    Storage(fn(&mut bench::Bench) -> expect::Result<()>),
    Network(fn(&mut networks::Bench) -> expect::Result<()>),
    Migration(fn(&mut moves::Bench) -> expect::Result<()>),
}

impl Case {
    pub const fn kind(&self) -> PluginKind {
        match self.run {
            Run::Bare(kind, _) => kind,
            Run::Storage(_) => PluginKind::Storage,
            Run::Network(_) => PluginKind::Network,
            Run::Migration(_) => PluginKind::Migration,
        }
    }

    /// Whether it takes nothing but the plugin.
    const fn is_bare(&self) -> bool {
        match self.run {
            Run::Bare(..) => true,
            Run::Storage(_) | Run::Network(_) | Run::Migration(_) => false,
        }
    }
}

/// What a plugin is tried with.
#[derive(Debug, Clone)]
pub enum With {
    Pool(PoolDefinition),
    Network(NetworkDefinition),
    /// The settings of each move.
    Moves(BTreeMap<String, String>),
}

/// What cases are run on.
struct Bench {
    bare: bare::Bench,
    own: Option<Own>,
}

/// What the plugin's kind is about.
enum Own {
    Storage(Box<bench::Bench>),
    Network(Box<networks::Bench>),
    Migration(moves::Bench),
}

impl Bench {
    /// For cases that take nothing but the plugin.
    fn bare(ground: &Ground, with: &With) -> Result<Bench> {
        Ok(Bench { bare: bare::Bench::new(ground, with)?, own: None })
    }

    /// From now on for all cases of the plugin's kind.
    fn furnish(&mut self, ground: &Ground, with: With, options: Options) -> Result<()> {
        self.own = Some(match with {
            With::Pool(definition) => {
                Own::Storage(Box::new(bench::Bench::new(ground.gate(), ground.folder(), definition, options)?))
            }
            With::Network(definition) => Own::Network(Box::new(networks::Bench::new(ground.gate(), definition)?)),
            With::Moves(settings) => Own::Migration(moves::Bench::new(ground.gate(), ground.plugin(), &settings)?),
        });
        Ok(())
    }

    /// # Errors
    /// As the case says.
    fn run(&mut self, case: &Case) -> expect::Result<()> {
        if self.is_hung() {
            return expect::skip("it did not answer in time, again and again");
        }
        match (&mut self.own, case.run) {
            (_, Run::Bare(_, run)) => run(&mut self.bare),
            (Some(Own::Storage(bench)), Run::Storage(run)) => match case.needs.filter(|ability| !bench.has(*ability)) {
                Some(ability) => expect::skip(format!("the plugin has no {}", interface(ability))),
                None => run(bench),
            },
            (Some(Own::Network(bench)), Run::Network(run)) => run(bench),
            (Some(Own::Migration(bench)), Run::Migration(run)) => run(bench),
            (Some(Own::Storage(_) | Own::Network(_) | Own::Migration(_)) | None, _) => {
                expect::skip(format!("it is for plugins of the kind {}", case.kind().name()))
            }
        }
    }

    fn is_hung(&self) -> bool {
        let own = match &self.own {
            Some(Own::Storage(bench)) => bench.hung,
            Some(Own::Network(bench)) => bench.hung,
            Some(Own::Migration(bench)) => bench.hung,
            None => 0,
        };
        own + self.bare.hung >= HUNG
    }

    /// Puts away what the case made; gives what could not be.
    fn tidy(&mut self) -> Vec<String> {
        self.bare.start_over();
        match &mut self.own {
            Some(Own::Storage(bench)) if bench.hung < HUNG => bench.tidy(),
            Some(Own::Network(bench)) => bench.tidy(),
            Some(Own::Storage(_) | Own::Migration(_)) | None => Vec::new(),
        }
    }

    /// Runs a case, and puts away what it made.
    ///
    /// # Errors
    /// Where this host could not carry it out.
    fn tried(&mut self, case: &'static Case, report: &mut Report) -> Result<()> {
        let begun = Instant::now();
        let ended = self.run(case);
        let left = self.tidy();
        let outcome = match ended {
            Ok(()) => match left.first() {
                Some(name) => Outcome::Failed(Fault {
                    called: format!("delete {name}"),
                    expected: "that what the case made can be deleted again".to_owned(),
                    got: "an error".to_owned(),
                }),
                None => Outcome::Ok,
            },
            Err(Stop::Skip(why)) => Outcome::Skipped(why),
            Err(Stop::Fail(fault)) => Outcome::Failed(fault),
            // A fault of the plugin's where nobody expected one.
            Err(Stop::Broken(failure)) if failure.kind == Kind::PluginFault => Outcome::Failed(Fault {
                called: failure.message.clone(),
                expected: "an answer".to_owned(),
                got: failure.causes.join(": "),
            }),
            Err(Stop::Broken(failure)) => return Err(broken(case, failure)),
        };
        report.left.extend(left);
        report.verdicts.push(Verdict { case, outcome, took: begun.elapsed() });
        Ok(())
    }
}

/// How a case went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Ok,
    Failed(Fault),
    /// Why it says nothing of this plugin.
    Skipped(String),
}

#[derive(Debug, Clone)]
pub struct Verdict {
    pub case: &'static Case,
    pub outcome: Outcome,
    pub took: Duration,
}

/// All verdicts, and volumes that could not be deleted again.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub verdicts: Vec<Verdict>,
    pub left: Vec<String>,
}

/// All cases, in the order in which they run.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    cases::ALL.iter().flat_map(|family| family.iter())
}

/// Runs those cases; `begins` hears of each.
///
/// # Errors
/// Where the pool cannot be made, or a setting is none, or this host lacks something: then nothing is known of the plugin.
pub fn run(
    ground: &Ground,
    with: With,
    options: Options,
    chosen: &[&'static Case],
    mut begins: impl FnMut(&'static Case),
) -> Result<Report> {
    let mut bench = Bench::bare(ground, &with)?;
    bench.furnish(ground, with, options)?;
    let mut report = Report::default();
    for &case in chosen {
        interrupt::check().map_err(|error| Failure::other("not all cases were tried").because(error))?;
        begins(case);
        bench.tried(case, &mut report)?;
    }
    Ok(report)
}

fn broken(case: &Case, failure: Failure) -> Failure {
    failure.while_doing(format!("this host could not carry out the case {}", case.id))
}

/// As the interface is called in storage.wit.
const fn interface(ability: Ability) -> &'static str {
    match ability {
        Ability::Snapshots => "snapshots",
        Ability::Clones => "clones",
        Ability::Renames => "renames",
        Ability::Fences => "fences",
        Ability::Notes => "notes",
        Ability::Block => "block",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Without marks of comments and line ends.
    fn plain(text: &str) -> String {
        let lines = text.lines().map(|line| line.trim().trim_start_matches(['/', '!']).trim());
        lines.collect::<Vec<_>>().join(" ").replace("[`", "`").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_case_rests_on_a_sentence_that_authors_can_read() {
        let texts = [
            include_str!("../../../wit/storage/storage.wit"),
            include_str!("../../../wit/README.md"),
            include_str!("../../../wit/types/types.wit"),
            include_str!("../../../wit/migration/migration.wit"),
            include_str!("../../../wit/network/network.wit"),
            include_str!("../../../sdk/src/lib.rs"),
            include_str!("../../../sdk/src/block.rs"),
            include_str!("../../../sdk/src/storage.rs"),
            include_str!("../../../sdk/src/migration.rs"),
            include_str!("../../../sdk/src/network.rs"),
        ]
        .map(plain);
        for case in cases() {
            assert!(texts.iter().any(|text| text.contains(&plain(case.rule))), "{}: {}", case.id, case.rule);
            assert!(!case.why.is_empty() && !case.what.is_empty(), "{}", case.id);
        }
    }

    #[test]
    fn each_case_has_a_name_of_its_own_and_a_line_in_the_manual() {
        let manual = include_str!("../../../docs/conformance.md");
        let mut seen = BTreeSet::new();
        for case in cases() {
            assert!(seen.insert(case.id), "{} is there twice", case.id);
            assert!(manual.contains(&format!("| `{}` |", case.id)), "{} is not in docs/conformance.md", case.id);
        }
    }
}
