//! The grants of a test.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

#[derive(Default)]
struct Grants {
    connections: BTreeMap<String, String>,
    directories: BTreeMap<String, PathBuf>,
    secrets: BTreeMap<String, Vec<u8>>,
}

thread_local! {
    static GRANTS: RefCell<Grants> = RefCell::default();
}

/// Lets [`Connection`](crate::connections::Connection) reach `address` (`HOST:PORT`) as `name`.
pub fn grant(name: &str, address: &str) {
    GRANTS.with_borrow_mut(|grants| grants.connections.insert(name.to_owned(), address.to_owned()));
}

/// Lets [`Directory`](crate::Directory) and [`files`](mod@crate::files) find `path` as `name`.
pub fn grant_directory(name: &str, path: &Path) {
    GRANTS.with_borrow_mut(|grants| grants.directories.insert(name.to_owned(), path.to_owned()));
}

/// Lets [`reveal`](crate::secrets::reveal) find `bytes` as `name`.
pub fn grant_secret(name: &str, bytes: &[u8]) {
    GRANTS.with_borrow_mut(|grants| grants.secrets.insert(name.to_owned(), bytes.to_owned()));
}

pub(crate) fn connection(name: &str) -> Result<String> {
    let found = GRANTS.with_borrow(|grants| grants.connections.get(name).cloned());
    found.ok_or_else(|| Error::denied(format!("the test grants no connection {name}")))
}

pub(crate) fn directory(name: &str) -> Option<PathBuf> {
    GRANTS.with_borrow(|grants| grants.directories.get(name).cloned())
}

pub(crate) fn secret(name: &str) -> Result<Vec<u8>> {
    let found = GRANTS.with_borrow(|grants| grants.secrets.get(name).cloned());
    found.ok_or_else(|| Error::not_found(format!("the test stores no secret {name}")))
}
