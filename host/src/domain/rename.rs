//! A domain's name stands in the name of its folder, in its definition and in its record. A rename changes the folder
//! first, in one step, and then the files; `renamed.json`, written before, lets the files be read until they say the
//! new name too, so that a rename that was killed anywhere has either not happened or is finished by whoever reads.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::domain;
use crate::domain::{Record, store};
use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::sys::durable;
use crate::types::DomainName;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Renamed {
    from: DomainName,
    to: DomainName,
}

fn marker(folder: &Path) -> PathBuf {
    folder.join("renamed.json")
}

/// Says, in the folder that is still the old one, that it is about to be another's.
pub(super) fn announce(layout: &Layout, from: &DomainName, to: &DomainName) -> Result<()> {
    let renamed = Renamed { from: from.clone(), to: to.clone() };
    let bytes = serde_json::to_vec(&renamed).context(|| format!("cannot rename domain {from}"))?;
    durable::write(&marker(&layout.domain(from)), &bytes)
}

/// Whether a file that says `written` may stand in the folder of `name`.
pub(super) fn allows(layout: &Layout, written: &DomainName, name: &DomainName) -> bool {
    let bytes = std::fs::read(marker(&layout.domain(name))).unwrap_or_default();
    let renamed: Option<Renamed> = serde_json::from_slice(&bytes).ok();
    renamed.is_some_and(|renamed| renamed.from == *written && renamed.to == *name)
}

/// Finishes a rename that was cut off, or forgets one that did not come about; `false` where there was none. The caller
/// holds the domain's lock.
pub(super) fn finish(layout: &Layout, name: &DomainName) -> Result<bool> {
    if !marker(&layout.domain(name)).exists() {
        return Ok(false);
    }
    // Both are read under the new name where the marker says so.
    if let (Ok(definition), Ok(record)) = (store::load(layout, name), Record::load(layout, name)) {
        let text = domain::to_toml(&definition);
        durable::write(&layout.domain(name).join("domain.toml"), text.as_bytes())?;
        record.save(layout)?;
    }
    done(layout, name).map(|()| true)
}

/// All files say the new name.
pub(super) fn done(layout: &Layout, name: &DomainName) -> Result<()> {
    let path = marker(&layout.domain(name));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
