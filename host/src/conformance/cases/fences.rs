//! Who may write to a volume.

use crate::conformance::bench::Bench;
use crate::conformance::expect::{Asked, Result, fail, skip};
use crate::conformance::words;
use crate::conformance::{Case, Run};
use crate::sandbox::protocol::{Ability, Fence, FenceKind, Holder, StorageCall};

const WHY: &str = "two hosts would write to one disk at the same time, which destroys it";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "fence-take",
        what: "a fence that is taken is shown with its holder, and let go it is nobody's",
        rule: "`in-use` names the other holder; `wrong-state` where a newer generation was seen.",
        why: WHY,
        needs: Some(Ability::Fences),
        run: Run::Storage(take_and_release),
    },
    Case {
        id: "fence-newer",
        what: "the same host and domain take it again with a newer generation",
        rule: "Takes it, or moves it on to a newer generation of the same host and domain.",
        why: "a domain could not start again on its own host",
        needs: Some(Ability::Fences),
        run: Run::Storage(newer),
    },
    Case {
        id: "fence-older",
        what: "an older generation is refused, also once nobody holds the fence where the storage keeps that",
        rule: "`generation` grows with each attachment: once a newer one has been seen, an older one is refused for ever.",
        why: WHY,
        needs: Some(Ability::Fences),
        run: Run::Storage(older),
    },
    Case {
        id: "fence-other",
        what: "another host does not take a fence that is held, and is told who holds it",
        rule: "`in-use` names the other holder; `wrong-state` where a newer generation was seen.",
        why: WHY,
        needs: Some(Ability::Fences),
        run: Run::Storage(other),
    },
    Case {
        id: "fence-release-other",
        what: "what another holds, or an older generation, is not let go by a release",
        rule: "Lets go. Nothing happens where another, or nobody, holds it.",
        why: WHY,
        needs: Some(Ability::Fences),
        run: Run::Storage(release_other),
    },
    Case {
        id: "fence-forced",
        what: "with force the hold of another is broken, for good",
        rule: "With `force` the operator has said that the other holder's host is off: its hold is broken",
        why: "the domains of a host that died could never start elsewhere",
        needs: Some(Ability::Fences),
        run: Run::Storage(forced),
    },
];

fn show(bench: &mut Bench, volume: &str) -> Result<Fence> {
    bench.ask(StorageCall::FenceShow { volume: volume.to_owned() }).fence()
}

fn take(bench: &mut Bench, volume: &str, holder: &Holder, force: bool) -> Asked {
    let asked = bench.ask(StorageCall::FenceTake { volume: volume.to_owned(), holder: holder.clone(), force });
    if asked.said.is_ok() {
        bench.held.push((volume.to_owned(), holder.clone()));
    }
    asked
}

fn release(bench: &mut Bench, volume: &str, holder: &Holder) -> Asked {
    bench.ask(StorageCall::FenceRelease { volume: volume.to_owned(), holder: holder.clone() })
}

/// A volume whose storage keeps fences, and the next generation.
fn volume(bench: &mut Bench) -> Result<(String, u64)> {
    let name = bench.volume()?.name;
    let fence = show(bench, &name)?;
    if fence.kind == FenceKind::None {
        return skip("its storage keeps no fences");
    }
    let newest = fence.holder.map_or(0, |holder| holder.generation).max(fence.generation);
    Ok((name, newest + 1))
}

/// Somebody on another host.
fn stranger(generation: u64) -> Holder {
    Holder {
        host: "00000000-0000-4000-8000-00000000f1ef".to_owned(),
        name: "another".to_owned(),
        domain: "other".to_owned(),
        generation,
    }
}

/// Reservations are gone with who made them, and storage that has no other place keeps no generation then. A lease does.
pub(super) fn forgets(fence: &Fence) -> bool {
    fence.holder.is_none() && fence.generation == 0 && fence.kind != FenceKind::Lease
}

/// Whether a fence shows this holder. Storage may have no room for names, and keep a mark in their place.
fn is_shown_as(bench: &Bench, shown: &Holder, holder: &Holder) -> bool {
    let known = |host: &str| host == stranger(0).host || host == bench.holder("", 0).host;
    let marked = !known(&shown.host);
    shown.generation == holder.generation && (marked || (&shown.host, &shown.domain) == (&holder.host, &holder.domain))
}

