//! Long work: a moving bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines where there is no terminal: often enough to show life, seldom enough for a log.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Between two pictures of the bar.
const TICK: Duration = Duration::from_millis(100);

/// Shown on stderr until it is dropped.
pub struct Progress {
    kind: Kind,
}

enum Kind {
    Bar(ProgressBar),
    Lines { stop: Sender<()>, thread: Option<JoinHandle<()>> },
}

impl Progress {
    /// `what` says what is being done, in one line ("cloning default/a to default/b"). Nothing is printed for work
    /// that is over at once.
    pub fn start(what: impl Into<String>) -> Progress {
        let what = super::text::printable(&what.into()).into_owned();
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.set_message(what);
            bar.enable_steady_tick(TICK);
            return Progress { kind: Kind::Bar(bar) };
        }
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            while stopped.recv_timeout(LINE_EVERY) == Err(RecvTimeoutError::Timeout) {
                // Where stderr is closed, the work goes on unseen.
                let _ = std::io::Write::write_all(&mut std::io::stderr(), line(&what, begun.elapsed()).as_bytes());
            }
        });
        Progress { kind: Kind::Lines { stop, thread: Some(thread) } }
    }
}

fn line(what: &str, elapsed: Duration) -> String {
    format!("{what} … {}s\n", elapsed.as_secs())
}

impl Drop for Progress {
    fn drop(&mut self) {
        match &mut self.kind {
            Kind::Bar(bar) => bar.finish_and_clear(),
            Kind::Lines { stop, thread } => {
                let _ = stop.send(());
                if let Some(thread) = thread.take() {
                    let _ = thread.join();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_ends_at_once_is_not_held_up() {
        let begun = Instant::now();
        drop(Progress::start("cloning"));
        assert!(begun.elapsed() < LINE_EVERY);
        assert_eq!(line("cloning a", Duration::from_millis(7200)), "cloning a … 7s\n");
    }
}
