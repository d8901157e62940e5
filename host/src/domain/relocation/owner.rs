//! A domain's part of the handover on this host, and the one who works on it.

use std::time::Duration;

use uuid::Uuid;

use crate::error::{Context, Failure, Kind, Result};
use crate::gate::host_id;
use crate::layout::Layout;
use crate::migration::handover::{Handover, Standing};
use crate::migration::journal::Journals;
use crate::sys::durable::{self, Lock, Unwritten};

/// Between two tries to write what must be written.
const AGAIN: Duration = Duration::from_millis(500);
/// Longer than the lock is held by those who only look whether somebody has it.
const LOOKED_AT: Duration = Duration::from_millis(100);

/// The state machine with its journal. As long as this lives, no other process of this host works on who owns the domain.
#[derive(Debug)]
pub struct Owner {
    layout: Layout,
    /// This host.
    host: Uuid,
    domain: Uuid,
    /// What is on disk.
    written: Option<Standing>,
    pub handover: Handover,
    _lock: Lock,
}

impl Owner {
    /// `unknown` is what a domain without a journal is: [`Standing::FIRST`] where it is defined here, else
    /// [`Standing::FOREIGN`].
    ///
    /// # Errors
    /// `Conflict` where another process works on it; `NeedsRecover` where the journal cannot be used.
    pub fn open(layout: &Layout, domain: Uuid, unknown: Standing) -> Result<Owner> {
        let host = host_id::this(layout)?.id;
        std::fs::create_dir_all(layout.handovers()).context(|| "cannot keep who owns a domain".to_owned())?;
        let path = layout.handover_lock(domain);
        let lock = match durable::lock(&path, LOOKED_AT) {
            // Whoever still has it does not only look.
            Err(failure) if failure.kind == Kind::TimedOut => durable::lock(&path, Duration::ZERO)?,
            other => other?,
        };
        let written = Journals::new(layout, host).read(domain)?;
        let handover = Handover::new(written.unwrap_or(unknown));
        Ok(Owner { layout: layout.clone(), host, domain, written, handover, _lock: lock })
    }

    /// Whether another process works on it.
    pub fn is_busy(layout: &Layout, domain: Uuid) -> bool {
        durable::is_locked(&layout.handover_lock(domain)).unwrap_or(false)
    }

    pub fn domain(&self) -> Uuid {
        self.domain
    }

    /// Makes it durable. Where nobody knows whether it is, it is written again until it is: nothing else may be done before.
    ///
    /// # Errors
    /// Where it surely is not written.
    pub fn write(&mut self, standing: Standing) -> Result<()> {
        let mut unsure: Option<Failure> = None;
        loop {
            match Journals::new(&self.layout, self.host).write(self.domain, self.written, standing) {
                Ok(()) => {
                    self.written = Some(standing);
                    return Ok(());
                }
                // It may stand there from an earlier try.
                Err(Unwritten::Surely(failure)) if unsure.is_none() => return Err(failure),
                Err(Unwritten::Surely(failure) | Unwritten::Unsure(failure)) => {
                    tracing::error!(domain = %self.domain, %failure, "it is not known whether this was written; again");
                    unsure = Some(failure);
                    std::thread::sleep(AGAIN);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn those_who_look_keep_nobody_from_the_work() {
        let root = tempfile::tempdir().unwrap();
        let (layout, domain) = (Layout::new(root.path()), Uuid::from_u128(7));
        assert!(!Owner::is_busy(&layout, domain));
        drop(Owner::open(&layout, domain, Standing::FIRST).unwrap());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    Owner::is_busy(&layout, domain);
                }
            });
            let opened: Vec<_> = (0..50)
                .map(|_| Owner::open(&layout, domain, Standing::FIRST).map(drop).map_err(|why| why.kind))
                .collect();
            over.store(true, Ordering::Relaxed);
            assert_eq!(opened, vec![Ok(()); 50]);
        });
        let works = Owner::open(&layout, domain, Standing::FIRST).unwrap();
        assert!(Owner::is_busy(&layout, domain));
        assert_eq!(Owner::open(&layout, domain, Standing::FIRST).unwrap_err().kind, Kind::Conflict);
        drop(works);
    }
}
