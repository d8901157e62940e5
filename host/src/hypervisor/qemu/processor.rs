//! What processors this host's QEMU can show a guest: the best one that there is, feature by feature, and the named models
//! that it has all of. QEMU itself is asked, over QMP (`query-cpu-model-expansion`, `query-cpu-definitions`), once per boot.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::probe::{Key, key, record};
use crate::error::{Context, Failure, Result};
use crate::gate::operation::HypervisorCommand;
use crate::gate::{Actor, Gate, Ledger, Operation, Outcome};
use crate::hypervisor::{ChosenAccelerator, FIRST_DESCRIPTOR};
use crate::types::ByteSize;

/// QEMU answers in 50 ms; on a loaded machine it may take seconds. In milliseconds.
const LIMIT: u32 = 20_000;
/// What it says of a hundred models, in bytes, is a tenth of this.
const SAID_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Processor {
    /// As QEMU calls the best that there is here: `host` or `max`.
    pub model: String,
    pub vendor: String,
    /// Those that it has, by QEMU's names, in order.
    pub features: Vec<String>,
    /// The named models of which nothing is missing here, in order.
    pub models: Vec<String>,
}

/// What was found, as `host/processors.json` keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Found {
    key: Key,
    accelerator: ChosenAccelerator,
    processor: Processor,
}

/// # Errors
/// Where QEMU does not answer.
pub fn processor(gate: &Gate, accelerator: ChosenAccelerator) -> Result<Processor> {
    let Some(key) = key(&gate.policy().host.qemu) else {
        return Err(Failure::not_found(format!("there is no {}", gate.policy().host.qemu.display())));
    };
    let path = gate.layout().host().join("processors.json");
    let known: Option<Found> = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(known) = known.filter(|known| known.key == key && known.accelerator == accelerator) {
        return Ok(known.processor);
    }
    let processor = read(accelerator.best_cpu(), &asked(gate, accelerator)?)?;
    let found = Found { key, accelerator, processor };
    // The record only saves time.
    if let Err(failure) = record(&path, &found) {
        tracing::warn!("what processors QEMU shows is not kept: {failure}");
    }
    Ok(found.processor)
}

/// All that QEMU says to our questions, a line each.
fn asked(gate: &Gate, accelerator: ChosenAccelerator) -> Result<String> {
    let saying = || "cannot ask QEMU for its processors".to_owned();
    let (mut here, there) = UnixStream::pair().context(saying)?;
    here.set_read_timeout(Some(Duration::from_millis(LIMIT.into()))).context(saying)?;
    for command in [
        json!({ "execute": "qmp_capabilities" }),
        json!({
            "execute": "query-cpu-model-expansion", "id": "best",
            "arguments": { "type": "full", "model": { "name": accelerator.best_cpu() } },
        }),
        json!({ "execute": "query-cpu-definitions", "id": "models" }),
        json!({ "execute": "quit" }),
    ] {
        // Some hundred bytes, for which a socket has room before anybody reads.
        here.write_all(format!("{command}\n").as_bytes()).context(saying)?;
    }
    let (accel, kvm) = match accelerator {
        ChosenAccelerator::Kvm => ("kvm", true),
        ChosenAccelerator::Tcg => ("tcg", false),
    };
    let descriptor = FIRST_DESCRIPTOR;
    let chardev = format!("socket,id=monitor,fd={descriptor}");
    let words = [
        "-nodefaults",
        "-no-user-config",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-machine",
        "none",
        "-accel",
        accel,
        "-display",
        "none",
        "-chardev",
        &chardev,
        "-mon",
        "chardev=monitor,mode=control",
    ];
    let command = HypervisorCommand {
        program: gate.policy().host.qemu.clone(),
        arguments: words.map(String::from).to_vec(),
        host_network: false,
        kvm,
        userfaults: false,
        memory: ByteSize::from_mib(32),
    };
    // It says more than a socket holds, so somebody reads while it speaks.
    let reading = std::thread::spawn(move || {
        let mut said = Vec::new();
        match here.take(SAID_MAX).read_to_end(&mut said) {
            // It ended with a word of ours unread, behind all that it said: the newline after `quit`, say.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(said),
            other => other.map(|_| said),
        }
    });
    let operation = Operation::HypervisorProbe { command, limit_ms: LIMIT };
    let done = gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, vec![OwnedFd::from(there)])?;
    let said = reading.join().map_err(|_| Failure::other(saying()))?.context(saying)?;
    match done.outcome {
        Outcome::Probed { code: Some(0), .. } => Ok(String::from_utf8_lossy(&said).into_owned()),
        Outcome::Probed { said, .. } => {
            let mut failure = Failure::other("QEMU does not tell its processors");
            failure.causes.extend(said.last().map(|line| super::printable(line)));
            Err(failure)
        }
        other => Err(Failure::other(format!("the gate answered a probe with {other:?}"))),
    }
}

fn read(model: &str, said: &str) -> Result<Processor> {
    let replies: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let reply = |id: &str| {
        let found = replies.iter().find(|reply| reply["id"] == id).map(|reply| &reply["return"]);
        found.filter(|reply| !reply.is_null()).ok_or_else(|| Failure::other(format!("QEMU does not tell its {id}")))
    };
    let none = Map::new();
    let properties = reply("best")?["model"]["props"].as_object().unwrap_or(&none);
    // A feature with two names is listed by the one that the documentation has.
    let is_alias = |name: &String| name.contains(['_', '.']) && properties.contains_key(&name.replace(['_', '.'], "-"));
    let mut features: Vec<String> = properties
        .iter()
        .filter(|(name, value)| **value == true && !is_alias(name))
        .map(|(name, _)| name.clone())
        .collect();
    features.sort();
    let runs = |one: &&Value| one["unavailable-features"].as_array().is_some_and(Vec::is_empty);
    let models = reply("models")?.as_array().into_iter().flatten().filter(runs);
    let mut models: Vec<String> = models.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect();
    models.sort();
    let vendor = properties.get("vendor").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Processor { model: model.to_owned(), vendor, features, models })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Mode;
    use crate::layout::Layout;

    #[test]
    fn qemu_tells_what_processors_it_shows() {
        let root = tempfile::tempdir().unwrap();
        let gate = Gate::new(Layout::new(root.path()), std::sync::Arc::default(), Mode::Perform);
        let processor = processor(&gate, ChosenAccelerator::Tcg).unwrap();
        assert_eq!(processor.model, "max");
        assert!(processor.features.contains(&"sse2".to_owned()), "{:?}", processor.features);
        assert!(processor.models.contains(&"qemu64-v1".to_owned()), "{:?}", processor.models);
        assert!(root.path().join("host/processors.json").exists());
        assert_eq!(super::processor(&gate, ChosenAccelerator::Tcg).unwrap(), processor);
    }

    #[test]
    fn a_feature_is_listed_by_one_name_and_a_model_that_lacks_something_not_at_all() {
        let said = r#"{"QMP":{}}
{"return":{}}
{"id":"best","return":{"model":{"name":"max","props":{"sse4_1":true,"sse4-1":true,"vmx":false,"vendor":"V","level":13}}}}
{"id":"models","return":[{"name":"b","unavailable-features":["x"]},{"name":"a","unavailable-features":[]},{"name":"c"}]}
"#;
        let processor = read("max", said).unwrap();
        assert_eq!(
            (processor.vendor.as_str(), &processor.features[..], &processor.models[..]),
            ("V", &["sse4-1".to_owned()][..], &["a".to_owned()][..])
        );
        assert!(read("max", "{\"id\":\"best\",\"error\":{}}").is_err());
    }
}
