//! The one set of engine settings, for compiling and for running alike: what was compiled with others does not load.
//! A change that compiled code depends on raises `protocol::ENGINE_SETTINGS`.

use wasmtime::{Config, Engine, InstanceAllocationStrategy, Strategy};

/// Stack of the plugin's own code, in bytes: what `wasm32-wasip2` gives its shadow stack is 1 MiB; half of it is
/// deep enough for plain code and ends a runaway recursion early.
const WASM_STACK: usize = 512 << 10;
/// Stack of the fiber that carries a call, in bytes: the host's own functions run on what the plugin's code leaves.
const FIBER_STACK: usize = 1 << 20;
/// Address space taken for a linear memory at first, in bytes. Small, so that a sandbox stays small; memories move
/// as they grow and accesses are checked in code (docs/decisions/0003-engine-allocation.md).
const MEMORY_RESERVATION: u64 = 0;
/// Room after a memory that moved, in bytes: a plugin that grows page by page is not copied each time.
const MEMORY_RESERVATION_FOR_GROWTH: u64 = 1 << 20;

/// # Errors
/// Where this processor or system is not one that the engine can compile for.
pub(super) fn engine() -> wasmtime::Result<Engine> {
    Engine::new(settings().allocation_strategy(InstanceAllocationStrategy::OnDemand))
}

/// All settings but how instances get their memory, which compiled code does not depend on.
pub fn settings() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .wasm_component_model(true)
        // A served volume has many calls at a time in one instance.
        .concurrency_support(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK)
        .memory_reservation(MEMORY_RESERVATION)
        .memory_reservation_for_growth(MEMORY_RESERVATION_FOR_GROWTH)
        .memory_guard_size(0)
        .guard_before_linear_memory(false)
        .memory_may_move(true)
        .memory_init_cow(true)
        // What no toolchain needs for a plain plugin stays out: less to attack, and instances stay small.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .shared_memory(false)
        .generate_address_map(false);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_wide_memories_and_collected_heaps_do_not_compile() {
        let engine = engine().unwrap();
        for text in [
            "(component (core module (memory 1 1 shared)))",
            "(component (core module (memory i64 1)))",
            "(component (core module (type (struct))))",
            "(component (core module (tag)))",
            "(component (core module (memory 1) (memory 1)))",
        ] {
            let bytes = wat::parse_str(text).unwrap();
            assert!(engine.precompile_component(&bytes).is_err(), "{text} was taken");
        }
        let plain = wat::parse_str("(component (core module (memory 1)))").unwrap();
        assert!(engine.precompile_component(&plain).is_ok());
    }
}
