//! `fief peer show`

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::failure::warn;
use crate::cli::output::progress::Progress;
use crate::cli::output::text::printable;
use crate::cli::output::{Shown, time};
use crate::error::Result;
use crate::peer::facts::Facts;
use crate::peer::{self, Pinned, Reached, seen};
use crate::types::{ByteSize, PeerName};

/// For it to be there. A host that answers does so long before.
const WAIT: Duration = Duration::from_secs(3);
/// For what it has: it asks its own hypervisor and its pools.
const FACTS_WAIT: Duration = Duration::from_secs(30);
/// Clocks that differ by more than this are worth a word: time in logs of the two does not fit.
const SKEW: Duration = Duration::from_secs(2);

/// Print what is known of a peer: whether it answers, how far it is, and what it has
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    name: PeerName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    let pinned = peer::get(context.layout(), &args.name)?;
    let waiting = Progress::asking_peer(&args.name, context.format());
    let (reached, facts) = peer::reach_and(&gate, &args.name, WAIT, async |session| {
        session.request::<Facts>("facts", &(), FACTS_WAIT).await
    });
    drop(waiting);
    for failure in [reached.as_ref().err(), facts.as_ref().and_then(|facts| facts.as_ref().err())].into_iter().flatten()
    {
        let hint = failure.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        warn(&format!("{failure}{hint}"), context.format());
    }
    let told = Told {
        name: args.name.clone(),
        pinned,
        last: seen::read(context.layout(), &args.name).reached,
        facts: facts.and_then(Result::ok),
        reached,
    };
    if let Ok(reached) = &told.reached
        && reached.skew_ms.unsigned_abs() > SKEW.as_millis() as u64
    {
        warn(&format!("the clocks of the two hosts differ by {}", seconds(reached.skew_ms)), context.format());
    }
    context.show(&Shown { kind: "peer", name: args.name.to_string(), json: told.json(), text: told.text() })
}

struct Told {
    name: PeerName,
    pinned: Pinned,
    reached: Result<Reached>,
    /// The last time that it answered.
    last: Option<(u64, Reached)>,
    facts: Option<Facts>,
}

impl Told {
    fn json(&self) -> Value {
        let now = self.reached.as_ref().ok();
        json!({
            "name": self.name,
            "address": self.pinned.address,
            "host": self.pinned.host,
            "host-name": self.pinned.host_name,
            "fingerprint": self.pinned.fingerprint,
            "paired": time(self.pinned.since),
            "reachable": now.is_some(),
            "fief": now.map(|reached| &reached.fief),
            "protocol": now.map(|reached| reached.version),
            "round-trip-us": now.map(|reached| reached.round_trip_us),
            "clock-skew-ms": now.map(|reached| reached.skew_ms),
            "last-seen": self.last.as_ref().map(|(at, _)| time(*at)),
            "facts": self.facts,
        })
    }

    fn text(&self) -> String {
        let address =
            self.pinned.address.as_ref().map_or_else(|| "- (it only comes here)".to_owned(), ToString::to_string);
        let state = match &self.reached {
            Ok(reached) => format!("ok, {:.1} ms away", reached.round_trip_us as f64 / 1000.0),
            Err(_) => {
                let last = self.last.as_ref().map_or_else(|| "never".to_owned(), |(at, _)| time(*at));
                format!("does not answer; seen last: {last}")
            }
        };
        let mut lines = vec![
            ("peer", self.name.to_string()),
            ("address", address),
            ("state", state),
            ("host", format!("{} ({})", self.pinned.host_name, self.pinned.host)),
            ("fingerprint", self.pinned.fingerprint.to_string()),
            ("paired", time(self.pinned.since)),
        ];
        if let Ok(reached) = &self.reached {
            lines.push(("fief", format!("{}, protocol {}", reached.fief, reached.version)));
            lines.push(("clock", format!("{} ahead of this host's", seconds(reached.skew_ms))));
        }
        if let Some(facts) = &self.facts {
            has(facts, &mut lines);
        }
        lines.iter().map(|(key, value)| format!("{key:<12} {}\n", printable(value))).collect()
    }
}

