//! A host that fails: each thing that the plugin asks of it, one after the other.

use std::time::{Duration, Instant};

use crate::conformance::bench::{Bench, SIZE};
use crate::conformance::expect::{Result, Stop, fail, skip};
use crate::conformance::{Case, Run};
use crate::gate::operation::ImageFormat;
use crate::plugin::trouble::{How, Trouble};
use crate::sandbox::protocol::{Ability, AttachAccess, CloneStyle, ErrorCode, Return, StorageCall};

/// So many asks of one call are made to fail, one in each call.
const ASKS: u32 = 40;
/// A plugin that hears at once that nothing answers says so within this.
const ANSWER: Duration = Duration::from_secs(20);

const ERRORS: &str = "If you return an error, trap, or run past a limit, the host undoes all of it, newest first.";
const FIRST: &str = "return the first error with `?`, and clean up nothing.";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "host-errors",
        what: "each thing that a verb asks of the host fails once: the verb says so or does without, and works when it is said again",
        rule: FIRST,
        why: "a full disk or a lost connection would be told as success, or leave what can never be put right",
        needs: None,
        run: Run::Storage(errors),
    },
    Case {
        id: "host-denies",
        what: "all that a verb asks of the host is denied: it ends with an error of its own, and does not trap",
        rule: ERRORS,
        why: "an operator who grants too little would be told of a fault instead of a grant",
        needs: None,
        run: Run::Storage(denies),
    },
    Case {
        id: "timeouts",
        what: "all that a verb asks of the host times out: it ends with an error, soon, and works when it is said again",
        rule: "A call has 2 s of processor time, 30 s from start to end",
        why: "commands would hang for as long as storage does",
        needs: None,
        run: Run::Storage(timeouts),
    },
    Case {
        id: "connections-cut",
        what: "every stream ends before a byte goes over it: each verb says so, and works when it is said again",
        rule: "`unreachable` and `timeout` can be tried again.",
        why: "a server that restarts would be told as damage, or take the plugin with it",
        needs: None,
        run: Run::Storage(cut),
    },
];

/// A verb, made ready on objects of its own.
struct Ready {
    call: StorageCall,
    /// How it is seen that a change was made: a volume, and whether it is there, with what size at least.
    shows: Option<(String, Option<u64>)>,
    /// Said again after it was done, it may be refused with this.
    again: &'static [&'static str],
}

impl Ready {
    const fn asks(call: StorageCall) -> Ready {
        Ready { call, shows: None, again: &[] }
    }

    fn shows(call: StorageCall, name: &str, size: Option<u64>) -> Ready {
        Ready { call, shows: Some((name.to_owned(), size)), again: &[] }
    }
}

