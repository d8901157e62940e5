//! One line of the table: what was measured, beside what, and whether it is what was aimed at.

use std::time::Duration;

use super::median;

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Ours over the peer's, at the most.
    Ratio(f64),
    /// So much more than the peer, at the most.
    AtMostMore(Duration),
}

#[derive(Debug)]
pub(super) struct Figure {
    work: String,
    beside: String,
    ours: String,
    theirs: String,
    figure: String,
    aim: String,
    reached: bool,
}

impl Figure {
    pub(super) fn new(work: &str, beside: &str, ours: Duration, theirs: Duration, kind: Kind) -> Self {
        let (figure, aim, reached) = match kind {
            Kind::Ratio(aim) => {
                let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
                (format!("{ratio:.2}"), format!("{aim}"), ratio <= aim)
            }
            Kind::AtMostMore(aim) => {
                let more = ours.as_secs_f64() - theirs.as_secs_f64();
                (format!("{:+.0} ms", more * 1e3), format!("+{} ms", aim.as_millis()), more <= aim.as_secs_f64())
            }
        };
        Figure {
            work: work.into(),
            beside: beside.into(),
            ours: time(ours),
            theirs: time(theirs),
            figure,
            aim,
            reached,
        }
    }

    /// Of rounds in which both took their turns: the times are medians, and a ratio is the median of the rounds' own.
    pub(super) fn paired(work: &str, beside: &str, ours: &[Duration], theirs: &[Duration], kind: Kind) -> Self {
        let figure = Figure::new(work, beside, median(ours), median(theirs), kind);
        let Kind::Ratio(aim) = kind else { return figure };
        let mut ratios: Vec<f64> =
            ours.iter().zip(theirs).map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
        Figure { figure: format!("{ratio:.2}"), reached: ratio <= aim, ..figure }
    }

    /// One that has no peer.
    pub(super) fn alone(work: &str, ours: Duration, aim: Duration) -> Self {
        Figure { figure: time(ours), aim: time(aim), reached: ours <= aim, ..Figure::unmatched(work, time(ours)) }
    }

    /// One that has neither a peer nor an aim.
    pub(super) fn seen(work: &str, ours: Duration) -> Self {
        Figure { figure: time(ours), reached: true, ..Figure::unmatched(work, time(ours)) }
    }

    pub(super) fn memory(work: &str, kib: u64, aim: u64) -> Self {
        Figure { figure: mib(kib), aim: mib(aim), reached: kib <= aim, ..Figure::unmatched(work, mib(kib)) }
    }

    /// One that has no aim.
    pub(super) fn of_memory(work: &str, kib: u64) -> Self {
        Figure { figure: mib(kib), reached: true, ..Figure::unmatched(work, mib(kib)) }
    }

    fn unmatched(work: &str, ours: String) -> Self {
        let dash = || "–".to_owned();
        Figure { work: work.into(), beside: dash(), ours, theirs: dash(), figure: dash(), aim: dash(), reached: false }
    }

    pub(super) fn row(&self) -> String {
        let Figure { work, beside, ours, theirs, figure, aim, reached } = self;
        let word = match (aim.as_str(), *reached) {
            ("–", _) => "–",
            (_, true) => "reached",
            (_, false) => "**not reached**",
        };
        format!("| {work} | {beside} | {ours} | {theirs} | {figure} | {aim} | {word} |\n")
    }
}

fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

fn time(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..10_000 => format!("{:.2} ms", micros as f64 / 1e3),
        micros => format!("{:.0} ms", micros as f64 / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_whether_its_aim_is_reached() {
        let ms = Duration::from_millis;
        let row = |ours, kind| Figure::new("a", "b", ms(ours), ms(100), kind).row();
        assert_eq!(row(25, Kind::Ratio(0.3)), "| a | b | 25 ms | 100 ms | 0.25 | 0.3 | reached |\n");
        assert_eq!(
            row(170, Kind::AtMostMore(ms(60))),
            "| a | b | 170 ms | 100 ms | +70 ms | +60 ms | **not reached** |\n"
        );
        let row = Figure::of_memory("a", 1536).row();
        assert_eq!(row, "| a | – | 1.5 MiB | – | 1.5 MiB | – | – |\n");
    }
}
