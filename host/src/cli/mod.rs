//! The command line: one file a verb, with its help text, its `Args` and its `run()`.
//!
//! ```text
//!   argv ─▸ hidden verbs (the other processes of fief)
//!        ├▸ called as `xm`: that command's words, turned into fief's
//!        └▸ clap ─▸ Context (root, format, policy, gate) ─▸ run() ─▸ exit code
//! ```

mod completions;
mod context;
mod domain;
mod each;
mod findings;
mod hidden;
mod host;
mod load;
mod log;
mod man;
mod network;
pub mod output;
#[cfg(test)]
mod pages;
mod peer;
mod plugin;
mod policy;
mod pool;
mod root;
mod secret;
mod serve;
mod settings;
mod tail;
mod usage;
mod volume;
mod xm;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use context::Context;
use output::Format;

use crate::error::{Failure, Result};

/// Runs virtual machines whose disks and networks come from sandboxed plugins.
#[derive(Debug, Parser)]
#[command(name = "fief", version, propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Every verb has a page of its own: fief VERB --help, or fief man.")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Args)]
struct Global {
    /// Where fief keeps its state (else $FIEF_ROOT, /var/lib/fief for root, ~/.local/share/fief)
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    root: Option<PathBuf>,
    /// How to print
    #[arg(short, long, global = true, value_enum, default_value_t, hide_default_value = true)]
    #[arg(value_name = "FORMAT", help_heading = "Global options")]
    output: Format,
    /// Print the operations that a change would do, one JSON object a line, and do none
    #[arg(long, global = true, help_heading = "Global options")]
    dry_run: bool,
    /// Do what loses something without asking
    #[arg(long, short, global = true, help_heading = "Global options")]
    yes: bool,
    /// Say more on stderr: -v what is done, -vv every step (or $FIEF_LOG, as in FIEF_LOG=debug)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    // Those that people use all day stand first, at the top level.
    #[command(flatten)]
    Domain(Box<domain::Verb>),

    // Everything else is a noun and a verb.
    #[command(subcommand)]
    Pool(pool::Verb),
    #[command(subcommand)]
    Volume(volume::Verb),
    #[command(subcommand)]
    Network(network::Verb),
    #[command(subcommand)]
    Plugin(Box<plugin::Verb>),
    #[command(subcommand)]
    Policy(policy::Verb),
    #[command(subcommand)]
    Secret(secret::Verb),
    #[command(subcommand)]
    Peer(peer::Verb),
    #[command(subcommand)]
    Host(host::Verb),
    Serve(serve::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Runs the program and gives its exit code (cli.md, "Exit codes").
pub fn main() -> u8 {
    // What fief writes is nobody else's to read, whatever the caller's shell says.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let asked = Format::asked_for(&arguments);
    let (format, result) = match hidden::Hidden::named(&arguments) {
        Some(Ok(hidden)) => return hidden.run(),
        Some(Err(failure)) => (asked, Err(failure)),
        None if xm::is_called(&arguments) => (Format::Table, xm::run(arguments)),
        None => match Cli::try_parse_from(arguments) {
            Ok(cli) => {
                log::start(cli.reader(), cli.global.output);
                (cli.global.output, run(cli))
            }
            Err(error) => (asked, usage::outcome(&error)),
        },
    };
    match result {
        Ok(()) => 0,
        Err(failure) => {
            output::failure::report(&failure, format);
            failure.kind.exit_code()
        }
    }
}

impl Cli {
    /// What `fief serve` says is read later, by somebody who wants to know when it was.
    fn reader(&self) -> log::Reader {
        let verbose = self.global.verbose;
        if matches!(self.verb, Verb::Serve(_)) && verbose == 0 {
            log::Reader::File
        } else {
            log::Reader::Person { verbose }
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let global = cli.global;
    // These two need no state, so they work where there is none to be had.
    let verb = match cli.verb {
        Verb::Completions(args) => return completions::run(&args),
        Verb::Man(args) => return man::run(&args),
        other => other,
    };
    let context = Context::new(root::resolve(global.root)?, global.output, global.yes, global.dry_run)?;
    context.settle();
    let result = match verb {
        Verb::Domain(verb) => domain::run(&context, *verb),
        Verb::Pool(verb) => pool::run(&context, verb),
        Verb::Volume(verb) => volume::run(&context, verb),
        Verb::Network(verb) => network::run(&context, verb),
        Verb::Plugin(verb) => plugin::run(&context, *verb),
        Verb::Policy(verb) => policy::run(&context, verb),
        Verb::Secret(verb) => secret::run(&context, verb),
        Verb::Peer(verb) => peer::run(&context, verb),
        Verb::Host(verb) => host::run(&context, &verb),
        Verb::Serve(args) => serve::run(&context, &args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Man(args) => man::run(&args),
    };
    context.tidy();
    result
}

/// The whole tree of verbs, for completions and manual pages.
fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_verb_is_well_formed_and_says_what_it_does() {
        super::command().debug_assert();
        fn walk(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                assert!(sub.get_about().is_some(), "{path} has no help text");
                walk(sub, &path);
            }
        }
        walk(&super::command(), "fief");
    }
}