fn is_held_by(bench: &mut Bench, volume: &str, holder: Option<&Holder>, newest: u64) -> Result<()> {
    let fence = show(bench, volume)?;
    let right = match (&fence.holder, holder) {
        (None, None) => true,
        (Some(shown), Some(holder)) => is_shown_as(bench, shown, holder),
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !right || (fence.generation < newest && !forgets(&fence)) {
        let by = holder.map_or_else(|| "nobody".to_owned(), |holder| format!("domain {}", holder.domain));
        let expected = format!("a fence held by {by}, generation {newest} or newer seen");
        return fail(format!("fences.show {volume}"), expected, words::fence(&fence));
    }
    Ok(())
}

fn take_and_release(bench: &mut Bench) -> Result<()> {
    let (name, next) = volume(bench)?;
    let ours = bench.holder("a", next);
    let asked = take(bench, &name, &ours, false);
    let (called, fence) = (asked.called.clone(), asked.fence()?);
    if fence.holder.as_ref() != Some(&ours) {
        return fail(called, "the fence, held by whoever took it", words::fence(&fence));
    }
    is_held_by(bench, &name, Some(&ours), next)?;
    // Said again, it is taken already.
    take(bench, &name, &ours, false).fence()?;
    for _ in 0..2 {
        release(bench, &name, &ours).nothing()?;
        is_held_by(bench, &name, None, next)?;
    }
    Ok(())
}

fn newer(bench: &mut Bench) -> Result<()> {
    let (name, next) = volume(bench)?;
    for generation in [next, next + 1, next + 5] {
        let ours = bench.holder("a", generation);
        take(bench, &name, &ours, false).fence()?;
        is_held_by(bench, &name, Some(&ours), generation)?;
    }
    release(bench, &name, &bench.holder("a", next + 5)).nothing()
}

fn older(bench: &mut Bench) -> Result<()> {
    let (name, next) = volume(bench)?;
    let (old, new) = (bench.holder("a", next), bench.holder("a", next + 1));
    take(bench, &name, &new, false).fence()?;
    take(bench, &name, &old, false).refused_with(&["wrong-state"])?;
    is_held_by(bench, &name, Some(&new), next + 1)?;
    release(bench, &name, &new).nothing()?;
    if forgets(&show(bench, &name)?) {
        return Ok(());
    }
    take(bench, &name, &old, false).refused_with(&["wrong-state"])?;
    take(bench, &name, &stranger(next), false).refused_with(&["wrong-state"])?;
    is_held_by(bench, &name, None, next + 1)
}

fn other(bench: &mut Bench) -> Result<()> {
    let (name, next) = volume(bench)?;
    let ours = bench.holder("a", next);
    take(bench, &name, &ours, false).fence()?;
    for generation in [next, next + 1] {
        take(bench, &name, &stranger(generation), false).refused_with(&["in-use"])?;
        is_held_by(bench, &name, Some(&ours), next)?;
    }
    release(bench, &name, &ours).nothing()?;
    take(bench, &name, &stranger(next + 2), false).fence()?;
    release(bench, &name, &stranger(next + 2)).nothing()
}

fn release_other(bench: &mut Bench) -> Result<()> {
    let (name, next) = volume(bench)?;
    let ours = bench.holder("a", next + 1);
    release(bench, &name, &ours).nothing()?;
    take(bench, &name, &ours, false).fence()?;
    for holder in [stranger(next + 1), bench.holder("b", next + 1), bench.holder("a", next)] {
        release(bench, &name, &holder).nothing()?;
        is_held_by(bench, &name, Some(&ours), next + 1)?;
    }
    release(bench, &name, &ours).nothing()
}

fn forced(bench: &mut Bench) -> Result<()> {
    let (name, next) = volume(bench)?;
    let theirs = stranger(next);
    take(bench, &name, &theirs, false).fence()?;
    let ours = bench.holder("a", next + 1);
    take(bench, &name, &ours, true).fence()?;
    is_held_by(bench, &name, Some(&ours), next + 1)?;
    release(bench, &name, &theirs).nothing()?;
    is_held_by(bench, &name, Some(&ours), next + 1)?;
    take(bench, &name, &theirs, false).refused_with(&["wrong-state", "in-use"])?;
    release(bench, &name, &ours).nothing()
}
