//! A domain's UEFI variables, in its folder.

use std::io;

use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::sys::durable;
use crate::types::DomainName;

pub(super) const FILE: &str = "nvram";

/// None where it has none yet.
pub fn of(layout: &Layout, name: &DomainName) -> Result<Option<Vec<u8>>> {
    match std::fs::read(layout.domain(name).join(FILE)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot read the UEFI variables of {name}")),
    }
}

/// In the place of those that it had.
pub fn put(layout: &Layout, name: &DomainName, bytes: &[u8]) -> Result<()> {
    durable::write(&layout.domain(name).join(FILE), bytes)
}
