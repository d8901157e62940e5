//! fief, called by the name of Xen's `xm` (a link to the program): the old words in, the old output out.
//!
//! ```text
//!   xm pause 3 ─▸ the domain with id 3 ─▸ fief pause node1, without a word ─▸ what xm said of it
//! ```
//! Nothing is done here: each word becomes the command line of a verb of fief's. Only listing is written anew, since
//! the old table and the old s-expressions are what scripts read.

mod create;
mod info;
mod list;
mod sxp;

use std::ffi::OsString;
use std::path::Path;

use clap::{Parser, Subcommand};

use super::output::Format;
use super::{Cli, Context, Verb as Fief, domain, log, root, usage};
use crate::domain::state::{Admission, Request, admit};
use crate::domain::{Record, State, client, store};
use crate::error::{Context as _, Failure, Result};
use crate::types::DomainName;

const NAME: &str = "xm";

/// The verbs of Xen's xm, for domains of fief
#[derive(Debug, Parser)]
#[command(name = NAME, version, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "DOMAIN is a name or an id. Everything else is said to `fief`, of which this is another name.")]
struct Xm {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List domains, the host first
    List {
        /// All there is to say, as s-expressions
        #[arg(short, long)]
        long: bool,
        domains: Vec<String>,
    },
    /// Start the domain of a guest file; one that `fief import` has not taken over is defined where it has no disks
    Create {
        /// Attach to its console
        #[arg(short, long = "console_autoconnect")]
        console: bool,
        /// Only show what would be done
        #[arg(short = 'n', long = "dryrun")]
        dry_run: bool,
        /// A guest file, here or in /etc/xen, or the name of a domain
        file: String,
        /// KEY=VALUE, in place of what the file says
        values: Vec<String>,
    },
    /// Attach to a domain's console; Ctrl-] leaves
    Console { domain: String },
    /// Ask guests to power off
    Shutdown {
        /// All of them
        #[arg(short, long, required_unless_present = "domains", conflicts_with = "domains")]
        all: bool,
        /// Wait until they have
        #[arg(short, long)]
        wait: bool,
        domains: Vec<String>,
    },
    /// Ask guests to power off, and start them again
    Reboot {
        /// All of them
        #[arg(short, long, required_unless_present = "domains", conflicts_with = "domains")]
        all: bool,
        /// Wait until they run again
        #[arg(short, long)]
        wait: bool,
        domains: Vec<String>,
    },
    /// Pull the plug of domains
    Destroy {
        #[arg(required = true)]
        domains: Vec<String>,
    },
    /// Save a guest to a file, and leave its domain off
    Save { domain: String, file: String },
    /// Go on with a guest that was saved
    Restore {
        /// Leave it paused
        #[arg(short, long)]
        paused: bool,
        file: String,
    },
    /// Let a guest stand still
    Pause { domain: String },
    /// Let it go on
    Unpause { domain: String },
    /// Change a guest's memory, in MiB
    MemSet { domain: String, mib: u64 },
    /// Change the most memory that it may have, in MiB
    MemMax { domain: String, mib: u64 },
    /// Give a domain that is off another name
    Rename { domain: String, new: String },
    /// The id of a domain
    Domid { domain: String },
    /// The name of a domain
    Domname { domain: String },
    /// The host, as its kernel counts it
    Info,
    /// Move a domain to another host
    Migrate {
        /// While it runs
        #[arg(short, long)]
        live: bool,
        domain: String,
        host: String,
    },
}

/// Whether the program was called by this name.
pub(super) fn is_called(arguments: &[OsString]) -> bool {
    arguments.first().is_some_and(|program| Path::new(program).file_name().is_some_and(|name| name == NAME))
}

