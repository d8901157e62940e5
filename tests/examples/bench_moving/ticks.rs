//! When a guest spoke last on one host, and first on another: by the lengths of the files that its serial port goes to.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fief_tests::eventually;

/// A tenth of a pause at the most.
const PACE: Duration = Duration::from_micros(500);
/// For a guest to fill its memory under software emulation, or to be heard anew.
const SPEAKS: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Heard {
    last_there: Option<Instant>,
    first_here: Option<Instant>,
}

pub struct Ticks {
    heard: Arc<Mutex<Heard>>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |facts| facts.len())
}

/// Waits until it speaks.
pub fn until_heard(file: &Path) {
    let before = length(file);
    eventually("the guest speaks", SPEAKS, || (length(file) > before + 10).then_some(()));
}

impl Ticks {
    /// Of a guest that goes from the one to the other.
    pub fn listen(from: PathBuf, to: PathBuf) -> Ticks {
        let (heard, done) = (Arc::new(Mutex::new(Heard::default())), Arc::new(AtomicBool::new(false)));
        let (of_thread, until) = (heard.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            let (mut before, here) = (length(&from), length(&to));
            while !until.load(Ordering::Relaxed) {
                let (now, arrived) = (length(&from), length(&to));
                let mut heard = of_thread.lock().unwrap();
                if now > before {
                    (heard.last_there, before) = (Some(Instant::now()), now);
                }
                if arrived > here && heard.first_here.is_none() {
                    heard.first_here = Some(Instant::now());
                }
                drop(heard);
                std::thread::sleep(PACE);
            }
        });
        Ticks { heard, done, thread: Some(thread) }
    }

    /// From the last word there to the first here.
    pub fn pause(mut self) -> Duration {
        eventually("it is heard on the other host", SPEAKS, || self.heard.lock().unwrap().first_here.map(drop));
        self.done.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        let heard = self.heard.lock().unwrap();
        heard.first_here.unwrap().saturating_duration_since(heard.last_there.expect("it spoke before"))
    }
}
