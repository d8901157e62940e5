//! Long work: a moving bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::Format;
use crate::gate::Meter;
use crate::types::{ByteSize, PeerName, PoolName};

/// Between two lines where there is no terminal: often enough to show life, seldom enough for a log.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Between two lines that a program reads, which draws a bar of its own.
const PROGRAM_EVERY: Duration = Duration::from_secs(1);
/// Between two pictures of the bar.
const TICK: Duration = Duration::from_millis(100);

/// Shown on stderr until it is dropped.
pub struct Progress {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// More than bytes, of work that has phases.
#[derive(Debug, Clone, Default)]
pub struct Detail {
    /// For people, in one line.
    pub words: String,
    /// An object for programs, whose fields come beside those of all work.
    pub known: Value,
}

/// The newest that is known, by whoever looks at the work.
#[derive(Debug, Clone, Default)]
pub struct Details(Arc<Mutex<Option<Detail>>>);

impl Details {
    pub fn tell(&self, detail: Detail) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(detail);
    }

    fn read(&self) -> Option<Detail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How it is shown.
enum Show {
    Bar(ProgressBar),
    Lines,
    Json,
}

impl Progress {
    /// `what` says what is being done, in one line ("cloning default/a to default/b"). Nothing is printed for work
    /// that is over at once.
    pub fn start(what: impl Into<String>) -> Progress {
        Progress::shown(what.into(), None, Details::default(), Format::Table)
    }

    /// The same, while storage is asked that may not answer.
    pub fn asking(pool: &PoolName, format: Format) -> Progress {
        let what = format!("waiting for the storage of pool {pool}, for a few seconds at most");
        Progress::shown(what, None, Details::default(), format)
    }

    /// The same, while a peer is asked that may not answer.
    pub fn asking_peer(peer: &PeerName, format: Format) -> Progress {
        Progress::shown(format!("waiting for the peer {peer}, for a few seconds"), None, Details::default(), format)
    }

    /// The same for work that tells a meter how far it is. Where JSON was asked for, its lines are JSON too.
    pub fn metered(what: impl Into<String>, meter: &Meter, format: Format) -> Progress {
        Progress::shown(what.into(), Some(meter.clone()), Details::default(), format)
    }

    /// The same for work that has more to tell.
    pub fn detailed(what: impl Into<String>, meter: &Meter, details: &Details, format: Format) -> Progress {
        Progress::shown(what.into(), Some(meter.clone()), details.clone(), format)
    }

    fn shown(what: String, meter: Option<Meter>, details: Details, format: Format) -> Progress {
        let what = super::text::printable(&what).into_owned();
        let (show, every) = match format {
            Format::Json => (Show::Json, PROGRAM_EVERY),
            Format::Table | Format::Wide | Format::Name | Format::Yaml if std::io::stderr().is_terminal() => {
                (Show::Bar(bar(&what)), TICK)
            }
            Format::Table | Format::Wide | Format::Name | Format::Yaml => (Show::Lines, LINE_EVERY),
        };
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let done = meter.as_ref().and_then(Meter::read);
                let detail = details.read();
                match &show {
                    Show::Bar(bar) => draw(bar, &what, done, detail),
                    Show::Lines => print(&line(&what, begun.elapsed(), done, detail)),
                    Show::Json => print(&json_line(&what, begun.elapsed(), done, detail)),
                }
            }
            if let Show::Bar(bar) = show {
                bar.finish_and_clear();
            }
        });
        Progress { stop, thread: Some(thread) }
    }
}

fn bar(what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar.tick();
    bar
}

/// Of a plugin's as well: escaped.
fn with(what: &str, detail: Option<&Detail>) -> String {
    match detail {
        Some(detail) => format!("{what}: {}", super::text::printable(&detail.words)),
        None => what.to_owned(),
    }
}

fn draw(bar: &ProgressBar, what: &str, done: Option<(u64, u64)>, detail: Option<Detail>) {
    if detail.is_some() {
        bar.set_message(with(what, detail.as_ref()));
    }
    if let Some((done, total)) = done {
        if bar.length() != Some(total)
            && let Ok(style) = ProgressStyle::with_template(
                "{spinner} {msg} [{bar:20}] {binary_bytes} of {binary_total_bytes} {elapsed}, {eta} to go",
            )
        {
            bar.set_style(style.progress_chars("=> "));
            bar.set_length(total);
        }
        bar.set_position(done);
    }
    bar.tick();
}

fn print(line: &str) {
    // Where stderr is closed, the work goes on unseen.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

fn line(what: &str, elapsed: Duration, done: Option<(u64, u64)>, detail: Option<Detail>) -> String {
    let what = with(what, detail.as_ref());
    let seconds = elapsed.as_secs();
    match done {
        None => format!("{what} … {seconds}s\n"),
        Some((done, total)) => {
            let percent = u128::from(done) * 100 / u128::from(total.max(1));
            let total = ByteSize::from_bytes(total).human();
            format!("{what} … {percent}% of {total}, {seconds}s\n")
        }
    }
}

fn json_line(what: &str, elapsed: Duration, done: Option<(u64, u64)>, detail: Option<Detail>) -> String {
    let (done, total) = done.unzip();
    let mut progress = json!({ "what": what, "seconds": elapsed.as_secs(), "done": done, "total": total });
    if let (Some(all), Some(Value::Object(more))) = (progress.as_object_mut(), detail.map(|detail| detail.known)) {
        all.extend(more);
    }
    format!("{}\n", json!({ "progress": progress }))
}

impl Drop for Progress {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
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
    }

    #[test]
    fn a_line_says_how_far_it_is_where_that_is_known() {
        let seven = Duration::from_millis(7200);
        assert_eq!(line("cloning a", seven, None, None), "cloning a … 7s\n");
        assert_eq!(line("copying a", seven, Some((1 << 30, 3 << 30)), None), "copying a … 33% of 3GiB, 7s\n");
        assert_eq!(line("copying a", seven, Some((0, 0)), None), "copying a … 0% of 0B, 7s\n");
        let detail = || Some(Detail { words: "memory\n".into(), known: json!({ "phase": "memory" }) });
        assert_eq!(line("moving a", seven, None, detail()), "moving a: memory\\n … 7s\n");
        let read: Value = serde_json::from_str(&json_line("a", seven, Some((1, 2)), detail())).unwrap();
        assert_eq!((&read["progress"]["total"], &read["progress"]["phase"]), (&json!(2), &json!("memory")));
    }
}