pub(super) fn run(arguments: Vec<OsString>) -> Result<()> {
    let xm = match Xm::try_parse_from(arguments) {
        Ok(xm) => xm,
        Err(error) => return usage::outcome(&error),
    };
    log::start(log::Reader::Person { verbose: 0 }, Format::Table);
    let dry_run = matches!(&xm.verb, Verb::Create { dry_run: true, .. });
    let context = Context::new(root::resolve(None)?, Format::Table, false, dry_run)?.quietly();
    context.settle();
    let result = verb(&context, xm.verb);
    context.tidy();
    result
}

fn verb(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::List { long, domains } => list::run(context, long, &domains),
        Verb::Create { console, dry_run: _, file, values } => create::run(context, &file, &values, console),
        Verb::Console { domain } => fief(context, &["console", find(context, &domain)?.as_str()]),
        Verb::Shutdown { all, wait, domains } => shutdown(context, &chosen(context, all, &domains)?, wait),
        Verb::Reboot { all, wait, domains } => reboot(context, &chosen(context, all, &domains)?, wait),
        Verb::Destroy { domains } => {
            let names = all_of(context, &domains)?;
            fief(context, &[&["stop"], &words(&names)[..]].concat())
        }
        Verb::Save { domain, file } => fief(context, &["save", "--", find(context, &domain)?.as_str(), &file]),
        Verb::Restore { paused: false, file } => fief(context, &["restore", "--", &file]),
        Verb::Restore { paused: true, file: _ } => {
            Err(Failure::other("a guest is restored as it was saved: running, or paused")
                .hint("`xm pause` first, then `xm save`"))
        }
        Verb::Pause { domain } => fief(context, &["pause", find(context, &domain)?.as_str()]),
        Verb::Unpause { domain } => fief(context, &["resume", find(context, &domain)?.as_str()]),
        Verb::MemSet { domain, mib } => set(context, &domain, "--memory", mib),
        Verb::MemMax { domain, mib } => set(context, &domain, "--max-memory", mib),
        Verb::Rename { domain, new } => fief(context, &["rename", "--", find(context, &domain)?.as_str(), &new]),
        Verb::Domid { domain } => {
            let id = running_id(context, &find(context, &domain)?);
            context.print(&format!("{}\n", id.map_or("None".to_owned(), |id| id.to_string())))
        }
        Verb::Domname { domain } => context.print(&format!("{}\n", find(context, &domain)?)),
        Verb::Info => info::run(context),
        Verb::Migrate { live: _, domain, host } => {
            let name = find(context, &domain)?;
            Err(Failure::other(format!("domain {name} cannot move to {host}: this version of fief moves no domains"))
                .hint("`xm save` here and `xm restore` there, where both hosts have its disks"))
        }
    }
}

/// Runs a verb of fief's, by its own words.
fn fief(context: &Context, words: &[&str]) -> Result<()> {
    let cli = Cli::try_parse_from([&["fief"], words].concat()).map_err(|error| match usage::outcome(&error) {
        Err(failure) => failure,
        Ok(()) => Failure::usage(format!("fief {} only prints help", words.join(" "))),
    })?;
    match cli.verb {
        Fief::Domain(verb) => domain::run(context, *verb),
        Fief::Pool(_)
        | Fief::Volume(_)
        | Fief::Network(_)
        | Fief::Plugin(_)
        | Fief::Policy(_)
        | Fief::Secret(_)
        | Fief::Peer(_)
        | Fief::Host(_)
        | Fief::Serve(_)
        | Fief::Completions(_)
        | Fief::Man(_) => Err(Failure::other(format!("xm has no word for fief {}", words.join(" ")))),
    }
}

fn words(names: &[DomainName]) -> Vec<&str> {
    names.iter().map(DomainName::as_str).collect()
}

/// The id of a domain that is not off.
fn running_id(context: &Context, name: &DomainName) -> Option<u32> {
    let record = Record::load(context.layout(), name).ok()?;
    record.run.as_ref().filter(|_| record.state_now() != State::Off).map(|run| run.id)
}

