//! The number of a run: the domain id of Xen, in the names of its interfaces (`vif<domain id>.<n>`).
//!
//! It counts up for as long as the root is there, so that a number means one run. Several roots may share the links of
//! one network namespace, each with its own count: a number that another's interface has in its name is passed over.

use std::time::Duration;

use crate::config::domain::CARDS_MAX;
use crate::domain::record::Record;
use crate::error::{Context, Failure, Result};
use crate::layout::Layout;
use crate::sys::{durable, link};

/// With the highest one, and any card of a domain, an interface's name still fits the kernel (15 bytes); then it is 1 again.
const HIGHEST: u32 = 99_999_999;
/// Numbers that are looked at in one go: another root would have to run so many domains.
const TRIES: u32 = 10_000;
/// For other supervisors to take theirs, in a host that starts all of its domains.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

/// Takes the next number.
pub fn next(layout: &Layout) -> Result<u32> {
    let folder = layout.host();
    let saying = || "cannot number this run of the domain".to_owned();
    std::fs::create_dir_all(&folder).context(saying)?;
    let _lock = durable::lock(&folder.join("next-id.lock"), LOCK_LIMIT)?;
    let path = folder.join("next-id");
    let first = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1u32);
    let id = free(first, is_taken)?.ok_or_else(|| {
        Failure::conflict(format!("{TRIES} numbers from {first} on are all in names of interfaces"))
            .hint("`ip link` shows the interfaces that are called vif<number>.<n>; remove those that nobody uses")
    })?;
    durable::write(&path, format!("{}\n", after(id)).as_bytes())?;
    Ok(id)
}

fn is_taken(id: u32) -> Result<bool> {
    for index in 0..CARDS_MAX {
        let name = Record::tap_name(id, index)?;
        if link::exists(&name).context(|| format!("cannot look for the link {name}"))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn after(id: u32) -> u32 {
    if id < HIGHEST { id + 1 } else { 1 }
}

/// The first that is not taken, from `first` on.
fn free(first: u32, mut taken: impl FnMut(u32) -> Result<bool>) -> Result<Option<u32>> {
    let mut id = first.clamp(1, HIGHEST);
    for _ in 0..TRIES {
        if !taken(id)? {
            return Ok(Some(id));
        }
        id = after(id);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::netns::{ip, within};

    #[test]
    fn numbers_count_up_and_pass_over_those_of_others_interfaces() {
        within(|| {
            let root = tempfile::tempdir().unwrap();
            let layout = Layout::new(root.path());
            ip("link add vif2.0 type bridge");
            ip("link add vif3.15 type bridge");
            let taken: Vec<u32> = (0..3).map(|_| next(&layout).unwrap()).collect();
            assert_eq!(taken, [1, 4, 5]);
        });
    }

    #[test]
    fn the_highest_number_names_every_card_and_is_followed_by_the_first() {
        assert_eq!(Record::tap_name(HIGHEST, CARDS_MAX - 1).unwrap().as_str(), "vif99999999.15");
        assert_eq!(free(HIGHEST, |id| Ok(id == HIGHEST)).unwrap(), Some(1));
        assert_eq!(free(u32::MAX, |_| Ok(false)).unwrap(), Some(HIGHEST));
        assert_eq!(free(0, |_| Ok(false)).unwrap(), Some(1));
        assert_eq!(free(1, |_| Ok(true)).unwrap(), None);
    }
}
