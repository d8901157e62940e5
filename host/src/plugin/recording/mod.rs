//! Recordings: each call of a pool's plugin with all that the host told it, for whoever has to see a fault without the storage
//! ([`replay`](super::replay)).
//!
//! ```text
//!   fief plugin record POOL ─▸ ROOT/pools/POOL/recording.jsonl    while it is there, calls are recorded
//!     Session::call ─▸ Recorder ─▸ asks and answers │ streams: tape.rs │ directories: tree.rs
//!                                    └▸ scrub.rs ─▸ a line            full: recording-full.jsonl, and no more comes
//!   fief plugin record POOL --stop --into FILE ─▸ FILE (format.rs)
//! ```
//! A call goes on as it would, whatever becomes of its record. What cannot be kept without a secret in it is left out.

pub mod format;
mod scrub;
mod spool;
mod tape;
mod tree;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use format::{Answer, Asked, Bytes, Directory, End, LeftOut, Line, Piece, Recorded, Tape};
use scrub::Scrub;
pub use spool::{Begun, State, Summary, begin, discard, list, stop};
use tape::Keeping;
use tree::Tree;

use crate::config::policy::Limits;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{Actor, Gate, Ledger, Mode, Operation, secret};
use crate::plugin::relay::{Over, Relay};
use crate::plugin::text::printable;
use crate::plugin::{Effective, Installed, Subject, loading, shape};
use crate::sandbox::protocol::{Ask, Call, CallError, PluginError, Reply, Return};
use crate::types::{GrantName, PluginId, PoolName};

/// Lines of a plugin's log that are kept of one call, and bytes of one.
const SAID_MAX: usize = 200;
const SAID_LENGTH: usize = 4 << 10;

/// Records one call.
pub(super) struct Recorder {
    gate: Gate,
    pool: PoolName,
    function: &'static str,
    begun: Instant,
    scrub: Scrub,
    kept: Arc<AtomicUsize>,
    streams: Vec<(usize, Relay<Keeping>)>,
    /// Why it is left out, once it is.
    draft: Result<Recorded, String>,
}

impl Recorder {
    /// None where the call is not recorded.
    pub(super) fn of(
        gate: &Gate,
        subject: &Subject,
        installed: &Installed,
        (effective, limits, silence_ms): (&Effective, &Limits, u32),
        call: &Call,
    ) -> Option<Recorder> {
        let Subject::Pool(pool) = subject else { return None };
        if gate.mode() == Mode::DryRun || !spool::is_on(gate.layout(), pool) {
            return None;
        }
        let mut recorder = Recorder {
            gate: gate.clone(),
            pool: pool.clone(),
            function: shape::name(call),
            begun: Instant::now(),
            scrub: Scrub::default(),
            kept: Arc::default(),
            streams: Vec::new(),
            draft: Err(String::new()),
        };
        let begun = recorder.begin(installed, (effective, limits, silence_ms), call);
        recorder.draft = begun.map_err(|failure| failure.to_string());
        Some(recorder)
    }

