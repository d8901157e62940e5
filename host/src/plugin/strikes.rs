//! A plugin that fails by its own fault, again and again, over one pool, network or domain is set aside for that one: calls are
//! refused at once, for a while, or until the operator lets it try again or other bytes take its place. Others that it serves
//! are not touched: what makes it fail may be one server's answers, or one guest's requests.
//!
//! ```text
//!   ROOT/plugins/ID/strikes/pool.NAME.json      written at a fault, gone with the next good answer
//! ```

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{Gate, Mode};
use crate::layout::Layout;
use crate::plugin::{Subject, package, pending};
use crate::sys::durable;
use crate::types::{Digest, PluginId};

/// Faults without a good answer between them, after which it is set aside.
pub const STRIKES: u32 = 3;
/// After so long it is tried again, once: what it stumbled over may be gone.
const ASIDE: SignedDuration = SignedDuration::from_mins(10);

/// What is known of a plugin that was at fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Strikes {
    /// What it was at fault over: `pool default`.
    pub subject: String,
    /// Of these bytes.
    pub digest: Digest,
    pub count: u32,
    /// The last of them.
    pub at: Timestamp,
    pub why: String,
}

impl Strikes {
    /// It is not called before then; none where it is not set aside.
    pub fn until(&self) -> Option<Timestamp> {
        (self.count >= STRIKES).then(|| self.at.saturating_add(ASIDE).unwrap_or(Timestamp::MAX))
    }

    /// Whether it is set aside.
    pub fn are_out(&self) -> bool {
        // A clock that was put back does not make it wait for longer.
        let now = Timestamp::now();
        self.until().is_some_and(|until| now < until && self.at <= now)
    }
}

fn folder(layout: &Layout, id: &PluginId) -> PathBuf {
    layout.plugin(id).join("strikes")
}

fn path(layout: &Layout, id: &PluginId, subject: &Subject) -> PathBuf {
    folder(layout, id).join(format!("{}.json", subject.to_string().replacen(' ', ".", 1)))
}

