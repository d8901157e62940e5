//! The verbs of a pool, each made ready on objects of its own, for cases in which something below them fails: what was told as
//! done is done, what was there is there, and the same works when it is said again.

use std::time::{Duration, Instant};

use super::kept::{self, Kept};
use super::shows::{self, Shows, Snapshots};
use crate::conformance::bench::{Bench, SIZE};
use crate::conformance::expect::{Asked, Result, Stop, fail, skip};
use crate::gate::operation::Preallocation;
use crate::plugin::trouble::{Breach, Break, How, Trouble};
use crate::sandbox::protocol::{Ability, AttachAccess, CloneStyle, FenceKind, StorageCall};

/// A plugin that hears at once that nothing answers says so within this.
const ANSWER: Duration = Duration::from_secs(20);
/// One who waits for a server that may be silent for a second (`Patience::Trial`): once, and not twice. At work that would
/// be all the time that a call has, and nobody would be told what was waited for.
const WAITS: Duration = Duration::from_secs(2);
/// What says that a server does not answer.
const TELLS: [&str; 2] = ["timeout", "unreachable"];
/// A note that is there before another comes.
const NOTE: u64 = 76;

/// A verb, made ready.
struct Ready {
    call: StorageCall,
    shows: Shows,
    /// Said again after it was done, it may be refused with this.
    again: &'static [&'static str],
    /// What has to be there where it was refused.
    kept: Kept,
}

impl Ready {
    const fn asks(call: StorageCall) -> Ready {
        Ready { call, shows: Shows::Nothing, again: &[], kept: Kept::Nothing }
    }

