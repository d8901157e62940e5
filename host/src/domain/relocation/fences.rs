//! The fences of all volumes that a domain writes to, taken and let go together. A thread of its own has their pools, with a
//! sandbox each that is there before it is needed: a sandbox lives no longer than the thread that started it, and while a guest
//! stands still, one that is not there yet costs more than the call.

use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::config::domain::DomainDefinition;
use crate::domain::volume::Coming;
use crate::domain::{hold, steps};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::migration::handover::Event;
use crate::storage::Pool;
use crate::types::{DomainName, VolumeRef};

/// Dropped, it ends their sandboxes.
pub struct Fences {
    domain: DomainName,
    /// None: it is being dropped.
    work: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

type Work = Box<dyn FnOnce(&mut Pools) + Send>;

/// What the thread has.
struct Pools {
    gate: Gate,
    domain: DomainName,
    all: Vec<(Pool, Vec<VolumeRef>)>,
}

impl Fences {
    pub fn of(gate: &Gate, definition: &DomainDefinition) -> Result<Fences> {
        let mut all: Vec<(Pool, Vec<VolumeRef>)> = Vec::new();
        for (volume, _) in steps::volumes(definition).filter(|(_, writes)| *writes) {
            match all.iter_mut().find(|(pool, _)| pool.definition().name == volume.pool) {
                Some((_, volumes)) => volumes.push(volume.clone()),
                None => all.push((Pool::open(gate, &volume.pool)?, vec![volume.clone()])),
            }
        }
        let domain = definition.name.clone();
        let mut pools = Pools { gate: gate.clone(), domain: domain.clone(), all };
        let (work, todo) = mpsc::channel::<Work>();
        let thread = std::thread::Builder::new().name("fences".into()).spawn(move || {
            while let Ok(work) = todo.recv() {
                work(&mut pools);
            }
        });
        let thread = thread.context(|| "cannot look after the fences of a domain".to_owned())?;
        Ok(Fences { domain, work: Some(work), thread: Some(thread) })
    }

    /// Waits for it.
    fn each<T: Send + 'static>(&self, work: impl FnOnce(&mut Pools) -> Result<T> + Send + 'static) -> Result<T> {
        let (done, outcome) = mpsc::channel();
        let work: Work = Box::new(move |pools| drop(done.send(work(pools))));
        let panicked = || Failure::other("a step of a move panicked");
        self.work.as_ref().ok_or_else(panicked)?.send(work).map_err(|_| panicked())?;
        outcome.recv().map_err(|_| panicked())?
    }

    /// Their sandboxes are there from then on, also those of pools into which all volumes are yet to come.
    ///
    /// # Errors
    /// Where a volume that does not come cannot be asked about.
    pub fn ready(&mut self, coming: &[Coming]) -> Result<()> {
        let coming: Vec<VolumeRef> = coming.iter().map(|coming| coming.target.clone()).collect();
        self.each(move |pools| pools.ready(&coming))
    }

    /// The newest number that any of the volumes has seen. Their sandboxes are there from then on.
    pub fn seen(&mut self) -> Result<u64> {
        self.each(Pools::seen)
    }

    /// For the owner with the generation `owner`, all or none that counts. What came of it.
    pub fn take(&mut self, owner: u64, force: bool) -> (Event, Option<Failure>) {
        self.each(move |pools| Ok(pools.take(owner, force)))
            .unwrap_or_else(|failure| (Event::FenceFailed { generation: owner }, Some(failure)))
    }

    /// # Errors
    /// Where one of them is not known to be let go.
    pub fn release(&mut self) -> Result<()> {
        self.each(Pools::release)
    }
}

impl Drop for Fences {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing under way, for whoever gives it work waits.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Fences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fences").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl Pools {
    fn ready(&mut self, coming: &[VolumeRef]) -> Result<()> {
        for (pool, volumes) in &mut self.all {
            for volume in volumes.iter().filter(|volume| !coming.contains(volume)) {
                hold::seen(pool, volume)?;
            }
            if volumes.iter().all(|volume| coming.contains(volume)) {
                pool.info()?;
            }
        }
        Ok(())
    }

    fn seen(&mut self) -> Result<u64> {
        let mut newest = 0;
        for (pool, volumes) in &mut self.all {
            for volume in volumes {
                newest = newest.max(hold::seen(pool, volume)?);
            }
        }
        Ok(newest)
    }

    fn take(&mut self, owner: u64, force: bool) -> (Event, Option<Failure>) {
        for (pool, volumes) in &mut self.all {
            for volume in volumes {
                if let Err(failure) = hold::take_handed(&self.gate, pool, volume, &self.domain, (owner, force)) {
                    let event = match failure.kind {
                        Kind::Conflict => Event::FenceHeld { generation: owner },
                        _ => Event::FenceFailed { generation: owner },
                    };
                    return (event, Some(failure));
                }
            }
        }
        (Event::FenceTaken { generation: owner }, None)
    }

    fn release(&mut self) -> Result<()> {
        for (pool, volumes) in &mut self.all {
            for volume in volumes {
                hold::release(&self.gate, pool, volume, &self.domain)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::{RandomIdentity, parse};
    use crate::gate::Mode;
    use crate::layout::Layout;

    #[test]
    fn all_is_done_on_one_thread_that_lives_as_long_and_whose_panic_is_told() {
        let root = tempfile::tempdir().unwrap();
        let gate = Gate::new(Layout::new(root.path()), std::sync::Arc::default(), Mode::Perform);
        let definition = parse("name = \"a\"\nmemory = \"32MiB\"\n".as_bytes(), "a.toml", &mut RandomIdentity).unwrap();
        let mut fences = Fences::of(&gate, &definition).unwrap();
        let on = |fences: &Fences| fences.each(|_| Ok(std::thread::current().id())).unwrap();
        let first = on(&fences);
        assert_ne!(first, std::thread::current().id());
        assert_eq!(std::thread::scope(|scope| scope.spawn(|| on(&fences)).join()).unwrap(), first);
        assert_eq!((fences.seen().unwrap(), fences.release()), (0, Ok(())));
        assert_eq!(fences.take(3, false), (Event::FenceTaken { generation: 3 }, None));
        assert_eq!(fences.each::<()>(|_| panic!("on purpose")).unwrap_err().kind, Kind::Other);
        let (event, failure) = fences.take(3, false);
        assert_eq!(
            (event, failure.map(|failure| failure.kind)),
            (Event::FenceFailed { generation: 3 }, Some(Kind::Other))
        );
    }
}
