//! What was heard of witnesses, and what must never be in it. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

const MARK: &str = "fief-witness ";

/// What a guest was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Began,
    /// The counter is on the disk.
    Wrote,
    /// Its memory held an earlier state in one page and a later one in another.
    Torn,
    /// The disk took a write or a read with an error.
    Failed,
    /// The disk gave something else than what was written to it.
    Strange,
}

/// One line of a witness, with who heard it and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub host: String,
    pub at: Duration,
    pub kind: Kind,
    pub run: u32,
    pub counter: u32,
}

/// What is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnDisk {
    pub run: u32,
    pub counter: u32,
}

/// Looks for what must never be: a counter that goes back, two hosts or two runs at once, memory of two times, a write that
/// was said to be flushed and is not on the disk. `way`: the hosts on which it may have been, in that order; it need not have
/// been on each.
///
/// What is heard of two hosts is heard late now and then, so it is not the time that tells who ran when, but the
/// counter: no two moments of one guest have the same.
///
/// # Errors
/// The first such thing, in words.
pub fn check(history: &[Sighting], way: &[&str], disk: Option<OnDisk>) -> Result<(), String> {
    let hosts: BTreeSet<&str> = history.iter().map(|seen| seen.host.as_str()).collect();
    for host in hosts {
        // In the order in which it was heard there.
        let there: Vec<&Sighting> = history.iter().filter(|seen| seen.host == host).collect();
        goes_on(&there)?;
    }
    let mut all: Vec<&Sighting> = history.iter().collect();
    all.sort_by_key(|seen| (seen.counter, seen.run));
    let wrote = all.iter().filter(|seen| seen.kind == Kind::Wrote);
    for (one, other) in wrote.clone().zip(wrote.skip(1)) {
        if one.counter == other.counter {
            return Err(format!("two guests at once: {one:?} and {other:?}"));
        }
    }
    let mut left = way.iter();
    let mut here = left.next();
    for seen in &all {
        while here.is_some_and(|here| *here != seen.host) {
            here = left.next();
        }
        if here.is_none() {
            return Err(format!("it ran on {} where it was not to be any more, of {way:?}: {seen:?}", seen.host));
        }
    }
    goes_on(&all)?;
    if let Some(bad) = history.iter().find(|seen| matches!(seen.kind, Kind::Torn | Kind::Failed | Kind::Strange)) {
        return Err(format!("the guest saw its memory or its disk fail: {bad:?}"));
    }
    let wrote = all.iter().rev().find(|seen| seen.kind == Kind::Wrote);
    match (wrote, disk) {
        (Some(wrote), Some(disk)) if disk.counter < wrote.counter || disk.run < wrote.run => {
            Err(format!("a write was lost: {wrote:?} was heard, {disk:?} is on the disk"))
        }
        _ => Ok(()),
    }
}

/// Each run goes on from where the one before was.
fn goes_on(history: &[&Sighting]) -> Result<(), String> {
    for (before, now) in history.iter().zip(history.iter().skip(1)) {
        if now.run < before.run {
            return Err(format!("an earlier run came back: {before:?}, then {now:?}"));
        }
        let onward = match now.kind {
            Kind::Began => now.counter >= before.counter,
            Kind::Wrote | Kind::Torn | Kind::Failed | Kind::Strange => {
                now.counter > before.counter || before.kind == Kind::Began
            }
        };
        if now.counter < before.counter || !onward {
            return Err(format!("the counter went back: {before:?}, then {now:?}"));
        }
    }
    Ok(())
}

/// How long nothing was heard around the last time that it came to another host.
pub fn pause(history: &[Sighting]) -> Option<Duration> {
    let mut all: Vec<&Sighting> = history.iter().filter(|seen| seen.kind == Kind::Wrote).collect();
    all.sort_by_key(|seen| (seen.counter, seen.run));
    let moved = all.iter().zip(all.iter().skip(1)).rev().find(|(before, now)| before.host != now.host);
    moved.map(|(before, now)| now.at.saturating_sub(before.at))
}

