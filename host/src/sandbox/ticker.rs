//! The second thread of a sandbox: while a call runs, it advances the engine's epoch, which makes the plugin's code
//! look at its clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::Engine;

/// Between two looks at the clocks in a call: the most by which it overspends its processor time.
pub(super) const IN_A_CALL: Duration = Duration::from_millis(10);
/// Between two looks where a volume is served, which may do nothing for days.
pub(super) const WHILE_SERVING: Duration = Duration::from_secs(1);
/// All that the thread does is sleep and add one.
const STACK: usize = 64 << 10;

pub(super) struct Ticker {
    running: Arc<AtomicBool>,
    thread: std::thread::Thread,
}

impl Ticker {
    pub(super) fn start(engine: &Engine, every: Duration) -> std::io::Result<Self> {
        let running = Arc::new(AtomicBool::new(false));
        let (engine, flag) = (engine.clone(), running.clone());
        let (begun, begins) = std::sync::mpsc::sync_channel(1);
        let ticking = std::thread::Builder::new().name("ticker".into()).stack_size(STACK).spawn(move || {
            // Fails only where nobody waits any more.
            let _ = begun.send(());
            loop {
                while !flag.load(Ordering::Acquire) {
                    std::thread::park();
                }
                std::thread::sleep(every);
                engine.increment_epoch();
            }
        })?;
        // What a thread does to come to life is not among the system calls that are allowed later.
        begins.recv().map_err(|_| std::io::Error::other("the thread ended at once"))?;
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