/// The main things, of what may be hundreds.
fn has(facts: &Facts, lines: &mut Vec<(&'static str, String)>) {
    let or_none = |words: Vec<String>| if words.is_empty() { "-".to_owned() } else { words.join(", ") };
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), |bytes| ByteSize::from_bytes(bytes).human());
    lines.push(("machine", format!("{}, {} processors, Linux {}", facts.architecture, facts.processors, facts.kernel)));
    lines.push(("memory", format!("{} of {} available", size(facts.memory_available), size(facts.memory))));
    for hypervisor in &facts.hypervisors {
        let accelerator = hypervisor.accelerator.and_then(|chosen| serde_json::to_value(chosen).ok());
        let accelerator = accelerator.as_ref().and_then(Value::as_str).unwrap_or("?").to_owned();
        let machines = hypervisor.machines.len();
        lines.push((
            "hypervisor",
            format!("{} {}, {accelerator}, {machines} machine types", hypervisor.name, hypervisor.version),
        ));
        if let Some(processor) = &hypervisor.processor {
            let what = format!("{} ({}), {} features", processor.model, processor.vendor, processor.features.len());
            lines.push(("processor", what));
        }
    }
    let network = |network: &peer::facts::NetworkFacts| match &network.bridge {
        Some(bridge) => format!("{} ({} on {bridge} {})", network.name, network.kind, network.addresses.join(" ")),
        None => format!("{} ({})", network.name, network.kind),
    };
    lines.push(("networks", or_none(facts.networks.iter().map(network).collect())));
    let pool = |pool: &peer::facts::PoolFacts| {
        format!("{} ({}, {})", pool.name, pool.kind, pool.state.as_deref().unwrap_or("no plugin"))
    };
    lines.push(("pools", or_none(facts.pools.iter().map(pool).collect())));
    let plugin = |plugin: &peer::facts::PluginFacts| format!("{} {}", plugin.id, plugin.version);
    lines.push(("plugins", or_none(facts.plugins.iter().map(plugin).collect())));
    lines.extend(facts.unknown.iter().map(|unknown| ("unknown", unknown.clone())));
}

/// `1.250 s`, with its sign.
fn seconds(milliseconds: i64) -> String {
    let sign = if milliseconds < 0 { "-" } else { "" };
    let positive = milliseconds.unsigned_abs();
    format!("{sign}{}.{:03} s", positive / 1000, positive % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Failure, Kind};
    use crate::types::Digest;

    #[test]
    fn a_peer_is_shown_whether_it_answers_or_not() {
        let pinned = Pinned {
            host: uuid::Uuid::nil(),
            host_name: "nas".into(),
            fingerprint: Digest::of(b""),
            address: Some("10.0.0.2:8002".parse().unwrap()),
            since: 0,
        };
        let reached = Reached {
            host: String::new(),
            host_name: "nas".into(),
            fief: "0.1.0".into(),
            version: 1,
            round_trip_us: 420,
            skew_ms: -1_250,
        };
        let away = Failure::new(Kind::Unreachable, "away");
        let mut told = Told { name: "b".parse().unwrap(), pinned, reached: Err(away), last: None, facts: None };
        assert!(told.text().contains("state        does not answer; seen last: never\n"), "{}", told.text());
        assert_eq!((told.json()["reachable"].clone(), told.json()["facts"].clone()), (json!(false), Value::Null));
        told.reached = Ok(reached);
        insta::assert_snapshot!(told.text(), @r"
        peer         b
        address      10.0.0.2:8002
        state        ok, 0.4 ms away
        host         nas (00000000-0000-0000-0000-000000000000)
        fingerprint  sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        paired       1970-01-01T00:00:00Z
        fief         0.1.0, protocol 1
        clock        -1.250 s ahead of this host's
        ");
    }
}
