//! What a domain's journal (migration/journal.rs) means for its life on this host: whether it may be made here, and what is
//! left to say once it is deleted. A domain that never moved has none, and nothing here costs it anything.

use uuid::Uuid;

use crate::error::{Failure, Kind, Result};
use crate::gate::host_id;
use crate::layout::Layout;
use crate::migration::handover::{Holding, Standing};
use crate::migration::journal::{self, Journals};
use crate::sys::durable::Unwritten;
use crate::types::DomainName;

/// What this host knows of who owns the domain; none where it never moved.
///
/// # Errors
/// Where it cannot be told: then the domain is nobody's here.
pub(super) fn standing(layout: &Layout, domain: Uuid, name: &DomainName) -> Result<Option<Standing>> {
    if !journal::is_there(layout, domain) {
        return Ok(None);
    }
    let host = host_id::this(layout)?.id;
    Journals::new(layout, host)
        .read(domain)
        .map_err(|failure| failure.while_doing(format!("nobody knows whether domain {name} is this host's")))
}

/// # Errors
/// `Conflict` where the domain is, or may be, another host's; `NeedsRecover` where nobody knows.
pub(super) fn may_delete(layout: &Layout, domain: Uuid, name: &DomainName) -> Result<()> {
    match standing(layout, domain, name)?.map(|standing| standing.holding) {
        None | Some(Holding::Owned) => Ok(()),
        Some(Holding::Foreign | Holding::Ceded | Holding::Gone) => {
            Err(Failure::conflict(format!("cannot delete domain {name}: it is, or may be, another host's"))
                .hint("`fief recover` clears away what a move has left"))
        }
    }
}

/// A domain with that uuid is about to be made here, under a name that is free.
///
/// # Errors
/// `Conflict` where another host owns one, or is about to hand it over; `NeedsRecover` where nobody knows.
pub(super) fn created(layout: &Layout, domain: Uuid, name: &DomainName) -> Result<()> {
    let Some(before) = standing(layout, domain, name)? else { return Ok(()) };
    match before.made_anew() {
        Some(standing) if standing == before => Ok(()),
        Some(standing) => write(layout, domain, before, standing),
        None => {
            let (kind, because) = match before.holding {
                Holding::Ceded => {
                    (Kind::NeedsRecover, "was handed over to another host, which has not said that it took it")
                }
                Holding::Gone => (Kind::Conflict, "has moved to another host"),
                Holding::Foreign | Holding::Owned => {
                    (Kind::Conflict, "is another host's, which was about to move it here")
                }
            };
            Err(Failure::new(kind, format!("cannot create domain {name}: one with its uuid ({domain}) {because}"))
                .hint("leave `uuid` out: what is created is then another domain than that"))
        }
    }
}

/// The domain was deleted. It may be made here anew, or come from another host where somebody made it.
pub(super) fn deleted(layout: &Layout, domain: Uuid, name: &DomainName) -> Result<()> {
    match standing(layout, domain, name)? {
        Some(before) if before.holding == Holding::Owned => write(layout, domain, before, before.deleted()),
        Some(_) | None => Ok(()),
    }
}

fn write(layout: &Layout, domain: Uuid, before: Standing, standing: Standing) -> Result<()> {
    let host = host_id::this(layout)?.id;
    Journals::new(layout, host).write(domain, Some(before), standing).map_err(|unwritten| match unwritten {
        Unwritten::Surely(failure) | Unwritten::Unsure(failure) => failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> (tempfile::TempDir, Layout, DomainName, Uuid) {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        (root, layout, "node1".parse().unwrap(), Uuid::from_u128(7))
    }

    fn knows(layout: &Layout, domain: Uuid, standing: Standing) {
        let host = host_id::this(layout).unwrap().id;
        Journals::new(layout, host).write(domain, None, standing).unwrap();
    }

    #[test]
    fn a_domain_that_never_moved_is_made_and_deleted_without_a_journal() {
        let (_root, layout, name, domain) = host();
        created(&layout, domain, &name).unwrap();
        may_delete(&layout, domain, &name).unwrap();
        deleted(&layout, domain, &name).unwrap();
        assert!(!layout.handovers().exists());
    }

    #[test]
    fn what_is_another_hosts_is_not_made_here_once_more() {
        let (_root, layout, name, domain) = host();
        for (holding, kind) in
            [(Holding::Foreign, Kind::Conflict), (Holding::Ceded, Kind::NeedsRecover), (Holding::Gone, Kind::Conflict)]
        {
            knows(&layout, domain, Standing { holding, ..Standing::FOREIGN });
            let failure = created(&layout, domain, &name).unwrap_err();
            assert!(failure.kind == kind && failure.hint.is_some(), "{holding:?}: {failure}");
            assert_eq!(may_delete(&layout, domain, &name).unwrap_err().kind, Kind::Conflict);
        }
        std::fs::write(layout.handover(domain), "").unwrap();
        assert_eq!(created(&layout, domain, &name).unwrap_err().kind, Kind::NeedsRecover);
    }

    #[test]
    fn what_was_this_hosts_and_is_deleted_may_be_made_anew_and_no_number_is_given_twice() {
        let (_root, layout, name, domain) = host();
        knows(&layout, domain, Standing { generation: 4, number: 9, ..Standing::FIRST });
        created(&layout, domain, &name).unwrap();
        deleted(&layout, domain, &name).unwrap();
        let gone = standing(&layout, domain, &name).unwrap().unwrap();
        assert_eq!((gone.holding, gone.generation, gone.number), (Holding::Foreign, 4, 9));
        created(&layout, domain, &name).unwrap();
        let anew = standing(&layout, domain, &name).unwrap().unwrap();
        assert_eq!((anew.holding, anew.generation, anew.number), (Holding::Owned, 5, 9));
    }
}
