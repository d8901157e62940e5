//! `[[select.migration]]`: which strategy moves which domain.
//!
//! ```toml
//! [[select.migration]]                 # the first line that takes a move says how it is done
//! when = { power = "running", storage = "shared" }
//! use = "migration-live"
//!
//! [[select.migration]]
//! when = { domain = "db-*", peer = "backup*", power = "off" }     # each of these may be left out
//! use = "migration-static"
//! ```
//!
//! A move that no line takes goes by the host's own: live where the guest runs on storage that both hosts reach, static
//! otherwise.

use std::collections::BTreeMap;
use std::fmt;

use super::PluginGrants;
use crate::config::reader::{Choice, TableReader, nearest};
use crate::types::{DomainName, NamePattern, PeerName, PluginId};

/// Most lines.
const LINES_MAX: usize = 64;
/// What moves a running guest over storage that both hosts reach, where policy says nothing.
pub const LIVE: &str = "migration-live";
/// What moves everything else.
pub const STATIC: &str = "migration-static";

/// The lines, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    pub migration: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub when: When,
    pub strategy: PluginId,
    /// In policy.toml, for people.
    pub line: usize,
}

/// What a line takes; what is none takes all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct When {
    pub domain: Option<NamePattern>,
    pub peer: Option<NamePattern>,
    pub power: Option<Power>,
    pub storage: Option<Storage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    Running,
    Paused,
    Off,
}

/// Of all disks that a domain writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Both hosts reach each of them, which was tried.
    Shared,
    /// At least one has to go along.
    Separate,
}

/// A move that a strategy is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub domain: &'a DomainName,
    pub peer: &'a PeerName,
    pub power: Power,
    pub storage: Storage,
}

/// What was chosen, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Text: the host's own choice may be no plugin here.
    pub strategy: String,
    pub because: String,
}

impl Selection {
    pub fn pick(&self, case: Case<'_>) -> Chosen {
        match self.migration.iter().find(|line| line.when.takes(case)) {
            Some(Line { when, strategy, line }) => Chosen {
                strategy: strategy.to_string(),
                because: format!("[[select.migration]] of line {line} in policy.toml: {when}"),
            },
            None => {
                let strategy = match (case.power, case.storage) {
                    (Power::Running, Storage::Shared) => LIVE,
                    (Power::Running, Storage::Separate) | (Power::Paused | Power::Off, _) => STATIC,
                };
                let because = format!("no line of policy takes it; it is {}, its storage {}", case.power, case.storage);
                Chosen { strategy: strategy.to_owned(), because }
            }
        }
    }

    /// Lines that never count: an earlier one takes all that they take. By place, the later one first.
    pub fn hidden(&self) -> impl Iterator<Item = (&Line, &Line)> {
        self.migration.iter().enumerate().filter_map(|(at, line)| {
            let earlier = self.migration[..at].iter().find(|earlier| earlier.when.covers(&line.when))?;
            Some((line, earlier))
        })
    }
}

impl When {
    fn takes(&self, case: Case<'_>) -> bool {
        let named = |pattern: &Option<NamePattern>, name: &str| pattern.as_ref().is_none_or(|p| p.takes(name));
        named(&self.domain, case.domain.as_str())
            && named(&self.peer, case.peer.as_str())
            && self.power.is_none_or(|power| power == case.power)
            && self.storage.is_none_or(|storage| storage == case.storage)
    }

    /// For certain; of two patterns that differ nothing is said.
    fn covers(&self, other: &When) -> bool {
        fn wider<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            one.is_none() || one == other
        }
        wider(self.domain.as_ref(), other.domain.as_ref())
            && wider(self.peer.as_ref(), other.peer.as_ref())
            && wider(self.power.as_ref(), other.power.as_ref())
            && wider(self.storage.as_ref(), other.storage.as_ref())
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.domain.as_ref().map(|pattern| format!("domain = \"{pattern}\"")),
            self.peer.as_ref().map(|pattern| format!("peer = \"{pattern}\"")),
            self.power.map(|power| format!("power = \"{power}\"")),
            self.storage.map(|storage| format!("storage = \"{storage}\"")),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        if words.is_empty() { f.write_str("every move") } else { f.write_str(&words.join(", ")) }
    }
}

impl Choice for Power {
    const WORDS: &'static [(&'static str, Self)] =
        &[("running", Power::Running), ("paused", Power::Paused), ("off", Power::Off)];
}

impl Choice for Storage {
    const WORDS: &'static [(&'static str, Self)] = &[("shared", Storage::Shared), ("separate", Storage::Separate)];
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Power::Running => "running",
            Power::Paused => "paused",
            Power::Off => "off",
        })
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Storage::Shared => "shared",
            Storage::Separate => "separate",
        })
    }
}

