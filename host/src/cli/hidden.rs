//! Verbs that fief calls itself with: the other processes it is made of. They are known before clap is asked, so
//! that they start at once, and no help text names them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::output::Format;
use super::output::stdout;
use super::{load, log, output, root};
use crate::config::policy;
use crate::domain::supervisor::{self, Purpose, Report};
use crate::error::{Context as _, Failure, Result};
use crate::gate::{Gate, Mode};
use crate::network::watch;
use crate::types::DomainName;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hidden {
    /// `fief sandbox`: the other room, for one plugin.
    Sandbox,
    /// `fief watch-dhcp DIR`: keeps one network's DHCP server running.
    WatchDhcp(PathBuf),
    /// `fief --root DIR supervise NAME [--adopt]`: watches over one running domain.
    Supervise { root: PathBuf, domain: DomainName, purpose: Purpose },
}

impl Hidden {
    /// None where the arguments are those of no hidden verb.
    pub(super) fn named(arguments: &[OsString]) -> Option<Result<Hidden>> {
        let words: Vec<Option<&str>> = arguments.iter().skip(1).map(|word| word.to_str()).collect();
        let by_hand = |verb: &str| {
            let failure = Failure::usage(format!("fief {verb} is not run by hand"));
            Some(Err(failure.hint("fief --help lists the verbs that are")))
        };
        match words[..] {
            [Some("sandbox")] => Some(Ok(Hidden::Sandbox)),
            [Some("watch-dhcp"), _] => Some(Ok(Hidden::WatchDhcp(PathBuf::from(&arguments[2])))),
            [Some("--root"), _, Some("supervise"), Some(name), ref rest @ ..] => {
                let purpose = match rest {
                    [] => Purpose::Start,
                    [Some("--adopt")] => Purpose::Adopt,
                    _ => return by_hand("supervise"),
                };
                let Ok(domain) = name.parse() else { return by_hand("supervise") };
                Some(Ok(Hidden::Supervise { root: PathBuf::from(&arguments[2]), domain, purpose }))
            }
            [Some(verb @ ("sandbox" | "watch-dhcp" | "supervise")), ..] => by_hand(verb),
            [..] => None,
        }
    }

    /// Runs to the end of the process; gives the exit code.
    pub(super) fn run(self) -> u8 {
        let result = match self {
            // The sandbox speaks through its socket alone.
            Hidden::Sandbox => return load::sandbox(),
            Hidden::WatchDhcp(directory) => {
                log::start(log::Reader::File, Format::Table);
                watch::run(&directory)
            }
            Hidden::Supervise { root, domain, purpose } => {
                log::start(log::Reader::File, Format::Table);
                supervise(root, &domain, purpose)
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

fn supervise(root: PathBuf, domain: &DomainName, purpose: Purpose) -> Result<()> {
    let gate = root::resolve(Some(root)).and_then(|layout| {
        root::check(&layout)?;
        let policy = Arc::new(policy::load(&layout.policy())?);
        Ok(Gate::new(layout, policy, Mode::Perform))
    });
    match gate {
        Ok(gate) => supervisor::run(&gate, domain, purpose, say),
        Err(failure) => {
            say(Report::Failed(failure.clone()));
            Err(failure)
        }
    }
}

/// One line to the command that started this. It may have gone (its operator lost patience): the domain goes on.
fn say(report: Report) {
    let line = serde_json::to_string(&report).context(|| "cannot write the report".to_owned());
    if let Err(failure) = line.and_then(|line| stdout::write(&(line + "\n"))) {
        tracing::warn!(%failure, "nobody hears how the start went");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_verbs_are_known_by_their_whole_command_line() {
        let named = |line: &str| Hidden::named(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(named("fief sandbox"), Some(Ok(Hidden::Sandbox)));
        assert_eq!(named("fief watch-dhcp /x"), Some(Ok(Hidden::WatchDhcp("/x".into()))));
        let supervise = |purpose| Hidden::Supervise { root: "/r".into(), domain: "node1".parse().unwrap(), purpose };
        assert_eq!(named("fief --root /r supervise node1"), Some(Ok(supervise(Purpose::Start))));
        assert_eq!(named("fief --root /r supervise node1 --adopt"), Some(Ok(supervise(Purpose::Adopt))));
        for by_hand in ["fief watch-dhcp", "fief sandbox x", "fief supervise node1", "fief --root /r supervise ../x"] {
            assert_eq!(named(by_hand).unwrap().unwrap_err().kind, crate::error::Kind::Usage, "{by_hand}");
        }
        for other in ["fief", "fief pool sandbox", "fief --root /r list", "fief show supervise"] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