type Verb = (&'static str, fn(&mut Bench) -> Result<Ready>);

const VERBS: &[Verb] = &[
    ("info", |_| Ok(Ready::asks(StorageCall::Info))),
    ("all", |_| Ok(Ready::asks(StorageCall::All))),
    ("find", |bench| Ok(Ready::asks(StorageCall::Find { name: bench.volume()?.name }))),
    ("attach", |bench| {
        let made = bench.volume()?;
        Ok(Ready::asks(StorageCall::Attach { name: made.name, access: AttachAccess::ReadOnly }))
    }),
    ("detach", |bench| Ok(Ready::asks(StorageCall::Detach { name: bench.volume()?.name }))),
    ("create", |bench| {
        let (name, format) = (bench.name(), bench.format()?);
        let preallocation = crate::gate::operation::Preallocation::Sparse;
        let call = StorageCall::Create { name: name.clone(), size: SIZE, format, preallocation };
        Ok(Ready::shows(call, &name, Some(SIZE)))
    }),
    ("delete", |bench| {
        let name = bench.new_volume()?.name;
        Ok(Ready::shows(StorageCall::Delete { name: name.clone() }, &name, None))
    }),
    ("resize", |bench| {
        let name = bench.new_volume()?.name;
        Ok(Ready::shows(StorageCall::Resize { name: name.clone(), size: 2 * SIZE }, &name, Some(2 * SIZE)))
    }),
    ("rename", |bench| {
        needs(bench, Ability::Renames)?;
        let (name, to) = (bench.new_volume()?.name, bench.name());
        Ok(Ready::shows(StorageCall::Rename { name, to: to.clone() }, &to, Some(SIZE)))
    }),
    ("clone", |bench| {
        needs(bench, Ability::Clones)?;
        let (source, target) = (bench.new_volume()?.name, bench.name());
        let call = StorageCall::Clone { source, snapshot: None, target: target.clone(), style: CloneStyle::Full };
        Ok(Ready { again: &["already-exists"], ..Ready::shows(call, &target, Some(SIZE)) })
    }),
    ("snapshots.create", |bench| {
        needs(bench, Ability::Snapshots)?;
        // Most have them in this format alone, if they make it at all.
        let made = bench.new_volume_of(ImageFormat::Qcow2).or_else(|_| bench.new_volume())?;
        let call = StorageCall::SnapshotCreate { volume: made.name, name: "one".to_owned() };
        Ok(Ready { again: &["already-exists"], ..Ready::asks(call) })
    }),
    ("snapshots.all", |bench| {
        needs(bench, Ability::Snapshots)?;
        Ok(Ready::asks(StorageCall::Snapshots { volume: bench.new_volume()?.name }))
    }),
    ("fences.take", |bench| {
        needs(bench, Ability::Fences)?;
        let volume = bench.volume()?.name;
        let shown = bench.ask(StorageCall::FenceShow { volume: volume.clone() }).fence()?;
        let newest = shown.holder.as_ref().map_or(0, |holder| holder.generation).max(shown.generation);
        let holder = bench.holder("test", newest + 1);
        bench.held.push((volume.clone(), holder.clone()));
        Ok(Ready::asks(StorageCall::FenceTake { volume, holder, force: false }))
    }),
    ("fences.show", |bench| {
        needs(bench, Ability::Fences)?;
        Ok(Ready::asks(StorageCall::FenceShow { volume: bench.volume()?.name }))
    }),
    ("notes.leave", |bench| {
        needs(bench, Ability::Notes)?;
        Ok(Ready::asks(StorageCall::NoteLeave { volume: bench.volume()?.name, note: 77 }))
    }),
    ("notes.remove", |bench| {
        needs(bench, Ability::Notes)?;
        Ok(Ready::asks(StorageCall::NoteRemove { volume: bench.volume()?.name, note: 77 }))
    }),
];

fn needs(bench: &Bench, ability: Ability) -> Result<()> {
    if bench.has(ability) { Ok(()) } else { skip("the plugin has none") }
}

fn errors(bench: &mut Bench) -> Result<()> {
    let mut some = false;
    for verb in VERBS {
        for at in 1..=ASKS {
            match troubled(bench, verb, &Trouble { at: Some(at), how: How::Error(ErrorCode::Io) })? {
                Met::Nothing => break,
                Met::Some => some = true,
                Met::NotOurs => break,
            }
        }
    }
    if some { Ok(()) } else { skip("it asks nothing of the host") }
}

fn denies(bench: &mut Bench) -> Result<()> {
    each(bench, &How::Error(ErrorCode::Denied))
}

fn timeouts(bench: &mut Bench) -> Result<()> {
    each(bench, &How::Error(ErrorCode::Timeout))
}

fn cut(bench: &mut Bench) -> Result<()> {
    if !bench.connects() {
        return skip("it asks for no connections");
    }
    each(bench, &How::Cut)
}

/// Every verb, with each ask failing.
fn each(bench: &mut Bench, how: &How) -> Result<()> {
    let mut some = false;
    for verb in VERBS {
        let met = troubled(bench, verb, &Trouble { at: None, how: how.clone() })?;
        some |= met == Met::Some;
    }
    if some { Ok(()) } else { skip("it asks nothing of the host") }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// The call went by before that ask.
    Nothing,
    Some,
    /// The plugin has no such verb.
    NotOurs,
}

fn troubled(bench: &mut Bench, (verb, ready): &Verb, trouble: &Trouble) -> Result<Met> {
    let ready = match ready(bench) {
        Ok(ready) => ready,
        Err(Stop::Skip(_)) => return Ok(Met::NotOurs),
        Err(stop) => return Err(stop),
    };
    bench.fail(Some(trouble.clone()))?;
    let begun = Instant::now();
    let asked = bench.ask(ready.call.clone());
    let (took, came) = (begun.elapsed(), bench.pool.was_troubled());
    bench.fail(None)?;
    let told = format!("{}{}", asked.called, words(trouble));
    let by_itself = matches!(&asked.said, Err(refusal) if refusal.code.is_none());
    if by_itself {
        return fail(told, "an error of its own, or success without", asked.got());
    }
    if took > ANSWER {
        return fail(
            told,
            format!("an answer within {} s", ANSWER.as_secs()),
            format!("one after {} s", took.as_secs()),
        );
    }
    let done = asked.said.is_ok();
    if done && came {
        shown(bench, &ready, &told)?;
    }
    again(bench, verb, &ready, done, &told)?;
    Ok(if came { Met::Some } else { Met::Nothing })
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

/// The same again, without trouble.
fn again(bench: &mut Bench, verb: &str, ready: &Ready, done: bool, told: &str) -> Result<()> {
    let asked = bench.ask(ready.call.clone());
    let fine = match &asked.said {
        Ok(_) => true,
        // What the plugin does not do, it does not do without trouble either.
        Err(_) if asked.is("unsupported") => return Ok(()),
        Err(_) => done && ready.again.iter().any(|code| asked.is(code)),
    };
    if !fine {
        let called = format!("{verb}, said again after: {told}");
        return fail(called, "success, now that the host does not fail", asked.got());
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
    }
}