pub(super) fn read(table: &mut TableReader<'_>, plugins: &BTreeMap<PluginId, PluginGrants>) -> Selection {
    let migration = table.tables("migration", LINES_MAX, |table| {
        let when = table.section("when", |table| When {
            domain: table.optional("domain", "web-*"),
            peer: table.optional("peer", "hostb"),
            power: table.choice("power"),
            storage: table.choice("storage"),
        });
        let strategy = table.required::<PluginId>("use", LIVE);
        let line = table.line_of(table.at("use"));
        let strategy = strategy?;
        if !plugins.contains_key(&strategy) {
            let hint = match nearest(strategy.as_str(), plugins.keys().map(PluginId::as_str)) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("add [plugins.{strategy}], which may be empty"),
            };
            table.wrong("use", format!("there is no [plugins.{strategy}]"), hint);
        }
        Some(Line { when: when?, strategy, line })
    });
    Selection { migration }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::parse;

    const TEXT: &str = "[plugins.mine]\n[plugins.migration-static]\n\
        [[select.migration]]\nwhen = { domain = \"db-*\", power = \"running\" }\nuse = \"migration-static\"\n\
        [[select.migration]]\nwhen = { storage = \"shared\" }\nuse = \"mine\"\n";

    fn pick(selection: &Selection, domain: &str, power: Power, storage: Storage) -> Chosen {
        let (domain, peer) = (domain.parse().unwrap(), "hostb".parse().unwrap());
        selection.pick(Case { domain: &domain, peer: &peer, power, storage })
    }

    #[test]
    fn the_first_line_that_takes_a_move_says_how_and_which_it_was() {
        let selection = parse(TEXT.as_bytes(), "x.toml").unwrap().select;
        for (domain, power, storage, strategy, because) in [
            (
                "db-1",
                Power::Running,
                Storage::Shared,
                "migration-static",
                "line 5 in policy.toml: domain = \"db-*\", power",
            ),
            ("db-1", Power::Off, Storage::Shared, "mine", "line 8 in policy.toml: storage = \"shared\""),
            ("web", Power::Running, Storage::Shared, "mine", "line 8"),
            ("web", Power::Running, Storage::Separate, STATIC, "no line of policy takes it; it is running"),
        ] {
            let chosen = pick(&selection, domain, power, storage);
            assert_eq!(chosen.strategy, strategy, "{chosen:?}");
            assert!(chosen.because.contains(because), "{chosen:?}");
        }
    }

    #[test]
    fn without_a_line_a_guest_moves_live_where_it_runs_on_storage_of_both_hosts() {
        let none = Selection::default();
        for power in [Power::Running, Power::Paused, Power::Off] {
            for storage in [Storage::Shared, Storage::Separate] {
                let live = power == Power::Running && storage == Storage::Shared;
                assert_eq!(pick(&none, "a", power, storage).strategy, if live { LIVE } else { STATIC });
            }
        }
    }

    #[test]
    fn what_is_wrong_in_a_line_is_told_with_its_place() {
        for (line, place, part) in [
            ("when = { power = \"on\" }\nuse = \"mine\"", "x.toml:3:18", "\"on\" is not one of running, paused, off"),
            ("when = { stroage = \"shared\" }\nuse = \"mine\"", "x.toml:3:10", "did you mean \"storage\"?"),
            ("when = { domain = \"a b\" }\nuse = \"mine\"", "x.toml:3:19", "select.migration[0].when.domain"),
            ("use = \"theirs\"", "x.toml:3:7", "there is no [plugins.theirs]"),
            ("when = {}", "x.toml:2:1", "\"select.migration[0].use\" is missing"),
        ] {
            let text = format!("[plugins.mine]\n[[select.migration]]\n{line}\n");
            let failure = parse(text.as_bytes(), "x.toml").unwrap_err();
            assert!(failure.to_string().contains(place) && failure.to_string().contains(part), "{failure}");
        }
    }

    #[test]
    fn a_line_behind_one_that_takes_the_same_never_counts() {
        let text =
            format!("{TEXT}[[select.migration]]\nwhen = {{ power = \"off\", storage = \"shared\" }}\nuse = \"mine\"\n");
        let selection = parse(text.as_bytes(), "x.toml").unwrap().select;
        let hidden: Vec<(usize, usize)> = selection.hidden().map(|(line, earlier)| (line.line, earlier.line)).collect();
        assert_eq!(hidden, [(11, 8)]);
    }
}
