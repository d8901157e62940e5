//! What one call may spend: counted here, ended here. Each past-limit is a trap, after which the store is dropped.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

use super::protocol::Limit;
use crate::config::policy::Limits;

/// Core instances of one component: an SDK plugin has about five (its module, adapters, shims).
const INSTANCES: usize = 64;
/// Tables of one component, as for instances; their elements are summed besides.
const TABLES: usize = 16;
/// Linear memories of one component; their bytes are summed besides.
const MEMORIES: usize = 8;

/// The trap that a spent limit is.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a limit of the call is spent: {0:?}")]
pub(super) struct Spent(pub(super) Limit);

/// Memory and table elements of one store, summed.
#[derive(Debug)]
pub(super) struct Budget {
    memory: Sum,
    elements: Sum,
}

#[derive(Debug)]
struct Sum {
    used: usize,
    most: usize,
    /// The last growth that was let through: the engine may still fail to carry it out.
    last: usize,
    limit: Limit,
}

impl Sum {
    fn new(most: usize, limit: Limit) -> Self {
        Sum { used: 0, most, last: 0, limit }
    }
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.last = 0;
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The plugin's own declaration forbids it: `grow` gives -1, as the language has it.
            return Ok(false);
        }
        let more = desired.saturating_sub(current);
        match self.used.checked_add(more) {
            Some(sum) if sum <= self.most => {
                self.used = sum;
                self.last = more;
                Ok(true)
            }
            _ => Err(Spent(self.limit).into()),
        }
    }
    fn take_back(&mut self) {
        self.used -= std::mem::take(&mut self.last);
    }
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Budget {
            memory: Sum::new(limits.memory.bytes().try_into().unwrap_or(usize::MAX), Limit::Memory),
            elements: Sum::new(limits.table_elements as usize, Limit::Tables),
        }
    }

    /// Counts bytes that are kept for the plugin as its own memory.
    ///
    /// # Errors
    /// A trap where it has no more.
    pub(super) fn hold(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.memory.grow(0, bytes, None).map(drop)
    }

    pub(super) fn release(&mut self, bytes: usize) {
        self.memory.used = self.memory.used.saturating_sub(bytes);
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.memory.grow(current, desired, maximum)
    }
    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.take_back();
        Ok(())
    }
    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.elements.grow(current, desired, maximum)
    }
    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.elements.take_back();
        Ok(())
    }
    fn instances(&self) -> usize {
        INSTANCES
    }
    fn tables(&self) -> usize {
        TABLES
    }
    fn memories(&self) -> usize {
        MEMORIES
    }
}

/// Processor time that this thread has spent (CLOCK_THREAD_CPUTIME_ID, clock_gettime(2)).
pub(super) fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec.try_into().unwrap_or(0), spent.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ByteSize;

    fn budget() -> Budget {
        Budget::new(&Limits { memory: ByteSize::from_bytes(100), table_elements: 10, ..Limits::default() })
    }

    #[test]
    fn memories_are_summed() {
        let mut budget = budget();
        assert!(budget.memory_growing(0, 60, None).unwrap());
        assert!(budget.memory_growing(0, 40, None).unwrap());
        let error = budget.memory_growing(40, 41, None).unwrap_err();
        assert_eq!(error.downcast_ref::<Spent>().unwrap().0, Limit::Memory);
    }

    #[test]
    fn what_is_kept_for_a_plugin_counts_as_its_memory_until_it_is_given_back() {
        let mut budget = budget();
        assert!(budget.memory_growing(0, 60, None).unwrap());
        budget.hold(40).unwrap();
        assert_eq!(budget.hold(1).unwrap_err().downcast_ref::<Spent>().unwrap().0, Limit::Memory);
        budget.release(40);
        assert!(budget.memory_growing(60, 100, None).unwrap());
    }

    #[test]
    fn a_growth_that_the_engine_could_not_carry_out_is_given_back() {
        let mut budget = budget();
        assert!(budget.memory_growing(0, 100, None).unwrap());
        budget.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(budget.memory_growing(0, 100, None).unwrap());
        budget.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        budget.memory_grow_failed(wasmtime::Error::msg("told twice")).unwrap();
        assert!(budget.memory_growing(0, 100, None).unwrap());
    }

    #[test]
    fn growth_past_the_plugins_own_maximum_is_not_a_trap() {
        assert!(!budget().table_growing(0, 8, Some(7)).unwrap());
        assert!(budget().table_growing(0, 11, None).is_err());
    }
}