fn read(path: &std::path::Path) -> Option<Strikes> {
    // One that cannot be read counts for nothing: it is there to save time, not to guard anything.
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// # Errors
/// `PluginFault` where the plugin is set aside for this one.
pub fn may_call(gate: &Gate, id: &PluginId, subject: &Subject) -> Result<()> {
    let Some(strikes) = read(&path(gate.layout(), id, subject)).filter(Strikes::are_out) else { return Ok(()) };
    if package::chosen(gate, id).is_ok_and(|chosen| chosen.digest != strikes.digest) {
        return Ok(());
    }
    let until = strikes.until().unwrap_or_default();
    let Strikes { count, at, why, .. } = strikes;
    let message = format!("the plugin {id} is set aside for {subject}: it was at fault {count} times in a row");
    Err(Failure { causes: vec![format!("the last time at {at:.0}"), why], ..Failure::new(Kind::PluginFault, message) }.hint(
        format!(
            "it is tried again after {until:.0}; fief plugin release {id} lets it try now, fief plugin upgrade or rollback puts \
             another version in its place"
        ),
    ))
}

/// How a call ended. What cannot be written down is not: the call's own outcome is what counts.
pub fn heard<T>(gate: &Gate, id: &PluginId, subject: &Subject, answer: &Result<T>) {
    if gate.mode() == Mode::DryRun || gate.forgives() {
        return;
    }
    let path = path(gate.layout(), id, subject);
    let written = match answer {
        Err(failure) if failure.kind == Kind::PluginFault => strike(gate, id, subject, failure),
        Err(_) => Ok(()),
        Ok(_) => forget(&path),
    };
    if let Err(failure) = written {
        tracing::warn!(plugin = %id, %failure, "how often it was at fault is not written down");
    }
}

fn strike(gate: &Gate, id: &PluginId, subject: &Subject, failure: &Failure) -> Result<()> {
    let (layout, digest) = (gate.layout(), package::chosen(gate, id)?.digest);
    let path = path(layout, id, subject);
    let before = read(&path).filter(|before| before.digest == digest).map_or(0, |before| before.count);
    let strikes = Strikes {
        subject: subject.to_string(),
        digest,
        count: before.saturating_add(1),
        at: Timestamp::now(),
        why: failure.to_string(),
    };
    if strikes.count == STRIKES {
        tracing::error!(plugin = %id, %subject, why = %strikes.why, "it is set aside: fief plugin release lets it try again");
    }
    pending::folder(&folder(layout, id))?;
    let bytes = serde_json::to_vec_pretty(&strikes).context(|| "cannot write what it was at fault over".to_owned())?;
    durable::write(&path, &bytes)
}

fn forget(path: &std::path::Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// All that is held against these bytes of the plugin, by what it is about.
pub fn all(layout: &Layout, id: &PluginId, digest: Digest) -> Vec<Strikes> {
    let folder = folder(layout, id);
    let names = durable::names(&folder).unwrap_or_default();
    let mut all: Vec<Strikes> = names.iter().filter_map(|name| read(&folder.join(name))).collect();
    all.retain(|strikes| strikes.digest == digest);
    all.sort_by(|a, b| a.subject.cmp(&b.subject));
    all
}

/// Lets it try again everywhere; gives what was held against it.
pub fn release(layout: &Layout, id: &PluginId) -> Result<Vec<Strikes>> {
    let digest = package::installed(layout, id)?.digest;
    let all = all(layout, id, digest);
    match std::fs::remove_dir_all(folder(layout, id)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot forget what the plugin {id} was at fault over"))
        }
        _ => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::policy::Policy;
    use crate::plugin::package::{Installed, Record, write};

    fn gate(root: &std::path::Path, mode: Mode) -> Gate {
        Gate::new(Layout::new(root), Arc::new(Policy::default()), mode)
    }

    fn installed(gate: &Gate, bytes: &[u8]) -> PluginId {
        let manifest = br#"{"schema":1,"id":"it","version":"0.1.0","kind":"storage","host-api":"0.1.0","summary":"It.","settings":[],"permissions":[]}"#;
        let manifest = crate::plugin::Manifest::parse(manifest).unwrap();
        let id = manifest.id.clone();
        let installed = Installed {
            digest: Digest::of(bytes),
            manifest,
            imports: Vec::new(),
            exports: Vec::new(),
            signer: None,
            source: None,
            trial: None,
        };
        write(gate.layout(), &Record { installed, previous: None, next: None }).unwrap();
        id
    }

    fn fault() -> Result<()> {
        Err(Failure::new(Kind::PluginFault, "it trapped"))
    }

    #[test]
    fn three_faults_in_a_row_over_one_pool_set_it_aside_for_that_one() {
        let root = tempfile::tempdir().unwrap();
        let gate = gate(root.path(), Mode::Perform);
        let id = installed(&gate, b"a");
        let (bad, good) = (Subject::Pool("bad".parse().unwrap()), Subject::Pool("good".parse().unwrap()));
        for _ in 1..STRIKES {
            heard(&gate, &id, &bad, &fault());
            // What is not the plugin's fault is neither held against it nor for it.
            heard(&gate, &id, &bad, &Err::<(), _>(Failure::not_found("no such volume")));
        }
        may_call(&gate, &id, &bad).unwrap();
        heard(&gate, &id, &bad, &Ok(()));
        for _ in 0..STRIKES {
            may_call(&gate, &id, &bad).unwrap();
            heard(&gate, &id, &bad, &fault());
        }
        let held = &all(gate.layout(), &id, Digest::of(b"a"))[0];
        assert_eq!(held.until().unwrap().duration_since(held.at), ASIDE);
        let refused = may_call(&gate, &id, &bad).unwrap_err();
        assert_eq!(refused.kind, Kind::PluginFault);
        assert!(refused.to_string().contains("set aside for pool bad: it was at fault 3 times"), "{refused}");
        assert!(refused.causes.contains(&"it trapped".to_owned()));
        may_call(&gate, &id, &good).unwrap();
        assert_eq!(all(gate.layout(), &id, Digest::of(b"a")).len(), 1);

        // Some time later it is tried once, and aside again at the next fault.
        let path = path(gate.layout(), &id, &bad);
        let earlier = Strikes { at: Timestamp::now().checked_sub(ASIDE).unwrap(), ..read(&path).unwrap() };
        std::fs::write(&path, serde_json::to_vec(&earlier).unwrap()).unwrap();
        may_call(&gate, &id, &bad).unwrap();
        heard(&gate, &id, &bad, &fault());
        assert!(may_call(&gate, &id, &bad).is_err());

        // Other bytes begin anew; these are let try again by the operator alone.
        installed(&gate, b"b");
        may_call(&gate, &id, &bad).unwrap();
        installed(&gate, b"a");
        assert!(may_call(&gate, &id, &bad).is_err());
        assert_eq!(release(gate.layout(), &id).unwrap()[0].subject, "pool bad");
        may_call(&gate, &id, &bad).unwrap();
        assert!(release(gate.layout(), &id).unwrap().is_empty());
    }

    #[test]
    fn a_dry_run_holds_nothing_against_it() {
        let root = tempfile::tempdir().unwrap();
        let id = installed(&gate(root.path(), Mode::Perform), b"a");
        let dry = gate(root.path(), Mode::DryRun);
        let subject = Subject::Domain("node1".parse().unwrap());
        for _ in 0..=STRIKES {
            heard(&dry, &id, &subject, &fault());
        }
        may_call(&dry, &id, &subject).unwrap();
    }
}
