//! Which way of giving instances their memory suits a sandbox: one call at a time, each on a fresh instance.
//! Prints the table of docs/decisions/0003-engine-allocation.md. One process measures one way, because memory that
//! was touched once stays resident.

// Its figures are its output.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::{Duration, Instant};

use fief::sandbox::settings;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

/// As large as what an SDK plugin has: 17 pages of memory of which some are initialised, and a call that touches some.
const PLUGIN: &str = r#"(component
    (core module $m
        (memory (export "memory") 17)
        (data (i32.const 1048576) "initialised")
        (table 40 funcref)
        (func (export "call") (local $at i32)
            (loop $next
                (i32.store (local.get $at) (i32.const 1))
                (local.set $at (i32.add (local.get $at) (i32.const 4096)))
                (br_if $next (i32.lt_u (local.get $at) (i32.const 65536))))))
    (core instance $i (instantiate $m))
    (func (export "call") (canon lift (core func $i "call"))))"#;
const CALLS: u32 = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("on-demand") => measure("on-demand", InstanceAllocationStrategy::OnDemand),
        Some("pooling") => {
            let mut pool = PoolingAllocationConfig::new();
            pool.total_component_instances(1).total_core_instances(64).total_memories(8).total_tables(16);
            pool.total_stacks(1).max_memory_size(64 << 20).table_elements(100_000);
            measure("pooling", InstanceAllocationStrategy::Pooling(pool))
        }
        _ => {
            println!("| way | engine and component | first call | later call | resident |");
            println!("| --- | --: | --: | --: | --: |");
            for way in ["on-demand", "pooling"] {
                std::process::Command::new(std::env::current_exe()?).arg(way).status()?;
            }
            Ok(())
        }
    }
}

fn measure(name: &str, strategy: InstanceAllocationStrategy) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut config = settings();
    // Both compile the same: the pool wants to know how much address space a memory may have.
    if name == "pooling" {
        config.memory_reservation(64 << 20);
    }
    config.allocation_strategy(strategy);
    let compiled = Engine::new(&config)?.precompile_component(&wat::parse_str(PLUGIN)?)?;
    let file = std::env::temp_dir().join(format!("fief-allocation-{}", std::process::id()));
    std::fs::write(&file, compiled)?;

    let begun = Instant::now();
    let engine = Engine::new(&config)?;
    let component = load(&engine, &file)?;
    let pre = Linker::new(&engine).instantiate_pre(&component)?;
    let ready = begun.elapsed();
    std::fs::remove_file(&file)?;

    let call = || -> Result<Duration, Box<dyn Error>> {
        let begun = Instant::now();
        runtime.block_on(async {
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(1_000);
            let instance = pre.instantiate_async(&mut store).await?;
            let function = instance.get_typed_func::<(), ()>(&mut store, "call")?;
            function.call_async(&mut store, ()).await
        })?;
        Ok(begun.elapsed())
    };
    let first = call()?;
    let begun = Instant::now();
    for _ in 0..CALLS {
        call()?;
    }
    let later = begun.elapsed() / CALLS;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default().trim();
    println!("| {name} | {ready:.1?} | {first:.1?} | {later:.1?} | {resident} |");
    Ok(())
}

fn load(engine: &Engine, path: &std::path::Path) -> Result<Component, Box<dyn Error>> {
    use std::os::fd::AsFd;
    let file = std::fs::File::open(path)?;
    Ok(fief::sys::component::load(engine, file.as_fd())?)
}
