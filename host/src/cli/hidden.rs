//! Verbs that fief calls itself with: the other processes it is made of. They are known before clap is asked, so
//! that they start at once, and no help text names them.

use std::ffi::OsString;
use std::path::PathBuf;

use super::load;
use crate::error::{Failure, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hidden {
    /// `fief sandbox`: the other room, for one plugin.
    Sandbox,
    /// `fief watch-dhcp DIR`: keeps one network's DHCP server running.
    WatchDhcp(PathBuf),
}

impl Hidden {
    /// None where the first argument is no hidden verb.
    pub(super) fn named(arguments: &[OsString]) -> Option<Result<Hidden>> {
        let verb = arguments.get(1)?.to_str()?;
        let hidden = match (verb, &arguments[2..]) {
            ("sandbox", []) => Hidden::Sandbox,
            ("watch-dhcp", [directory]) => Hidden::WatchDhcp(PathBuf::from(directory)),
            ("sandbox" | "watch-dhcp", _) => {
                return Some(Err(Failure::usage(format!("fief {verb} is not run by hand"))
                    .hint("fief --help lists the verbs that are")));
            }
            (_, _) => return None,
        };
        Some(Ok(hidden))
    }

    pub(super) fn run(self) -> Result<()> {
        match self {
            Hidden::Sandbox => load::sandbox(),
            Hidden::WatchDhcp(directory) => load::watch_dhcp(&directory),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_word_names_a_hidden_verb() {
        let named = |line: &str| Hidden::named(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(named("fief sandbox"), Some(Ok(Hidden::Sandbox)));
        assert_eq!(named("fief watch-dhcp /x"), Some(Ok(Hidden::WatchDhcp("/x".into()))));
        assert_eq!(named("fief watch-dhcp").unwrap().unwrap_err().kind, crate::error::Kind::Usage);
        assert_eq!(named("fief pool sandbox"), None);
        assert_eq!(named("fief"), None);
    }
}
