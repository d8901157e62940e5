//! The verbs of a pool, each made ready on objects of its own, for cases in which something below them fails: what was told as
//! done is done, what was there is there, and the same works when it is said again.

use std::time::{Duration, Instant};

use super::kept::{self, Kept};
use crate::conformance::bench::{Bench, SIZE};
use crate::conformance::expect::{Asked, Result, Stop, fail, skip};
use crate::gate::operation::{ImageFormat, Preallocation};
use crate::plugin::trouble::{Breach, Break, How, Trouble};
use crate::sandbox::protocol::{Ability, AttachAccess, CloneStyle, Return, StorageCall};

/// A plugin that hears at once that nothing answers says so within this.
const ANSWER: Duration = Duration::from_secs(20);
/// A note that is there before another comes.
const NOTE: u64 = 76;

/// A verb, made ready.
struct Ready {
    call: StorageCall,
    /// How it is seen that a change was made: a volume, and whether it is there, with what size at least.
    shows: Option<(String, Option<u64>)>,
    /// Said again after it was done, it may be refused with this.
    again: &'static [&'static str],
    /// What has to be there where it was refused.
    kept: Kept,
}

impl Ready {
    const fn asks(call: StorageCall) -> Ready {
        Ready { call, shows: None, again: &[], kept: Kept::Nothing }
    }

    fn shows(call: StorageCall, name: &str, size: Option<u64>) -> Ready {
        Ready { call, shows: Some((name.to_owned(), size)), again: &[], kept: Kept::Nothing }
    }

    fn keeps(self, kept: Kept) -> Ready {
        Ready { kept, ..self }
    }
}

