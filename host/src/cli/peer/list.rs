//! `fief peer list`

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row, time};
use crate::error::{Failure, Kind, Result};
use crate::gate::Mode;
use crate::peer::{self, Pinned, Reached, seen};
use crate::types::{Endpoint, PeerName};

/// A host that answers does so long before.
const WAIT: Duration = Duration::from_secs(1);

/// List the peers, and whether they answer; one that does not holds up nobody
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask nobody: what was known the last time
    #[arg(long)]
    remembered: bool,
}

/// Whether it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    /// It does not answer, or not in time.
    Unreachable,
    /// One of the two does not know the other, or they do not understand each other.
    Refused,
    /// It does not listen.
    ComesOnly,
    /// Nobody asked.
    Unknown,
}

impl State {
    const fn word(self) -> Option<&'static str> {
        match self {
            State::Ok => Some("ok"),
            State::Unreachable => Some("unreachable"),
            State::Refused => Some("refused"),
            State::ComesOnly => Some("comes-only"),
            State::Unknown => None,
        }
    }

    fn of(reached: &Result<Reached>) -> State {
        match reached {
            Ok(_) => State::Ok,
            Err(Failure { kind: Kind::Unreachable | Kind::TimedOut, .. }) => State::Unreachable,
            Err(_) => State::Refused,
        }
    }
}

struct PeerRow {
    name: PeerName,
    pinned: Pinned,
    state: State,
    /// As it was the last time that it answered, and when.
    last: Option<(u64, Reached)>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let all = peer::all(context.layout())?;
    let ask = !args.remembered && context.mode() == Mode::Perform;
    let listening: Vec<PeerName> =
        all.iter().filter(|(_, pinned)| ask && pinned.address.is_some()).map(|(name, _)| name.clone()).collect();
    let mut states = peer::reach_all(&gate, &listening, WAIT).into_iter();
    let mut rows = Vec::new();
    for (name, pinned) in all {
        let state = match (&pinned.address, ask) {
            (None, _) => State::ComesOnly,
            (Some(_), false) => State::Unknown,
            (Some(_), true) => states.next().map_or(State::Unknown, |reached| State::of(&reached)),
        };
        let last = seen::read(context.layout(), &name).reached;
        rows.push(PeerRow { name, pinned, state, last });
    }
    context.list(&rows)
}

impl Row for PeerRow {
    const KIND: &'static str = "peer";
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("ADDRESS"),
        Column::left("STATE"),
        Column::left("FIEF"),
        Column::left("HOST").wide(),
        Column::left("LAST SEEN").wide(),
        Column::left("FINGERPRINT").wide(),
    ];
    fn name(&self) -> String {
        self.name.to_string()
    }
    fn cells(&self) -> Vec<Cell> {
        let known = |text: Option<String>| text.map_or(Cell::Unknown, |text| text.as_str().into());
        vec![
            self.name.as_str().into(),
            Cell::optional(self.pinned.address.as_ref().map(Endpoint::to_string).as_deref()),
            self.state.word().map_or(Cell::Unknown, Into::into),
            known(self.last.as_ref().map(|(_, reached)| reached.fief.clone())),
            self.pinned.host_name.as_str().into(),
            known(self.last.as_ref().map(|(at, _)| time(*at))),
            self.pinned.fingerprint.to_string().as_str().into(),
        ]
    }
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "address": self.pinned.address,
            "state": self.state.word(),
            "host": self.pinned.host,
            "host-name": self.pinned.host_name,
            "fingerprint": self.pinned.fingerprint,
            "paired": time(self.pinned.since),
            "last-seen": self.last.as_ref().map(|(at, _)| time(*at)),
            "fief": self.last.as_ref().map(|(_, reached)| reached.fief.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Format, listing};
    use crate::types::Digest;

    #[test]
    fn a_peer_that_nobody_asked_or_that_does_not_listen_is_still_listed() {
        let row = |name: &str, address: Option<&str>, state| PeerRow {
            name: name.parse().unwrap(),
            pinned: Pinned {
                host: uuid::Uuid::nil(),
                host_name: "nas".into(),
                fingerprint: Digest::of(b""),
                address: address.map(|text| text.parse().unwrap()),
                since: 0,
            },
            state,
            last: None,
        };
        let rows = [
            row("a", Some("10.0.0.1:8002"), State::Unreachable),
            row("b", None, State::ComesOnly),
            row("c", Some("[::1]:9"), State::Unknown),
        ];
        insta::assert_snapshot!(listing(&rows, Format::Table, None).unwrap(), @r"
        NAME  ADDRESS        STATE        FIEF
        a     10.0.0.1:8002  unreachable  ?
        b     -              comes-only   ?
        c     [::1]:9        ?            ?
        ");
    }
}