    fn begin(
        &mut self,
        installed: &Installed,
        (effective, limits, silence_ms): (&Effective, &Limits, u32),
        call: &Call,
    ) -> Result<Recorded> {
        let header = spool::header(self.gate.layout(), &self.pool)?;
        if (&header.plugin, header.digest) != (&installed.manifest.id, installed.digest) {
            return Err(Failure::other(format!(
                "{} made it, and what is recorded is {}",
                installed.digest, header.digest
            )));
        }
        for name in granted(&self.gate, &installed.manifest.id) {
            self.hide(&installed.manifest.id, &name)?;
        }
        let heads = header.heads.bytes().try_into().unwrap_or(usize::MAX);
        let mut directories = Vec::new();
        for (preopen, descriptor) in loading::open_directories(&self.gate, &installed.manifest.id, effective)? {
            let tree =
                Tree::look(&descriptor, heads).context(|| format!("cannot list the directory {}", preopen.name))?;
            directories.push(Directory { preopen, tree: Some(tree) });
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(Recorded {
            call: call.clone(),
            at: at.try_into().unwrap_or(u64::MAX),
            milliseconds: 0,
            interfaces: effective.interfaces.clone(),
            limits: limits.clone(),
            silence_ms,
            directories,
            asked: Vec::new(),
            said: Vec::new(),
            end: End::Lost(Kind::Other),
        })
    }

    /// A secret that the plugin may have had from an earlier call.
    fn hide(&mut self, plugin: &PluginId, name: &GrantName) -> Result<()> {
        let (plugin, pool) = (plugin.clone(), self.pool.clone());
        let operation = Operation::SecretReveal { plugin, pool, secret: name.clone() };
        match self.gate.perform(&Actor::Operator, &mut Ledger::volatile(), operation, Vec::new()) {
            Ok(done) => done.descriptors.first().map_or(Ok(()), |file| self.hide_bytes(name.as_str(), file)),
            // What is not kept was never handed over.
            Err(failure) if failure.kind == Kind::NotFound => Ok(()),
            Err(failure) => Err(failure.while_doing(format!("the secret {name} cannot be looked for"))),
        }
    }

    fn hide_bytes(&mut self, name: &str, file: impl AsFd) -> Result<()> {
        let secret = secret::take(file)?;
        self.scrub.hide(secret.reveal()).map_err(|scrub::TooShort| {
            let shortest = scrub::SHORTEST;
            Failure::other(format!("the secret {name} is shorter than {shortest} bytes, and cannot be looked for"))
        })
    }

    /// What the host answers; streams are led past this recorder from here on.
    pub(super) fn asked(
        &mut self,
        ask: Ask,
        answer: &std::result::Result<Reply, PluginError>,
        descriptors: &mut [OwnedFd],
    ) {
        if self.draft.is_err() {
            return;
        }
        let answer = self.answered(&ask, answer, descriptors);
        match (&mut self.draft, answer) {
            (Ok(draft), Ok(answer)) => draft.asked.push(Asked { ask, answer }),
            (draft, Err(failure)) => *draft = Err(failure.to_string()),
            (Err(_), Ok(_)) => {}
        }
    }

    fn answered(
        &mut self,
        ask: &Ask,
        answer: &std::result::Result<Reply, PluginError>,
        descriptors: &mut [OwnedFd],
    ) -> Result<Answer> {
        let saying = || "a stream cannot be recorded".to_owned();
        Ok(match (answer, descriptors.first_mut()) {
            (Err(refused), _) => Answer::Refused(refused.clone()),
            (Ok(Reply::Connection), Some(stream)) => {
                let server = stream.try_clone().context(saying)?;
                let (ours, relay) =
                    Relay::begin(server, Over::Pair, Keeping::new(self.kept.clone())).context(saying)?;
                *stream = ours;
                let number = self.draft.as_ref().map_or(0, |draft| draft.asked.len());
                self.streams.push((number, relay));
                Answer::Stream(Tape::default())
            }
            (Ok(Reply::Secret), Some(file)) => {
                let name = match ask {
                    Ask::Reveal { secret } => printable(secret),
                    _ => String::new(),
                };
                self.hide_bytes(&name, &*file)?;
                Answer::Secret(Bytes(scrub::placeholder(secret::take(&*file)?.reveal())))
            }
            (Ok(reply), _) => Answer::Reply(reply.clone()),
        })
    }

    pub(super) fn said(&mut self, message: &str, fields: &[(String, String)]) {
        let Ok(draft) = &mut self.draft else { return };
        if draft.said.len() < SAID_MAX {
            let fields: String = fields.iter().map(|(key, value)| format!(" {key}={value}")).collect();
            let mut line = format!("{message}{fields}");
            line.truncate(line.floor_char_boundary(SAID_LENGTH));
            draft.said.push(line);
        }
    }

    /// The call is over: it is written down.
    pub(super) fn end(mut self, ended: &Result<std::result::Result<Return, CallError>>) {
        for (number, relay) in std::mem::take(&mut self.streams) {
            let tape = relay.end().map(Keeping::tape).unwrap_or_default();
            if let Ok(draft) = &mut self.draft
                && let Some(asked) = draft.asked.get_mut(number)
            {
                asked.answer = Answer::Stream(tape);
            }
        }
        if let Ok(draft) = &mut self.draft {
            draft.milliseconds = self.begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
            draft.end = match ended {
                Ok(Ok(given)) => End::Answered(given.clone()),
                Ok(Err(error)) => End::Failed(error.clone()),
                Err(failure) => End::Lost(failure.kind),
            };
        }
        let written = match std::mem::replace(&mut self.draft, Err(String::new())) {
            Ok(draft) => self.clean(draft).and_then(|document| self.append(&document)),
            Err(why) => self.leave_out(&why),
        };
        let written = written.or_else(|failure| self.leave_out(&failure.to_string()));
        if let Err(failure) = written {
            tracing::warn!(pool = %self.pool, %failure, "a call is not recorded");
        }
    }

    /// The line, without a secret in it.
    fn clean(&self, mut draft: Recorded) -> Result<Vec<u8>> {
        for directory in &mut draft.directories {
            if let Some(tree) = &mut directory.tree {
                tree.scrub(&self.scrub);
            }
        }
        for asked in &mut draft.asked {
            if let Answer::Stream(tape) = &mut asked.answer {
                clean_tape(&self.scrub, tape);
            }
        }
        self.document(&Line::Call(Box::new(draft)))
    }

    fn document(&self, line: &Line) -> Result<Vec<u8>> {
        let mut value = serde_json::to_value(line).context(|| "it has no form in JSON".to_owned())?;
        self.scrub.value(&mut value);
        let document = format::document(&value)?;
        match self.scrub.is_in(&document) {
            true => Err(Failure::other("a secret would stand in it, in a form that nothing can take the place of")),
            false if document.len() + 64 > format::LINE_MAX => Err(Failure::other("it is too long to be kept")),
            false => Ok(document),
        }
    }

    fn leave_out(&self, why: &str) -> Result<()> {
        let line = Line::LeftOut(LeftOut { function: self.function.to_owned(), why: why.to_owned() });
        self.append(&self.document(&line)?)
    }

    fn append(&self, document: &[u8]) -> Result<()> {
        spool::append(self.gate.layout(), &self.pool, &format::line(document))
    }
}

/// In each direction as one: a secret may have come in two pieces.
fn clean_tape(scrub: &Scrub, tape: &mut Tape) {
    for sent in [true, false] {
        let mut pieces: Vec<&mut Vec<u8>> = tape
            .pieces
            .iter_mut()
            .filter_map(|piece| match piece {
                Piece::Sent(Bytes(bytes)) if sent => Some(bytes),
                Piece::Received(Bytes(bytes)) if !sent => Some(bytes),
                Piece::Sent(_) | Piece::Received(_) | Piece::Ended => None,
            })
            .collect();
        let mut all: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        scrub.bytes(&mut all);
        let mut at = 0;
        for piece in &mut pieces {
            let length = piece.len();
            piece.copy_from_slice(&all[at..at + length]);
            at += length;
        }
    }
}

/// The secrets that policy lets a plugin have.
fn granted(gate: &Gate, plugin: &PluginId) -> Vec<GrantName> {
    gate.policy().plugins.get(plugin).map(|grants| grants.secrets.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_came_in_two_pieces_is_found() {
        let mut scrub = Scrub::default();
        scrub.hide(b"c4n4ry-secret").unwrap();
        let sent = |bytes: &[u8]| Piece::Sent(Bytes(bytes.to_vec()));
        let mut tape = Tape {
            pieces: vec![
                sent(b"user c4n4ry"),
                Piece::Received(Bytes(b"go on".to_vec())),
                sent(b"-secret!"),
                Piece::Ended,
            ],
            cut: false,
        };
        clean_tape(&scrub, &mut tape);
        let wanted = [sent(b"user 000000"), Piece::Received(Bytes(b"go on".to_vec())), sent(b"0000000!"), Piece::Ended];
        assert_eq!(tape.pieces, wanted);
    }
}