/// Its name, and what makes it ready. It may use the volume that stands; what it makes goes when the verb has been tried.
type Verb = (&'static str, fn(&mut Bench, Option<&str>) -> Result<Ready>);

const VERBS: &[Verb] = &[
    ("info", |_, _| Ok(Ready::asks(StorageCall::Info))),
    ("all", |_, _| Ok(Ready::asks(StorageCall::All))),
    ("find", |_, stands| Ok(Ready::asks(StorageCall::Find { name: there(stands)? }))),
    ("attach", |_, stands| {
        Ok(Ready::asks(StorageCall::Attach { name: there(stands)?, access: AttachAccess::ReadOnly }))
    }),
    ("detach", |_, stands| Ok(Ready::asks(StorageCall::Detach { name: there(stands)? }))),
    ("create", |bench, _| {
        let (name, format) = (bench.name(), bench.format()?);
        let call = StorageCall::Create { name: name.clone(), size: SIZE, format, preallocation: Preallocation::Sparse };
        Ok(Ready::shows(call, &name, Some(SIZE)))
    }),
    ("delete", |bench, _| {
        let name = bench.new_volume()?.name;
        let call = StorageCall::Delete { name: name.clone() };
        Ok(Ready::shows(call, &name, None).keeps(Kept::WholeOrGone(name)))
    }),
    ("resize", |bench, _| {
        let name = bench.new_volume()?.name;
        let call = StorageCall::Resize { name: name.clone(), size: 2 * SIZE };
        Ok(Ready::shows(call, &name, Some(2 * SIZE)).keeps(Kept::Whole(name)))
    }),
    ("rename", |bench, _| {
        needs(bench, Ability::Renames)?;
        let (name, to) = (bench.new_volume()?.name, bench.name());
        let generation = if bench.has(Ability::Fences) { kept::fenced(bench, &name)? } else { 0 };
        let call = StorageCall::Rename { name: name.clone(), to: to.clone() };
        Ok(Ready::shows(call, &to, Some(SIZE)).keeps(Kept::Either { name, to, generation }))
    }),
    ("clone", |bench, _| {
        needs(bench, Ability::Clones)?;
        let (source, target) = (bench.new_volume()?.name, bench.name());
        let (style, snapshot) = (CloneStyle::Full, None);
        let call = StorageCall::Clone { source: source.clone(), snapshot, target: target.clone(), style };
        let ready = Ready::shows(call, &target, Some(SIZE)).keeps(Kept::Whole(source));
        Ok(Ready { again: &["already-exists"], ..ready })
    }),
    ("snapshots.create", |bench, _| {
        needs(bench, Ability::Snapshots)?;
        // Most have them in this format alone, if they make it at all.
        let name = bench.new_volume_of(ImageFormat::Qcow2).or_else(|_| bench.new_volume())?.name;
        let call = StorageCall::SnapshotCreate { volume: name.clone(), name: "one".to_owned() };
        Ok(Ready { again: &["already-exists"], ..Ready::asks(call).keeps(Kept::Whole(name)) })
    }),
    ("snapshots.all", |bench, _| {
        needs(bench, Ability::Snapshots)?;
        Ok(Ready::asks(StorageCall::Snapshots { volume: bench.new_volume()?.name }))
    }),
    ("fences.take", |bench, stands| {
        needs(bench, Ability::Fences)?;
        let volume = there(stands)?;
        let shown = bench.ask(StorageCall::FenceShow { volume: volume.clone() }).fence()?;
        let newest = shown.holder.as_ref().map_or(0, |holder| holder.generation).max(shown.generation);
        let holder = bench.holder("test", newest + 1);
        bench.held.push((volume.clone(), holder.clone()));
        let call = StorageCall::FenceTake { volume: volume.clone(), holder, force: false };
        Ok(Ready::asks(call).keeps(Kept::Fence { volume, generation: newest }))
    }),
    ("fences.show", |bench, stands| {
        needs(bench, Ability::Fences)?;
        Ok(Ready::asks(StorageCall::FenceShow { volume: there(stands)? }))
    }),
    ("notes.leave", |bench, stands| {
        let (volume, kept) = noted(bench, stands)?;
        Ok(Ready::asks(StorageCall::NoteLeave { volume, note: NOTE + 1 }).keeps(kept))
    }),
    ("notes.read", |bench, stands| {
        needs(bench, Ability::Notes)?;
        Ok(Ready::asks(StorageCall::Notes { volume: there(stands)? }))
    }),
    ("notes.remove", |bench, stands| {
        let (volume, kept) = noted(bench, stands)?;
        Ok(Ready::asks(StorageCall::NoteRemove { volume, note: NOTE + 1 }).keeps(kept))
    }),
];

fn needs(bench: &Bench, ability: Ability) -> Result<()> {
    if bench.has(ability) { Ok(()) } else { skip("the plugin has none") }
}

/// The volume that stands, with a note beside the one that the verb is about.
fn noted(bench: &mut Bench, stands: Option<&str>) -> Result<(String, Kept)> {
    needs(bench, Ability::Notes)?;
    let volume = there(stands)?;
    let before = bench.ask(StorageCall::NoteLeave { volume: volume.clone(), note: NOTE });
    let kept = if before.said.is_ok() { Kept::Note(volume.clone(), NOTE) } else { Kept::Nothing };
    Ok((volume, kept))
}

fn there(stands: Option<&str>) -> Result<String> {
    stands.map_or_else(|| skip("there is no volume"), |name| Ok(name.to_owned()))
}

/// Each verb in turn. A volume stands all the while, whose bytes are the same at the end. Gives whether `tries` did once.
pub(super) fn each_verb(
    bench: &mut Bench,
    mut tries: impl FnMut(&mut Bench, &Attempt<'_>) -> Result<bool>,
) -> Result<bool> {
    let stands = kept::standing(bench)?;
    let before = bench.mark();
    let mut some = false;
    for (number, verb) in VERBS.iter().enumerate() {
        some |= tries(bench, &Attempt { verb, number, stands: stands.as_ref().map(kept::Standing::name) })?;
        let left = bench.sweep(before);
        if !left.is_empty() {
            return fail(format!("delete {}, after {} had failed", left.join(", "), verb.0), "success", "an error");
        }
    }
    if let Some(stands) = stands {
        stands.is_as_it_was(bench)?;
    }
    Ok(some)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// The call went by before that.
    Nothing,
    Some,
    /// The plugin has no such verb.
    NotOurs,
}

/// How much may be asked of a call that met trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// What was told as changed is changed.
    Changes,
    /// And what was told of what is there is right: one thing failed, and not all of them.
    Looks,
    /// The same; whether what was refused was done, nobody knows: the answer may have been lost.
    Unknown,
    /// It works, since nothing failed.
    All,
}

/// One verb that is tried.
pub(super) struct Attempt<'a> {
    verb: &'a Verb,
    /// Of the verb, from 0.
    pub(super) number: usize,
    stands: Option<&'a str>,
}

