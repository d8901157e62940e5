//! One line of the table of volumes: operations a second and processor time, beside the peer's, with floor and aim.

use std::time::Duration;

use super::load::{Done, Load};

/// Ours over the peer's: less than `floor` is a fault, `aim` is what was wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) floor: f64,
    pub(super) aim: f64,
}

/// For depth 1, for many at a time, for large pieces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bars {
    pub(super) one: Bounds,
    pub(super) deep: Bounds,
    pub(super) large: Bounds,
}

impl Bars {
    pub(super) const fn new(floors: [f64; 3], aims: [f64; 3]) -> Self {
        Bars {
            one: Bounds { floor: floors[0], aim: aims[0] },
            deep: Bounds { floor: floors[1], aim: aims[1] },
            large: Bounds { floor: floors[2], aim: aims[2] },
        }
    }

    fn of(&self, load: &Load) -> Bounds {
        match (load.random, load.depth) {
            (false, _) => self.large,
            (true, 1) => self.one,
            (true, _) => self.deep,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Row {
    work: &'static str,
    beside: &'static str,
    load: Load,
    ours: Done,
    theirs: Done,
    ratio: f64,
    bounds: Bounds,
}

impl Row {
    /// The middle round by operations a second, of each; and the middle one of the ratios, each of one round: what else the
    /// machine does in a round slows both of its sides.
    pub(super) fn new(
        (work, beside): (&'static str, &'static str),
        load: Load,
        (ours, theirs): (&[Done], &[Done]),
        bars: &Bars,
    ) -> Self {
        let mut ratios: Vec<f64> =
            ours.iter().zip(theirs).map(|(one, other)| one.per_second / other.per_second).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
        Row { work, beside, load, ours: middle(ours), theirs: middle(theirs), ratio, bounds: bars.of(&load) }
    }

    pub(crate) fn line(&self) -> String {
        let Row { work, beside, load, ours, theirs, ratio, bounds } = self;
        let word = match *ratio {
            enough if enough >= bounds.aim => "reached",
            some if some >= bounds.floor => "floor kept",
            _ => "**below the floor**",
        };
        let micros =
            |done: &Done| format!("{:.1} + {:.1}", done.client.as_secs_f64() * 1e6, done.servers.as_secs_f64() * 1e6);
        format!(
            "| {work} | {beside} | {}, depth {} | {:.0} | {:.0} | {} | {} | {ratio:.2} | {} | {} | {word} |\n",
            load.word,
            load.depth,
            ours.per_second,
            theirs.per_second,
            micros(ours),
            micros(theirs),
            bounds.floor,
            bounds.aim,
        )
    }
}

fn middle(rounds: &[Done]) -> Done {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
    sorted.get(sorted.len() / 2).copied().unwrap_or(Done {
        per_second: 0.0,
        client: Duration::ZERO,
        servers: Duration::ZERO,
    })
}