/// `None` for what is no whole line of a witness: one whose beginning or end nobody heard.
pub(super) fn parse(line: &str) -> Option<(Kind, u32, u32)> {
    let words: Vec<&str> = line.rsplit_once(MARK)?.1.trim_end().split(' ').collect();
    let [kind, run, counter] = words[..] else { return None };
    let kind = match kind {
        "b" => Kind::Began,
        "w" => Kind::Wrote,
        "t" => Kind::Torn,
        "e" => Kind::Failed,
        "x" => Kind::Strange,
        _ => return None,
    };
    let number = |word: &str| (word.len() == 8).then(|| u32::from_str_radix(word, 16).ok()).flatten();
    Some((kind, number(run)?, number(counter)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(host: &str, kind: Kind, run: u32, counter: u32) -> Sighting {
        Sighting { host: host.into(), at: Duration::ZERO, kind, run, counter }
    }
    fn wrote(run: u32, counter: u32) -> Sighting {
        seen("a", Kind::Wrote, run, counter)
    }

    #[test]
    fn an_honest_life_is_sound() {
        let began = |run, counter| seen("a", Kind::Began, run, counter);
        let on = |host: &str, counter| seen(host, Kind::Wrote, 2, counter);
        // Two runs, words that nobody heard, a move to another host in the middle of a run's life, and back.
        let history = [began(1, 0), wrote(1, 1), wrote(1, 7), began(2, 9), wrote(2, 10), on("b", 11), on("a", 13)];
        check(&history, &["a", "b", "a"], Some(OnDisk { run: 2, counter: 13 })).unwrap();
        // It was to be on a once more, and was not; and one was heard late.
        check(&[wrote(2, 10), on("b", 12), wrote(2, 11)], &["a", "b", "a"], None).unwrap();
        check(&[], &[], None).unwrap();
        // A run that begins where another host's ended: after a crash there.
        check(&[wrote(1, 4), seen("b", Kind::Began, 2, 5), on("b", 6)], &["a", "b"], None).unwrap();
    }

    #[test]
    fn the_pause_is_that_of_the_last_move() {
        let at =
            |host: &str, counter, ms| Sighting { at: Duration::from_millis(ms), ..seen(host, Kind::Wrote, 1, counter) };
        assert_eq!(pause(&[at("a", 1, 0), at("a", 2, 60)]), None);
        let history = [at("a", 1, 0), at("b", 2, 900), at("b", 3, 950), at("a", 4, 1000), at("a", 5, 1055)];
        assert_eq!(pause(&history), Some(Duration::from_millis(50)));
    }

    #[test]
    fn every_planted_violation_is_found() {
        let disk = |run, counter| Some(OnDisk { run, counter });
        let on = |host: &str, run, counter| seen(host, Kind::Wrote, run, counter);
        let began = |host: &str, run, counter| seen(host, Kind::Began, run, counter);
        for (what, history, disk, said) in [
            ("back in a run", vec![wrote(1, 5), wrote(1, 4)], None, "went back"),
            ("said twice", vec![wrote(1, 5), wrote(1, 5)], None, "went back"),
            ("back over a start", vec![wrote(1, 5), began("a", 2, 4)], None, "went back"),
            ("an old memory", vec![wrote(2, 5), wrote(1, 6)], None, "earlier run"),
            ("both say the same", vec![wrote(1, 5), on("b", 1, 6), wrote(1, 6)], None, "two guests at once"),
            ("it goes on behind", vec![wrote(1, 5), on("b", 1, 6), wrote(1, 7)], None, "not to be any more"),
            ("on a host where it never was", vec![wrote(1, 5), on("c", 1, 6)], None, "not to be any more"),
            (
                "another run beside it",
                vec![wrote(1, 5), began("b", 2, 5), on("b", 2, 6), wrote(1, 7)],
                None,
                "not to be",
            ),
            ("an old memory there", vec![wrote(1, 5), wrote(1, 6), on("b", 1, 6)], None, "two guests at once"),
            ("torn memory", vec![seen("a", Kind::Torn, 1, 6)], None, "memory or its disk"),
            ("a bad disk", vec![seen("a", Kind::Failed, 1, 6)], None, "memory or its disk"),
            ("other data", vec![seen("a", Kind::Strange, 1, 6)], None, "memory or its disk"),
            ("a lost write", vec![wrote(1, 6)], disk(1, 5), "was lost"),
            ("one lost on the way", vec![wrote(1, 6), on("b", 1, 7)], disk(1, 6), "was lost"),
            ("a disk of before", vec![wrote(2, 6)], disk(1, 6), "was lost"),
        ] {
            let found = check(&history, &["a", "b"], disk).expect_err(what);
            assert!(found.contains(said), "{what}: {found}");
        }
    }

    #[test]
    fn half_a_line_is_no_word() {
        assert_eq!(parse("fief-witness w 00000001 0000000a\r\n"), Some((Kind::Wrote, 1, 10)));
        assert_eq!(parse("fief-witness w 00000fief-witness b 00000002 0000000a\r\n"), Some((Kind::Began, 2, 10)));
        for torn in ["fief-witness w 00000001 0000\r\n", "witness w 00000001 0000000a\r\n", "Booting...\n", ""] {
            assert_eq!(parse(torn), None, "{torn:?}");
        }
    }
}