impl Attempt<'_> {
    /// The verb, while the host fails like that.
    pub(super) fn troubled(&self, bench: &mut Bench, trouble: &Trouble, holds: Holds) -> Result<Met> {
        self.run(
            bench,
            &words(trouble),
            holds,
            |bench| bench.fail(Some(trouble.clone())),
            |bench| {
                let came = bench.pool.was_troubled();
                bench.fail(None)?;
                Ok(came)
            },
        )
    }

    /// The verb, between `begins`, from which on something fails, and `ends`, which gives whether it did.
    pub(super) fn run(
        &self,
        bench: &mut Bench,
        failing: &str,
        holds: Holds,
        begins: impl FnOnce(&mut Bench) -> Result<()>,
        ends: impl FnOnce(&mut Bench) -> Result<bool>,
    ) -> Result<Met> {
        let (verb, ready) = self.verb;
        let ready = match ready(bench, self.stands) {
            Ok(ready) => ready,
            Err(Stop::Skip(_)) => return Ok(Met::NotOurs),
            Err(stop) => return Err(stop),
        };
        let plain = kept::looks(&ready.call).then(|| bench.ask(ready.call.clone()));
        begins(bench)?;
        let begun = Instant::now();
        let asked = bench.ask(ready.call.clone());
        let took = begun.elapsed();
        let came = ends(bench)?;
        let told = format!("{}{failing}", asked.called);
        if matches!(&asked.said, Err(refusal) if refusal.code.is_none()) {
            return fail(told, "an error of its own, or success without", asked.got());
        }
        if took > ANSWER {
            let (within, after) = (ANSWER.as_secs(), took.as_secs());
            return fail(told, format!("an answer within {within} s"), format!("one after {after} s"));
        }
        if let Some(plain) = plain.filter(|_| holds != Holds::Changes) {
            kept::told_alike(&plain, &asked, &told)?;
        }
        let done = asked.said.is_ok();
        if holds == Holds::All && !done && !asked.is("unsupported") {
            return fail(told, "success: nothing failed", asked.got());
        }
        match done {
            true if came => shown(bench, &ready, &told)?,
            true => {}
            false => ready.kept.is_there(bench, &told)?,
        }
        again(bench, verb, &ready, done || holds == Holds::Unknown, &told)?;
        Ok(if came { Met::Some } else { Met::Nothing })
    }
}

/// What was told as done is done.
fn shown(bench: &mut Bench, ready: &Ready, told: &str) -> Result<()> {
    let Some((name, size)) = &ready.shows else { return Ok(()) };
    let found = bench.find(name);
    match (&found.said, size) {
        (Ok(Return::Volume(facts)), Some(size)) if facts.size >= *size => Ok(()),
        (Err(_), None) if found.is("not-found") => Ok(()),
        (Ok(_) | Err(_), _) => {
            fail(told, "an error, or that it is done", format!("success, and then find: {}", found.got()))
        }
    }
}

/// The same again, without trouble. `done`: it may have been done before.
fn again(bench: &mut Bench, verb: &str, ready: &Ready, done: bool, told: &str) -> Result<()> {
    let asked: Asked = bench.ask(ready.call.clone());
    let fine = match &asked.said {
        Ok(_) => true,
        // What the plugin does not do, it does not do without trouble either.
        Err(_) if asked.is("unsupported") => return Ok(()),
        Err(_) => done && ready.again.iter().any(|code| asked.is(code)),
    };
    if !fine {
        let called = format!("{verb}, said again after: {told}");
        return fail(called, "success, now that nothing fails", asked.got());
    }
    shown(bench, ready, &format!("{verb}, said again after: {told}"))
}

fn words(trouble: &Trouble) -> String {
    let which = match trouble.at {
        Some(at) => format!("with ask {at} of the host"),
        None => "with each ask of the host".to_owned(),
    };
    match &trouble.how {
        How::Error(code) => format!(", {which} answered {}", crate::conformance::words::code(code)),
        How::Cut => ", with each stream cut".to_owned(),
        How::Streams(Breach::Answer { at, half, how }) => {
            let place = if *half { "in the middle of" } else { "before" };
            let ends = match how {
                Break::Ends => "ending",
                Break::Resets => "reset",
            };
            format!(", with the stream {ends} {place} answer {at} of the server")
        }
        How::Streams(Breach::Request { at }) => format!(", with the stream reset in the middle of request {at}"),
        How::Streams(Breach::Short) => ", with what the server says coming little by little".to_owned(),
    }
}