    const fn shows(call: StorageCall, shows: Shows) -> Ready {
        Ready { call, shows, again: &[], kept: Kept::Nothing }
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
        Ok(Ready::shows(call, Shows::Volume(name, SIZE)))
    }),
    ("delete", |bench, _| {
        let name = bench.new_volume()?.name;
        let call = StorageCall::Delete { name: name.clone() };
        Ok(Ready::shows(call, Shows::Gone(name.clone())).keeps(Kept::WholeOrGone(name)))
    }),
    ("resize", |bench, _| {
        let name = bench.new_volume()?.name;
        let call = StorageCall::Resize { name: name.clone(), size: 2 * SIZE };
        Ok(Ready::shows(call, Shows::Volume(name.clone(), 2 * SIZE)).keeps(Kept::Whole(name)))
    }),
    ("rename", |bench, _| {
        needs(bench, Ability::Renames)?;
        let (name, to) = (bench.new_volume()?.name, bench.name());
        let generation = if bench.has(Ability::Fences) { kept::fenced(bench, &name)? } else { 0 };
        let call = StorageCall::Rename { name: name.clone(), to: to.clone() };
        Ok(Ready::shows(call, Shows::Volume(to.clone(), SIZE)).keeps(Kept::Either { name, to, generation }))
    }),
    ("clone", |bench, _| {
        needs(bench, Ability::Clones)?;
        let (source, target) = (bench.new_volume()?.name, bench.name());
        let (style, snapshot) = (CloneStyle::Full, None);
        let call = StorageCall::Clone { source: source.clone(), snapshot, target: target.clone(), style };
        let ready = Ready::shows(call, Shows::Volume(target, SIZE)).keeps(Kept::Whole(source));
        Ok(Ready { again: &["already-exists"], ..ready })
    }),
    ("snapshots.create", |bench, _| {
        needs(bench, Ability::Snapshots)?;
        let name = shows::may_have_snapshots(bench)?;
        let call = StorageCall::SnapshotCreate { volume: name.clone(), name: "one".to_owned() };
        let made = Snapshots { volume: name.clone(), there: &["one"], gone: &[], bytes: Vec::new() };
        let ready = Ready::shows(call, Shows::Snapshots(made)).keeps(Kept::Whole(name));
        Ok(Ready { again: &["already-exists"], ..ready })
    }),
    ("snapshots.delete", |bench, _| {
        let (call, kept) = with_snapshots(bench, |volume, name| StorageCall::SnapshotDelete { volume, name })?;
        let gone = Snapshots { gone: &["one"], ..kept.clone() };
        Ok(Ready::shows(call, Shows::Snapshots(gone)).keeps(Kept::Snapshots(kept)))
    }),
    ("snapshots.revert", |bench, _| {
        let (call, kept) = with_snapshots(bench, |volume, name| StorageCall::SnapshotRevert { volume, name })?;
        let there: &[_] = &["one", "two"];
        let (mut done, mut kept) = (Snapshots { there, ..kept.clone() }, Snapshots { there, ..kept });
        if !kept.bytes.is_empty() {
            (done.bytes, kept.bytes) = (vec![1], vec![1, 2]);
        }
        Ok(Ready::shows(call, Shows::Snapshots(done)).keeps(Kept::Snapshots(kept)))
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
        let held = match shown.kind {
            FenceKind::None => Shows::Nothing,
            FenceKind::Lease | FenceKind::Registration | FenceKind::Reservation => {
                Shows::Held { volume: volume.clone(), generation: newest + 1 }
            }
        };
        let call = StorageCall::FenceTake { volume: volume.clone(), holder, force: false };
        Ok(Ready::shows(call, held).keeps(Kept::Fence { volume, generation: newest }))
    }),
    ("fences.release", |bench, stands| {
        needs(bench, Ability::Fences)?;
        let volume = there(stands)?;
        let holder = bench.hold(&volume)?;
        let generation = holder.generation;
        let call = StorageCall::FenceRelease { volume: volume.clone(), holder };
        Ok(Ready::shows(call, Shows::Free(volume.clone())).keeps(Kept::Fence { volume, generation }))
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

/// Those that change nothing.
const LOOKS: &[&str] = &["info", "all", "find", "attach", "snapshots.all", "fences.show", "notes.read"];

fn needs(bench: &Bench, ability: Ability) -> Result<()> {
    if bench.has(ability) { Ok(()) } else { skip("the plugin has none") }
}

/// What is about the snapshot `one` of a volume that has another, and what of it stays as it is.
fn with_snapshots(bench: &mut Bench, call: fn(String, String) -> StorageCall) -> Result<(StorageCall, Snapshots)> {
    needs(bench, Ability::Snapshots)?;
    let (volume, reached) = shows::snapshotted(bench)?;
    let bytes = if reached { vec![2] } else { Vec::new() };
    Ok((call(volume.clone(), "one".to_owned()), Snapshots { volume, there: &["two"], gone: &[], bytes }))
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
    /// The same; and it waited for the server once, and tells that.
    Silence,
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

    /// Whether it only looks.
    pub(super) fn looks(&self) -> bool {
        LOOKS.contains(&self.verb.0)
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
        let within = if holds == Holds::Silence { WAITS } else { ANSWER };
        if took > within {
            let (within, after) = (within.as_secs_f32(), took.as_secs_f32());
            return fail(told, format!("an answer within {within:.1} s"), format!("one after {after:.1} s"));
        }
        let tells = asked.said.is_ok() || TELLS.iter().any(|code| asked.is(code));
        if holds == Holds::Silence && came && !tells {
            return fail(told, format!("the error {}, or success without", TELLS.join(" or ")), asked.got());
        }
        if let Some(plain) = plain.filter(|_| holds != Holds::Changes) {
            kept::told_alike(&plain, &asked, &told)?;
        }
        let done = asked.said.is_ok();
        if holds == Holds::All && !done && !asked.is("unsupported") {
            return fail(told, "success: nothing failed", asked.got());
        }
        match done {
            true if came => ready.shows.is_so(bench, &told)?,
            true => {}
            false => ready.kept.is_there(bench, &told)?,
        }
        again(bench, verb, &ready, done || matches!(holds, Holds::Unknown | Holds::Silence), &told)?;
        Ok(if came { Met::Some } else { Met::Nothing })
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
    ready.shows.is_so(bench, &format!("{verb}, said again after: {told}"))
}

pub(super) fn words(trouble: &Trouble) -> String {
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
                Break::Silent => "silent, and so is every other,",
            };
            format!(", with the stream {ends} {place} answer {at} of the server")
        }
        How::Streams(Breach::Request { at }) => format!(", with the stream reset in the middle of request {at}"),
        How::Streams(Breach::Short) => ", with what the server says coming little by little".to_owned(),
    }
}
