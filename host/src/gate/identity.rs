//! The user ids of plugins, where fief runs as root: each plugin has one number on this host, given once and kept.
//!
//! Its sandbox and the image tools that work for it run as that user, and the images that are made for it belong
//! to that user, so that one plugin's tools cannot open another's files.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

use crate::config::policy::Policy;
use crate::error::{Context, Failure, Kind, Result};
use crate::layout::Layout;
use crate::sys::durable;
use crate::types::PluginId;

/// Domains have the first this many ids from `uid-base` on, plugins the next.
const RANGE: u32 = 1 << 16;
/// The table is written once for each new plugin, in a moment.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The user of `plugin`; none where fief is not root (everything then runs as the operator).
///
/// # Errors
/// Where the table cannot be read, which nothing can make anew; `NoRoom` after 65,536 plugins.
pub fn plugin_uid(layout: &Layout, policy: &Policy, plugin: &PluginId) -> Result<Option<u32>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    nth(policy, number(layout, plugin)?)
}

/// The user of what fetches plugins: the first number above theirs.
///
/// # Errors
/// Where `uid-base` leaves none.
pub fn fetcher_uid(policy: &Policy) -> Result<Option<u32>> {
    if rustix::process::geteuid().is_root() { nth(policy, RANGE) } else { Ok(None) }
}

fn nth(policy: &Policy, number: u32) -> Result<Option<u32>> {
    let uid = policy.host.uid_base.checked_add(RANGE).and_then(|first| first.checked_add(number));
    // The last number of 32 bits means "no change" to the kernel (chown(2)).
    match uid.filter(|uid| *uid != u32::MAX) {
        Some(uid) => Ok(Some(uid)),
        None => Err(Failure::usage(format!("no user ids are left above uid-base {}", policy.host.uid_base))
            .hint("set a lower uid-base under [host] in policy.toml")),
    }
}

fn number(layout: &Layout, plugin: &PluginId) -> Result<u32> {
    let path = layout.host().join("uids.json");
    let read = || -> Result<BTreeMap<PluginId, u32>> {
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Failure::other(format!("{} cannot be read", path.display()))
                    .because(error)
                    .hint("restore it from a backup: files and processes of plugins bear these numbers")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error).context(|| format!("cannot read {}", path.display())),
        }
    };
    // A number never changes once it is there, and the file is replaced as a whole: no lock to read it.
    if let Some(number) = read()?.get(plugin) {
        return Ok(*number);
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(layout.host())
        .context(|| format!("cannot make {}", layout.host().display()))?;
    let _lock = durable::lock(&layout.host().join("uids.lock"), LOCK_WAIT)?;
    let mut all = read()?;
    if let Some(number) = all.get(plugin) {
        return Ok(*number);
    }
    let next = all.values().max().map_or(0, |highest| highest.saturating_add(1));
    if next >= RANGE {
        return Err(Failure::new(Kind::NoRoom, format!("{RANGE} plugins have had user ids; there are no more")));
    }
    all.insert(plugin.clone(), next);
    let bytes = serde_json::to_vec_pretty(&all).context(|| "cannot write the table of user ids".into())?;
    durable::write(&path, &bytes)?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_keeps_its_number_and_shares_it_with_none() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let names: Vec<PluginId> = (0..8).map(|n| format!("plugin-{n}").parse().unwrap()).collect();
        let first: Vec<u32> = std::thread::scope(|scope| {
            let running: Vec<_> = names.iter().map(|name| scope.spawn(|| number(&layout, name).unwrap())).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let again: Vec<u32> = names.iter().map(|name| number(&layout, name).unwrap()).collect();
        assert_eq!(first, again);
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn a_broken_table_is_not_written_over() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        std::fs::create_dir_all(layout.host()).unwrap();
        let path = layout.host().join("uids.json");
        std::fs::write(&path, "{").unwrap();
        assert_eq!(number(&layout, &"a".parse().unwrap()).unwrap_err().kind, Kind::Other);
        assert_eq!(std::fs::read(&path).unwrap(), b"{");
    }

    #[test]
    fn ids_of_plugins_lie_above_those_of_domains() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let uid = plugin_uid(&layout, &Policy::default(), &"a".parse().unwrap()).unwrap();
        let root = rustix::process::geteuid().is_root();
        assert_eq!(uid, root.then_some(Policy::default().host.uid_base + RANGE));
    }
}
