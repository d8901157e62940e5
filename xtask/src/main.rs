//! `cargo xtask`: what is done with the tree around the compiler. No dependencies, so that it is there in a second.
//!
//! ```text
//!   main ─▸ demo  test  plugins  crash  storage  moving  fuzz  bench  ci   what a person asks for
//!            └▸ setup  build  guest                    what those need: packages, binaries, something to boot
//!                └▸ command  place                     running programs; where things lie
//!   check                                              the tree's own rules
//! ```

// Its words are its output.
#![allow(clippy::print_stdout)]

mod bench;
mod build;
mod check;
mod command;
mod crash;
mod demo;
mod fuzz;
mod guest;
mod handover;
mod moving;
mod place;
mod plugins;
mod setup;
mod storage;
mod test;

use std::process::ExitCode;

use command::{Doing, Result};
use setup::Purpose;

const HELP: &str = "\
cargo xtask COMMAND

  demo [--keep]                 boot a machine whose disk and card come from sandboxed plugins, and show what it says;
                                with --keep it stays, and you are told how to go on
  test [--fast-only|--slow-only] [FILTER]
                                install what the tests need, build, and run them all; --fast-only leaves out the
                                end-to-end tests, --slow-only runs nothing else
  crash [--all] [--seed N] [--seconds N] [NAME]
                                kill and fail each verb at each of its fault points, and at sampled system calls; --all
                                samples nothing, NAME picks the cases that have it in their names
  moving [--all] [--seed N] [--seconds N] [--only NAME] [TEST]
                                domains move between two hosts, by each strategy over each kind of storage, while wires
                                are cut and processes killed at each fault point; --all samples nothing, NAME picks cases
  handover                      look through every order of what can happen while a domain moves between two hosts
  plugins [--all | FILTER]      plugins that misbehave, plugins that strangers write, in each language, where they come from, and
                                what tries them out; --all: some minutes more, of compiling whole languages
  storage [FILTER]              a whole Debian boots from, and verifies what it writes to, NFS and iSCSI by either way,
                                while what serves it is killed; slow failures of storage
  fuzz [NAME] [--seconds N] [--input FILE]
                                look for inputs that a parser does not bear, in each target of tests/fuzz or in one; or
                                run one input
  check [--no-deny]             format, lints, licences and sources of dependencies, direction of imports, length of files
  bench [life|copies|moving|plugins|block|block-file|block-nfs|block-iscsi [--quick]]
                                measure against QEMU by hand, libvirt, nbdkit and QEMU's drivers; writes docs/PERFORMANCE.md,
                                docs/PERFORMANCE-VOLUMES.md (block), -MOVING.md (moving) and -PLUGINS.md (plugins); the other
                                parts alone are printed only
  setup [--for demo|test|bench] install what that command needs, and no more
  ci                            check, then test, then plugins, then crash, then handover, then storage, then moving,
                                then fuzz for a short while
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Err(trouble) = hears_interrupts(&arguments) {
        eprintln!("error: {trouble}");
        return ExitCode::FAILURE;
    }
    match dispatch(&words) {
        Ok(code) => code,
        Err(trouble) => {
            eprintln!("error: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever starts this from a script by `&` has SIGINT ignored, and so would every command below, which tests break off by it:
/// then it begins anew with the signal as it is from a terminal.
fn hears_interrupts(arguments: &[String]) -> Result<()> {
    use std::os::unix::process::CommandExt;
    if !ignores_interrupts(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()) {
        return Ok(());
    }
    let own = std::env::current_exe().doing(|| "cannot find this program".to_owned())?;
    let mut again = command::command("env", ["--default-signal=INT"]);
    Err(again.arg(own).args(arguments).exec()).doing(|| "cannot begin anew with SIGINT heard".to_owned())
}

/// By `SigIgn` of proc(5): a bit for each signal, from 1 on.
fn ignores_interrupts(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 0b10 != 0)
}

fn dispatch(words: &[&str]) -> Result<ExitCode> {
    match words {
        ["demo"] => demo::run(demo::After::Delete)?,
        ["demo", "--keep"] => demo::run(demo::After::Keep)?,
        ["test", rest @ ..] => test::run(&test::Selection::parse(rest)?)?,
        ["crash", rest @ ..] => crash::run(&crash::Scope::parse(rest)?)?,
        ["moving", rest @ ..] => moving::run(&moving::Scope::parse(rest)?)?,
        ["handover"] => handover::run()?,
        ["plugins"] => plugins::run(None, false)?,
        ["plugins", "--all"] => plugins::run(None, true)?,
        ["plugins", filter] if !filter.starts_with('-') => plugins::run(Some(filter), true)?,
        ["storage"] => storage::run(None)?,
        ["storage", filter] if !filter.starts_with('-') => storage::run(Some(filter))?,
        ["fuzz", rest @ ..] => fuzz::run(&fuzz::Scope::parse(rest)?)?,
        ["check"] => check::run(check::Deny::Yes)?,
        ["check", "--no-deny"] => check::run(check::Deny::No)?,
        ["bench"] => bench::run(bench::Part::All, bench::Pace::Full)?,
        ["bench", "--inside", part] => bench::inside(bench::Part::parse(part)?, bench::Pace::Full)?,
        ["bench", "--inside", part, "--quick"] => bench::inside(bench::Part::parse(part)?, bench::Pace::Quick)?,
        ["bench", part] => bench::run(bench::Part::parse(part)?, bench::Pace::Full)?,
        ["bench", part, "--quick"] => bench::run(bench::Part::parse(part)?, bench::Pace::Quick)?,
        ["setup"] => setup::all(Purpose::Test)?,
        ["setup", "--for", purpose] => setup::all(Purpose::parse(purpose)?)?,
        ["ci"] => {
            check::run(check::Deny::Yes)?;
            test::run(&test::Selection::parse(&[])?)?;
            plugins::run(None, false)?;
            crash::run(&crash::Scope::parse(&[])?)?;
            handover::run()?;
            storage::run(None)?;
            moving::run(&moving::Scope::parse(&[])?)?;
            fuzz::run(&fuzz::Scope::parse(&["--seconds", "10"])?)?;
        }
        [] | ["help" | "--help" | "-h"] => println!("{HELP}"),
        _ => {
            eprintln!("error: cargo xtask {} is not a command\n\n{HELP}", words.join(" "));
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::ignores_interrupts;

    #[test]
    fn a_mask_tells_whether_the_second_signal_is_ignored() {
        for (mask, ignored) in [("0000000000000002", true), ("0000000000001006", true), ("0000000000001004", false)] {
            let status = format!("Name:\tx\nSigBlk:\t0000000000000002\nSigIgn:\t{mask}\n");
            assert_eq!(ignores_interrupts(&status), ignored, "{mask}");
        }
        assert!(!ignores_interrupts(""));
    }
}
