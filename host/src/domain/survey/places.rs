//! Pools that may have, or get, volumes of a domain that moves: each is opened once, and not waited for long.

use std::collections::BTreeMap;

use crate::error::{Failure, Kind, Result};
use crate::gate::Gate;
use crate::sandbox::protocol::VolumeFacts;
use crate::storage::{Pool, PoolInfo};
use crate::types::{PoolName, VolumeRef};

#[derive(Default)]
pub(super) struct Places(BTreeMap<PoolName, Place>);

struct Place {
    pool: Result<Pool>,
    info: Option<PoolInfo>,
}

/// What a pool has under a volume's name.
pub(super) enum Found {
    /// There is no such pool.
    NoPool,
    /// Its storage does not answer, or nothing serves it.
    Away,
    /// The pool, and the volume where there is one.
    Pool(PoolInfo, Option<VolumeFacts>),
}

impl Places {
    /// A pool that answered before.
    pub(super) fn pool(&mut self, name: &PoolName) -> Option<&mut Pool> {
        self.0.get_mut(name).filter(|place| place.info.is_some())?.pool.as_mut().ok()
    }

    pub(super) fn find(&mut self, gate: &Gate, volume: &VolumeRef) -> Found {
        let place = self.0.entry(volume.pool.clone()).or_insert_with(|| {
            let mut pool = Pool::look(gate, &volume.pool);
            let info = pool.as_mut().ok().and_then(|pool| told(pool.info()));
            Place { pool, info }
        });
        match (&mut place.pool, &place.info) {
            (Err(Failure { kind: Kind::NotFound, .. }), _) => Found::NoPool,
            (Err(_), _) | (Ok(_), None) => Found::Away,
            (Ok(pool), Some(info)) => match pool.volume(&volume.volume) {
                Ok(facts) => Found::Pool(info.clone(), Some(facts)),
                Err(failure) if failure.kind == Kind::NotFound => Found::Pool(info.clone(), None),
                Err(failure) => {
                    tracing::info!(%volume, %failure, "a pool was asked for a volume");
                    Found::Away
                }
            },
        }
    }
}

fn told<T>(answer: Result<T>) -> Option<T> {
    answer.map_err(|failure| tracing::info!(%failure, "a pool was asked")).ok()
}
