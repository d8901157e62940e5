//! What was heard of witnesses, and what must never be in it. Pure.

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

/// Looks for what must never be, in the order in which it was heard: two runs at once, a counter that goes back, memory
/// of two times, a write that was said to be flushed and is not on the disk.
///
/// # Errors
/// The first such thing, in words.
pub fn check(history: &[Sighting], disk: Option<OnDisk>) -> Result<(), String> {
    let mut left: Vec<(&str, u32)> = Vec::new();
    for (before, now) in history.iter().zip(history.iter().skip(1)) {
        let (run_before, run_now) = ((before.host.as_str(), before.run), (now.host.as_str(), now.run));
        if run_before != run_now {
            left.push(run_before);
            if left.contains(&run_now) {
                return Err(format!("run {} on {} went on after another had begun: {now:?}", now.run, now.host));
            }
        }
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
    if let Some(bad) = history.iter().find(|seen| matches!(seen.kind, Kind::Torn | Kind::Failed | Kind::Strange)) {
        return Err(format!("the guest saw its memory or its disk fail: {bad:?}"));
    }
    let wrote = history.iter().rev().find(|seen| seen.kind == Kind::Wrote);
    match (wrote, disk) {
        (Some(wrote), Some(disk)) if disk.counter < wrote.counter || disk.run < wrote.run => {
            Err(format!("a write was lost: {wrote:?} was heard, {disk:?} is on the disk"))
        }
        _ => Ok(()),
    }
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
        // Two runs, words that nobody heard, a move to another host in the middle of a run's life.
        let history = [began(1, 0), wrote(1, 1), wrote(1, 7), began(2, 9), wrote(2, 10), seen("b", Kind::Wrote, 2, 11)];
        check(&history, Some(OnDisk { run: 2, counter: 12 })).unwrap();
        check(&[], None).unwrap();
    }

    #[test]
    fn every_planted_violation_is_found() {
        let disk = |run, counter| Some(OnDisk { run, counter });
        for (what, history, disk, said) in [
            ("back in a run", vec![wrote(1, 5), wrote(1, 4)], None, "went back"),
            ("said twice", vec![wrote(1, 5), wrote(1, 5)], None, "went back"),
            ("back over a start", vec![wrote(1, 5), seen("a", Kind::Began, 2, 4)], None, "went back"),
            ("an old memory", vec![wrote(2, 5), wrote(1, 6)], None, "earlier run"),
            (
                "two hosts at once",
                vec![wrote(1, 5), seen("b", Kind::Wrote, 1, 6), wrote(1, 7)],
                None,
                "after another had begun",
            ),
            ("torn memory", vec![seen("a", Kind::Torn, 1, 6)], None, "memory or its disk"),
            ("a bad disk", vec![seen("a", Kind::Failed, 1, 6)], None, "memory or its disk"),
            ("other data", vec![seen("a", Kind::Strange, 1, 6)], None, "memory or its disk"),
            ("a lost write", vec![wrote(1, 6)], disk(1, 5), "was lost"),
            ("a disk of before", vec![wrote(2, 6)], disk(1, 6), "was lost"),
        ] {
            let found = check(&history, disk).expect_err(what);
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
