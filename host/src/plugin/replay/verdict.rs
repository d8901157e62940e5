//! What became of a call that was run again, beside what became of it then. Pure.

use super::{Run, shape};
use crate::plugin::recording::format::{Answer, Asked, End, Recorded};
use crate::plugin::text::printable;
use crate::sandbox::protocol::{Call, CallError, StorageCall};

/// Longest piece of JSON that a sentence shows, in bytes.
const SHOWN_MAX: usize = 300;

/// One call, then and now.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// From 1.
    pub number: usize,
    /// The function's name in the WIT package, and what it was about.
    pub function: String,
    pub about: String,
    /// None: it was left out.
    pub then: Option<End>,
    /// None: it went where the recording has no answer.
    pub now: Option<End>,
    pub verdict: Verdict,
    /// What may explain it, and is no difference by itself.
    pub notes: Vec<String>,
    pub said_then: Vec<String>,
    pub said_now: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Same,
    /// It was the plugin's fault then, and is not now.
    Cured,
    /// In what.
    Differs(String),
    /// Why it was not recorded.
    LeftOut(String),
}

impl Replayed {
    pub(super) fn left_out(number: usize, function: &str, why: &str) -> Replayed {
        Replayed {
            number,
            function: printable(function),
            about: String::new(),
            then: None,
            now: None,
            verdict: Verdict::LeftOut(printable(why)),
            notes: Vec::new(),
            said_then: Vec::new(),
            said_now: Vec::new(),
        }
    }
}

impl Run<'_> {
    /// `cut`: the directories were larger than the recording keeps.
    pub(super) fn ended(mut self, number: usize, recorded: &Recorded, now: Option<End>, cut: bool) -> Replayed {
        if cut {
            self.notes.push("a directory had more in it than the recording keeps".to_owned());
        }
        let verdict = self.verdict(recorded, now.as_ref());
        for (at, sent) in &self.sent {
            if let Some(differs) = sent.differs_at {
                let stream = named(&self.asked[*at]);
                self.notes.push(format!(
                    "over {stream} it sent other bytes from byte {differs} on; random numbers and what is made of secrets differ"
                ));
            }
        }
        Replayed {
            number,
            function: shape::name(&recorded.call).to_owned(),
            about: about(&recorded.call),
            then: Some(recorded.end.clone()),
            now,
            verdict,
            notes: self.notes,
            said_then: recorded.said.iter().map(|line| printable(line)).collect(),
            said_now: self.said,
        }
    }

    fn verdict(&mut self, recorded: &Recorded, now: Option<&End>) -> Verdict {
        let faulty = at_fault(&recorded.end);
        let Some(now) = now else {
            let asked = self.unknown.as_ref().map(json).unwrap_or_default();
            if faulty {
                self.notes.push(format!("it went on to ask {asked}, which the recording has no answer to"));
                return Verdict::Cured;
            }
            let next = self.used.iter().position(|used| !used).map(|at| json(&self.asked[at].ask));
            let then = next.map_or_else(|| "nothing more then".to_owned(), |next| format!("{next} then"));
            return Verdict::Differs(format!("it asked {asked}, and {then}"));
        };
        if faulty && !at_fault(now) {
            return Verdict::Cured;
        }
        if *now != recorded.end {
            return Verdict::Differs(format!("it {}, and then it {}", words(now), words(&recorded.end)));
        }
        if let Some(at) = self.used.iter().position(|used| !used) {
            return Verdict::Differs(format!("it did not ask {}, as it did then", json(&self.asked[at].ask)));
        }
        let other = self.sent.iter().find(|(_, sent)| sent.now != sent.then);
        other.map_or(Verdict::Same, |(at, sent)| {
            let (stream, now, then) = (named(&self.asked[*at]), sent.now, sent.then);
            Verdict::Differs(format!("it sent {now} bytes over {stream}, and {then} then"))
        })
    }
}

fn at_fault(end: &End) -> bool {
    match end {
        End::Failed(CallError::Trapped(_) | CallError::Limit(_)) | End::Lost(_) => true,
        End::Answered(_) | End::Failed(CallError::Plugin(_) | CallError::Missing(_)) => false,
    }
}

/// How a call ended, as what follows `it`.
pub fn words(end: &End) -> String {
    match end {
        End::Answered(given) => format!("answered {}", json(given)),
        End::Failed(CallError::Plugin(error)) => {
            format!("failed with {}: {}", json(&error.code).trim_matches('"'), printable(&error.message))
        }
        End::Failed(CallError::Trapped(why)) => format!("trapped: {}", printable(why)),
        End::Failed(CallError::Limit(limit)) => format!("went past its limit of {}", json(limit).trim_matches('"')),
        End::Failed(CallError::Missing(ability)) => format!("had no {}", json(ability).trim_matches('"')),
        End::Lost(_) => "lost its sandbox".to_owned(),
    }
}

fn named(asked: &Asked) -> String {
    match &asked.answer {
        Answer::Stream(_) => format!("the connection of {}", json(&asked.ask)),
        Answer::Reply(_) | Answer::Refused(_) | Answer::Secret(_) => json(&asked.ask),
    }
}

/// In one line, free of control characters, cut where it is long.
fn json<T: serde::Serialize>(value: &T) -> String {
    let mut text = printable(&serde_json::to_string(value).unwrap_or_default());
    if text.len() > SHOWN_MAX {
        text.truncate(text.floor_char_boundary(SHOWN_MAX));
        text.push('…');
    }
    text
}

/// The volume, and what else names the call.
fn about(call: &Call) -> String {
    let Call::Storage { function, .. } = call else { return String::new() };
    let text = match function {
        StorageCall::Info | StorageCall::All => String::new(),
        StorageCall::Find { name }
        | StorageCall::Create { name, .. }
        | StorageCall::Delete { name }
        | StorageCall::Resize { name, .. }
        | StorageCall::Attach { name, .. }
        | StorageCall::Detach { name }
        | StorageCall::Snapshots { volume: name }
        | StorageCall::Notes { volume: name }
        | StorageCall::NoteLeave { volume: name, .. }
        | StorageCall::NoteRemove { volume: name, .. }
        | StorageCall::FenceShow { volume: name }
        | StorageCall::FenceTake { volume: name, .. }
        | StorageCall::FenceRelease { volume: name, .. } => name.clone(),
        StorageCall::SnapshotCreate { volume, name }
        | StorageCall::SnapshotDelete { volume, name }
        | StorageCall::SnapshotRevert { volume, name } => format!("{volume} {name}"),
        StorageCall::Clone { source, target, .. } => format!("{source} {target}"),
        StorageCall::Rename { name, to } => format!("{name} {to}"),
    };
    printable(&text)
}
