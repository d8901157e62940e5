//! The fences of all volumes that a domain writes to, taken and let go together. Its pools are opened before they are
//! needed: while a guest stands still, a sandbox that is not there yet costs more than the call.

use super::apart;
use crate::config::domain::DomainDefinition;
use crate::domain::volume::Coming;
use crate::domain::{hold, steps};
use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::migration::handover::Event;
use crate::storage::Pool;
use crate::types::{DomainName, VolumeRef};

pub struct Fences {
    gate: Gate,
    domain: DomainName,
    pools: Vec<(Pool, Vec<VolumeRef>)>,
}

impl Fences {
    pub fn of(gate: &Gate, definition: &DomainDefinition) -> Result<Fences> {
        let mut pools: Vec<(Pool, Vec<VolumeRef>)> = Vec::new();
        for (volume, _) in steps::volumes(definition).filter(|(_, writes)| *writes) {
            match pools.iter_mut().find(|(pool, _)| pool.definition().name == volume.pool) {
                Some((_, volumes)) => volumes.push(volume.clone()),
                None => pools.push((Pool::open(gate, &volume.pool)?, vec![volume.clone()])),
            }
        }
        Ok(Fences { gate: gate.clone(), domain: definition.name.clone(), pools })
    }

    /// Their sandboxes are there from then on, also those of pools into which all volumes are yet to come.
    ///
    /// # Errors
    /// Where a volume that does not come cannot be asked about.
    pub fn ready(&mut self, coming: &[Coming]) -> Result<()> {
        let comes = |volume: &VolumeRef| coming.iter().any(|coming| coming.target == *volume);
        apart(|| {
            for (pool, volumes) in &mut self.pools {
                for volume in volumes.iter().filter(|volume| !comes(volume)) {
                    hold::seen(pool, volume)?;
                }
                if volumes.iter().all(comes) {
                    pool.info()?;
                }
            }
            Ok(())
        })
    }

    /// The newest number that any of the volumes has seen. Their sandboxes are there from then on.
    pub fn seen(&mut self) -> Result<u64> {
        apart(|| self.all_seen())
    }

    fn all_seen(&mut self) -> Result<u64> {
        let mut newest = 0;
        for (pool, volumes) in &mut self.pools {
            for volume in volumes {
                newest = newest.max(hold::seen(pool, volume)?);
            }
        }
        Ok(newest)
    }

    /// For the owner with the generation `owner`, all or none that counts. What came of it.
    pub fn take(&mut self, owner: u64, force: bool) -> (Event, Option<Failure>) {
        apart(|| Ok(self.all_taken(owner, force)))
            .unwrap_or_else(|failure| (Event::FenceFailed { generation: owner }, Some(failure)))
    }

    fn all_taken(&mut self, owner: u64, force: bool) -> (Event, Option<Failure>) {
        for (pool, volumes) in &mut self.pools {
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

    /// # Errors
    /// Where one of them is not known to be let go.
    pub fn release(&mut self) -> Result<()> {
        apart(|| self.all_released())
    }

    fn all_released(&mut self) -> Result<()> {
        for (pool, volumes) in &mut self.pools {
            for volume in volumes {
                hold::release(&self.gate, pool, volume, &self.domain)?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Fences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fences").field("domain", &self.domain).finish_non_exhaustive()
    }
}
