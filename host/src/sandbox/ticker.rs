//! The second thread of a sandbox: while a call runs, it advances the engine's epoch, which makes the plugin's code
//! look at its clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::Engine;

/// Between two looks at the clocks: the most by which a call overspends its processor time.
const TICK: Duration = Duration::from_millis(10);
/// All that the thread does is sleep and add one.
const STACK: usize = 64 << 10;

pub(super) struct Ticker {
    running: Arc<AtomicBool>,
    thread: std::thread::Thread,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let running = Arc::new(AtomicBool::new(false));
        let (engine, flag) = (engine.clone(), running.clone());
        let ticking = std::thread::Builder::new().name("ticker".into()).stack_size(STACK).spawn(move || {
            loop {
                while !flag.load(Ordering::Acquire) {
                    std::thread::park();
                }
                std::thread::sleep(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Ticker { running, thread: ticking.thread().clone() })
    }

    /// Ticks until the guard is dropped.
    pub(super) fn tick(&self) -> Ticking<'_> {
        self.running.store(true, Ordering::Release);
        self.thread.unpark();
        Ticking(&self.running)
    }
}

pub(super) struct Ticking<'a>(&'a AtomicBool);

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
