//! What a plugin says: through the log interface, or on its standard output and error. So many lines a second, so
//! many bytes a line; what is over is counted and told in one line.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::protocol::wire::Wire;
use super::protocol::{FromSandbox, LogLevel};
use super::serve::Desk;

/// Longest line, in bytes: message and fields together.
pub(super) const LINE_MAX: usize = 4 << 10;
/// Most fields of a line; the rest is dropped.
const FIELDS_MAX: usize = 32;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<State>>);

struct State {
    out: Out,
    lines_per_second: u32,
    /// Begin of the running second, and how many lines it has had.
    since: Instant,
    lines: u32,
    dropped: u64,
}

/// Where lines go.
enum Out {
    Wire(Arc<Wire>),
    /// Of a sandbox that serves: it waits for nobody.
    Desk(Desk),
}

impl Log {
    pub(super) fn new(wire: Arc<Wire>, lines_per_second: u32) -> Self {
        Log::to(Out::Wire(wire), lines_per_second)
    }

    pub(super) fn to_desk(desk: Desk, lines_per_second: u32) -> Self {
        Log::to(Out::Desk(desk), lines_per_second)
    }

    fn to(out: Out, lines_per_second: u32) -> Self {
        Log(Arc::new(Mutex::new(State { out, lines_per_second, since: Instant::now(), lines: 0, dropped: 0 })))
    }

    pub(super) fn write(&self, level: LogLevel, message: &str, fields: Vec<(String, String)>) {
        if let Ok(mut state) = self.0.lock() {
            state.write(level, message, fields);
        }
    }

    /// Tells how many lines were dropped since it was last told. Called at the end of a call.
    pub(super) fn settle(&self) {
        if let Ok(mut state) = self.0.lock() {
            state.settle();
        }
    }
}

impl State {
    fn write(&mut self, level: LogLevel, message: &str, mut fields: Vec<(String, String)>) {
        if self.since.elapsed() >= SECOND {
            self.settle();
            self.since = Instant::now();
            self.lines = 0;
        }
        if self.lines >= self.lines_per_second {
            self.dropped += 1;
            return;
        }
        self.lines += 1;
        let message = cut(message, LINE_MAX).to_owned();
        let mut room = LINE_MAX - message.len();
        fields.truncate(FIELDS_MAX);
        for (key, value) in &mut fields {
            for text in [key, value] {
                text.truncate(cut(text, room).len());
                room -= text.len();
            }
        }
        self.send(level, message, fields);
    }

    fn settle(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            self.send(LogLevel::Warn, format!("{dropped} lines dropped"), Vec::new());
        }
    }

    fn send(&self, level: LogLevel, message: String, fields: Vec<(String, String)>) {
        let frame = FromSandbox::Log { level, message, fields };
        match &self.out {
            // A host that is gone ends this process at its next read; a lost line changes nothing.
            Out::Wire(wire) => drop(wire.send(&frame, &[])),
            Out::Desk(desk) => desk.say(frame),
        }
    }
}

/// At most `most` bytes of `text`, not in the middle of a character.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// Standard output or standard error of a plugin: its lines become log lines.
#[derive(Clone)]
pub(super) struct Lines {
    log: Log,
    level: LogLevel,
    /// A line that has not ended yet.
    open: Arc<Mutex<Vec<u8>>>,
}

impl Lines {
    pub(super) fn new(log: Log, level: LogLevel) -> Self {
        Lines { log, level, open: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let Ok(mut open) = self.open.lock() else { return };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LINE_MAX.saturating_sub(open.len());
            open.extend_from_slice(&text[..text.len().min(room)]);
            if ended {
                self.tell(&mut open);
            }
        }
    }

    fn tell(&self, open: &mut Vec<u8>) {
        if !open.is_empty() {
            self.log.write(self.level, &String::from_utf8_lossy(open), Vec::new());
            open.clear();
        }
    }

    /// A last line without its end counts as a line.
    pub(super) fn finish(&self) {
        if let Ok(mut open) = self.open.lock() {
            self.tell(&mut open);
        }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LINE_MAX)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn said(lines_per_second: u32, act: impl FnOnce(&Log)) -> Vec<String> {
        let (here, there) = UnixStream::pair().unwrap();
        let log = Log::new(Arc::new(Wire::new(here)), lines_per_second);
        act(&log);
        log.settle();
        drop(log);
        let there = Wire::new(there);
        std::iter::from_fn(|| there.receive::<FromSandbox>().unwrap())
            .map(|frame| match frame {
                FromSandbox::Log { message, .. } => message,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn lines_past_the_rate_are_dropped_and_counted_once() {
        let lines = said(3, |log| (0..10).for_each(|n| log.write(LogLevel::Info, &n.to_string(), Vec::new())));
        assert_eq!(lines, ["0", "1", "2", "7 lines dropped"]);
    }

    #[test]
    fn a_line_of_a_megabyte_is_cut() {
        let lines = said(3, |log| log.write(LogLevel::Info, &"é".repeat(1 << 19), Vec::new()));
        assert_eq!(lines[0].len(), LINE_MAX);
    }

    #[test]
    fn standard_output_becomes_lines() {
        let lines = said(9, |log| {
            let lines = Lines::new(log.clone(), LogLevel::Info);
            lines.take(b"one\ntw");
            lines.take(b"o\n\nthree \xff");
            lines.finish();
        });
        assert_eq!(lines, ["one", "two", "three \u{fffd}"]);
    }
}
