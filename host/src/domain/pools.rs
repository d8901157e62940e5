//! The pools that one command works on: one sandbox for each, however many volumes lie there.

use std::collections::BTreeMap;

use crate::error::{Failure, Result};
use crate::gate::Gate;
use crate::storage::Pool;
use crate::types::PoolName;

#[derive(Default)]
pub(super) struct Pools(BTreeMap<PoolName, Pool>);

impl Pools {
    pub(super) fn of(&mut self, gate: &Gate, name: &PoolName) -> Result<&mut Pool> {
        if !self.0.contains_key(name) {
            self.0.insert(name.clone(), Pool::open(gate, name)?);
        }
        self.0.get_mut(name).ok_or_else(|| Failure::other(format!("the pool {name} was opened and is not there")))
    }
}
