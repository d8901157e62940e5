//! Verbs that fief calls itself with: the other processes it is made of. They are known before clap is asked, so
//! that they start at once, and no help text names them.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::output::{self, Format};
use super::{load, log, root};
use crate::config::policy;
use crate::domain::supervisor::{self, Purpose, Report};
use crate::error::{Context, Failure, Result};
use crate::gate::rollback::READY;
use crate::gate::{Gate, Mode};
use crate::layout::Layout;
use crate::types::{DomainName, NetworkName};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hidden {
    /// `fief sandbox`: the other room, for one plugin.
    Sandbox,
    /// `fief fetch`: asks servers for one plugin (`plugin/source/room`).
    Fetch,
    /// `fief supervise ROOT NAME start | adopt | restore FILE | incoming | hand`: watches over one running domain.
    Supervise { root: PathBuf, name: DomainName, purpose: Purpose },
    /// `fief guard-network ROOT NAME`: puts a network's uplink back unless the operator is still reached.
    GuardNetwork { root: PathBuf, name: NetworkName },
    /// `fief copy-volume ROOT …`: a test copies a volume to a peer (`domain/volume/trial.rs`).
    #[cfg(feature = "faults")]
    CopyVolume { root: PathBuf, words: Vec<String> },
    /// `fief watch-dhcp DIR`: keeps one network's DHCP server running.
    WatchDhcp(PathBuf),
}

impl Hidden {
    /// None where the first argument is no hidden verb.
    pub(super) fn named(arguments: &[OsString]) -> Option<Result<Hidden>> {
        let verb = arguments.get(1)?.to_str()?;
        let hidden = match (verb, &arguments[2..]) {
            ("sandbox", []) => Hidden::Sandbox,
            ("fetch", []) => Hidden::Fetch,
            #[cfg(feature = "faults")]
            ("copy-volume", [root, words @ ..]) => Hidden::CopyVolume {
                root: PathBuf::from(root),
                words: words.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            },
            ("watch-dhcp", [directory]) => Hidden::WatchDhcp(PathBuf::from(directory)),
            ("supervise", [root, name, purpose @ ..]) => {
                let purpose = match purpose {
                    [word] if word == "start" => Purpose::Start,
                    [word] if word == "adopt" => Purpose::Adopt,
                    [word] if word == "incoming" => Purpose::Incoming,
                    [word] if word == "hand" => Purpose::Hand,
                    [word, file] if word == "restore" => Purpose::Restore(PathBuf::from(file)),
                    _ => return Some(Err(by_hand(verb))),
                };
                match name.to_str().and_then(|name| name.parse().ok()) {
                    Some(name) => Hidden::Supervise { root: PathBuf::from(root), name, purpose },
                    None => return Some(Err(by_hand(verb))),
                }
            }
            ("guard-network", [root, name]) => match name.to_str().and_then(|name| name.parse().ok()) {
                Some(name) => Hidden::GuardNetwork { root: PathBuf::from(root), name },
                None => return Some(Err(by_hand(verb))),
            },
            ("sandbox" | "fetch" | "watch-dhcp" | "supervise" | "guard-network", _) => {
                return Some(Err(by_hand(verb)));
            }
            (_, _) => return None,
        };
        Some(Ok(hidden))
    }

    /// Runs to the end of the process; gives the exit code.
    pub(super) fn run(self) -> u8 {
        let result = match self {
            // These speak through their socket alone.
            Hidden::Sandbox => return load::sandbox(),
            Hidden::Fetch => return load::fetch(),
            Hidden::Supervise { root, name, purpose } => {
                log::start(log::Reader::File, Format::Table);
                supervise(Layout::new(root), &name, &purpose)
            }
            #[cfg(feature = "faults")]
            Hidden::CopyVolume { root, words } => {
                log::start(log::Reader::File, Format::Table);
                copy_volume(Layout::new(root), &words)
            }
            Hidden::GuardNetwork { root, name } => {
                log::start(log::Reader::File, Format::Table);
                guard_network(Layout::new(root), &name)
            }
            Hidden::WatchDhcp(directory) => {
                log::start(log::Reader::File, Format::Table);
                crate::network::watch::run(&directory)
            }
        };
        match result {
            Ok(()) => 0,
            Err(failure) => {
                output::failure::report(&failure, Format::Table);
                failure.kind.exit_code()
            }
        }
    }
}

fn by_hand(verb: &str) -> Failure {
    Failure::usage(format!("fief {verb} is not run by hand")).hint("fief --help lists the verbs that are")
}

/// Its one line to the command that started it goes to stdout, which is closed behind it.
fn supervise(layout: Layout, name: &DomainName, purpose: &Purpose) -> Result<()> {
    let mut stdout = Some(crate::sys::process::take_stdout().context(|| "cannot use stdout".to_owned())?);
    let mut say = move |report: Report| {
        if let (Some(mut pipe), Ok(mut line)) = (stdout.take(), serde_json::to_vec(&report)) {
            line.push(b'\n');
            // A command that went away does not need the answer; the domain goes on.
            let _ = pipe.write_all(&line);
        }
    };
    let policy = match root::check(&layout).and_then(|()| policy::load(&layout.policy())) {
        Ok(policy) => Arc::new(policy),
        Err(failure) => {
            say(Report::Failed(failure.clone()));
            return Err(failure);
        }
    };
    supervisor::run(&Gate::new(layout, policy, Mode::Perform), name, purpose, say)
}

#[cfg(feature = "faults")]
fn copy_volume(layout: Layout, words: &[String]) -> Result<()> {
    let mut stdout = crate::sys::process::take_stdout().context(|| "cannot use stdout".to_owned())?;
    let gate = Gate::new(layout.clone(), Arc::new(policy::load(&layout.policy())?), Mode::Perform);
    let said = crate::domain::volume::trial::run(&gate, words)?;
    writeln!(stdout, "{said}").context(|| "cannot use stdout".to_owned())
}

/// Its one word, that it watches, goes to stdout, which is closed behind it.
fn guard_network(layout: Layout, name: &NetworkName) -> Result<()> {
    let mut stdout = crate::sys::process::take_stdout().context(|| "cannot use stdout".to_owned())?;
    root::check(&layout)?;
    let policy = Arc::new(policy::load(&layout.policy())?);
    crate::network::guard::run(&Gate::new(layout, policy, Mode::Perform), name, move || {
        // Who does not read it any more is gone, which is seen soon enough.
        let _ = stdout.write_all(READY);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_word_names_a_hidden_verb() {
        let named = |line: &str| Hidden::named(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(named("fief sandbox"), Some(Ok(Hidden::Sandbox)));
        assert_eq!(named("fief watch-dhcp /x"), Some(Ok(Hidden::WatchDhcp("/x".into()))));
        let supervise =
            Hidden::Supervise { root: "/r".into(), name: "node1".parse().unwrap(), purpose: Purpose::Adopt };
        assert_eq!(named("fief supervise /r node1 adopt"), Some(Ok(supervise)));
        for by_hand in [
            "fief watch-dhcp",
            "fief sandbox x",
            "fief fetch x",
            "fief guard-network /r",
            "fief guard-network /r ../x",
            "fief supervise node1",
            "fief supervise /r ../x start",
            "fief supervise /r node1 restore",
        ] {
            assert_eq!(named(by_hand).unwrap().unwrap_err().kind, crate::error::Kind::Usage, "{by_hand}");
        }
        assert_eq!(named("fief pool sandbox"), None);
        assert_eq!(named("fief"), None);
    }
}
