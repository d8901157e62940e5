//! The time between two starts of a guest that is started again: whoever asks the domain to stop is heard.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::control::{self, Answer, Asked, CLIENTS_MAX, Request, Response};
use crate::domain::State;
use crate::error::{Context, Failure, Result};

/// How long the answer to a stop may take to be read.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// Whether the start that was waited for is still wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Yes,
    No,
}

/// Waits in the domain's folder for `time`, or until somebody wants the domain off: then `off` is called, and the
/// asker hears of its outcome.
pub fn pause(folder: &Path, time: Duration, off: impl FnOnce() -> Result<()>) -> Result<Wanted> {
    let saying = || "cannot wait to start again".to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context(saying)?;
    runtime.block_on(async {
        let listener = control::listen(folder, "control.sock")?;
        let until = Instant::now() + time;
        let (ask, mut asked) = mpsc::channel::<Asked>(CLIENTS_MAX);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(Wanted::Yes),
                client = listener.accept() => {
                    if let Ok((stream, _)) = client {
                        tokio::spawn(control::serve(stream, ask.clone()));
                    }
                }
                Some(Asked { request, asker }) = asked.recv() => match request {
                    Request::Status => asker.respond(Response::Ok { state: State::Starting, answer: Answer::Done }),
                    Request::Console
                    | Request::Pause
                    | Request::Resume
                    | Request::Reset
                    | Request::Reboot { .. }
                    | Request::Save { .. }
                    | Request::Change { .. }
                    | Request::Memory
                    | Request::Copy { .. }
                    | Request::Move { .. }
                    | Request::Copied
                    | Request::Machine
                    | Request::SnapshotCreate { .. }
                    | Request::SnapshotDelete { .. }
                    | Request::Migrate { .. }
                    | Request::Migrated
                    | Request::MigrateCancel
                    | Request::Handover { .. }
                    | Request::Recover { .. }
                    | Request::Resize { .. }
                    | Request::Screenshot => asker.respond(Response::Failed(
                        Failure::conflict("the domain is about to start again").hint("try again in a moment"),
                    )),
                    Request::Stop | Request::Shutdown { .. } => {
                        let done = off();
                        asker.answer(done.clone().map(|()| State::Off));
                        // Every client that is being served holds a sender; the last one gone, all answers are written.
                        drop(ask);
                        let _ = tokio::time::timeout(ANSWERED_WITHIN, async { while asked.recv().await.is_some() {} }).await;
                        return done.map(|()| Wanted::No);
                    }
                },
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};

    use super::*;
    use crate::sys::socket;

    #[test]
    fn a_pause_ends_by_itself_and_a_stop_ends_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(pause(folder.path(), Duration::from_millis(5), || Ok(())).unwrap(), Wanted::Yes);
        std::fs::remove_file(folder.path().join("control.sock")).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| pause(folder.path(), Duration::from_secs(600), || Ok(())).unwrap());
            let until = std::time::Instant::now() + Duration::from_secs(5);
            let mut stream = loop {
                match socket::connect_in(folder.path(), "control.sock") {
                    Ok(stream) => break stream,
                    Err(error) => assert!(std::time::Instant::now() < until, "{error}"),
                }
            };
            stream.write_all(b"{\"request\":\"stop\"}\n").unwrap();
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            assert_eq!(answer.trim(), r#"{"ok":{"state":"off"}}"#);
            assert_eq!(waiting.join().unwrap(), Wanted::No);
        });
    }
}