/// The domain of an id or a name; as for xm, a number is an id first.
fn find(context: &Context, word: &str) -> Result<DomainName> {
    let layout = context.layout();
    if matches!(word, "0" | "Domain-0") {
        return Err(Failure::usage("Domain-0 is this host itself").hint("name a domain: `xm list` shows them"));
    }
    if let Ok(id) = word.parse::<u32>()
        && let Some(name) = store::names(layout)?.into_iter().find(|name| running_id(context, name) == Some(id))
    {
        return Ok(name);
    }
    match word.parse::<DomainName>() {
        Ok(name) if layout.domain(&name).exists() => Ok(name),
        Ok(name) => Err(store::no_such(layout, &name)),
        Err(_) => Err(Failure::not_found(format!("no domain is called {word:?}")).hint("`xm list` shows the domains")),
    }
}

fn all_of(context: &Context, words: &[String]) -> Result<Vec<DomainName>> {
    words.iter().map(|word| find(context, word)).collect()
}

/// Those that were named, or all that run.
fn chosen(context: &Context, all: bool, words: &[String]) -> Result<Vec<DomainName>> {
    if !all {
        return all_of(context, words);
    }
    let layout = context.layout();
    let runs = |name: &DomainName| Record::load(layout, name).is_ok_and(|record| record.state_now() == State::Running);
    Ok(store::names(layout)?.into_iter().filter(runs).collect())
}

fn shutdown(context: &Context, names: &[DomainName], wait: bool) -> Result<()> {
    if !wait {
        return names.iter().try_for_each(|name| ask(context, name, Request::Shutdown, "shutdown"));
    }
    // xm waits for as long as it takes.
    let waited = [&["shutdown", "--timeout", "8760h"], &words(names)[..]].concat();
    if !names.is_empty() {
        fief(context, &waited)?;
    }
    let lines: String = names.iter().map(|name| format!("Domain {name} terminated\n")).collect();
    context.print(&format!("{lines}All domains terminated\n"))
}

fn reboot(context: &Context, names: &[DomainName], wait: bool) -> Result<()> {
    if !wait {
        return names.iter().try_for_each(|name| ask(context, name, Request::Reboot, "reboot"));
    }
    if !names.is_empty() {
        fief(context, &[&["reboot", "--timeout", "8760h"], &words(names)[..]].concat())?;
    }
    let lines: String = names.iter().map(|name| format!("Domain {name} rebooted\n")).collect();
    context.print(&format!("{lines}All domains rebooted\n"))
}

/// Asks a guest and does not wait for what it does: another process of fief waits.
fn ask(context: &Context, name: &DomainName, request: Request, verb: &str) -> Result<()> {
    let layout = context.layout();
    match admit(client::settle(layout, name)?, request) {
        Admission::Accept => {}
        Admission::Already => return Ok(()),
        Admission::Deny { kind, because, hint } => {
            return Err(Failure::new(kind, format!("domain {name}: {because}")).hint(hint));
        }
    }
    let mut command = std::process::Command::new(crate::sys::process::executable());
    command.arg("--root").arg(layout.root()).args([verb, "--timeout", "8760h", "--", name.as_str()]);
    let nowhere = std::process::Stdio::null;
    // A group of its own: a Ctrl-C at the operator's terminal is not for it.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
        .stdin(nowhere())
        .stdout(nowhere())
        .stderr(nowhere())
        .spawn()
        .map(drop)
        .context(|| format!("cannot ask {name}"))
}

fn set(context: &Context, domain: &str, option: &str, mib: u64) -> Result<()> {
    let (name, size) = (find(context, domain)?, format!("{mib}MiB"));
    fief(context, &["set", name.as_str(), option, &size])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_well_formed() {
        <Xm as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_program_is_known_by_its_name() {
        for (program, is) in
            [("xm", true), ("/usr/sbin/xm", true), ("fief", false), ("/opt/xm/fief", false), ("", false)]
        {
            assert_eq!(is_called(&[program.into()]), is, "{program}");
        }
        assert!(!is_called(&[]));
    }
}
