//! Every state within some bounds, nearest first.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::super::Handover;
use super::happens::{Happens, How, What};
use super::world::{Bounds, Plant, Rules, World};

/// More would be a mistake in the bounds.
const STATES_MAX: usize = 8_000_000;

pub(super) struct Explored {
    pub(super) states: usize,
    pub(super) steps: usize,
    pub(super) depth: usize,
    pub(super) trouble: Option<Trouble>,
}

pub(super) struct Trouble {
    pub(super) what: String,
    pub(super) trace: Vec<String>,
}

/// States are few small numbers: multiplying and folding spreads them well enough, and takes no time.
#[derive(Default)]
struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }
    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }
    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}

struct Search {
    rules: Rules,
    numbers: HashMap<World, u32, BuildHasherDefault<Fold>>,
    worlds: Vec<World>,
    /// From where, and by what, each was found; and how far it is from the first.
    found: Vec<(u32, Happens, u32)>,
    /// Of what comes about by itself: to, from.
    edges: Vec<(u32, u32)>,
    steps: usize,
}

pub(super) fn explore(bounds: Bounds, plant: Plant) -> Explored {
    let mut search = Search::new(bounds, plant);
    let trouble = search.spread().or_else(|| search.stuck());
    let depth = search.found.last().map_or(0, |(_, _, depth)| *depth as usize);
    Explored { states: search.worlds.len(), steps: search.steps, depth, trouble }
}

impl Search {
    fn new(bounds: Bounds, plant: Plant) -> Self {
        let mut rules = Rules::new(bounds, plant);
        let first = rules.first();
        Search {
            rules,
            numbers: std::iter::once((first, 0)).collect(),
            worlds: vec![first],
            found: vec![(0, Happens { what: What::Starts(0), how: How::Whole }, 0)],
            edges: Vec::new(),
            steps: 0,
        }
    }

    /// Goes through all states; the nearest that is wrong, where there is one.
    fn spread(&mut self) -> Option<Trouble> {
        let mut at = 0;
        while at < self.worlds.len() {
            let world = self.worlds[at];
            for what in self.rules.possible(&world) {
                let all = match self.rules.follow(&world, what) {
                    Ok(all) => all,
                    Err((how, trouble)) => {
                        let trace = self.trace(at as u32, Some(Happens { what, how }));
                        return Some(Trouble { what: trouble, trace });
                    }
                };
                for (how, next) in all {
                    self.steps += 1;
                    if next != world {
                        self.note(at, Happens { what, how }, next);
                    }
                }
            }
            at += 1;
        }
        None
    }

    fn note(&mut self, at: usize, happens: Happens, next: World) {
        let new = self.worlds.len() as u32;
        let number = *self.numbers.entry(next).or_insert(new);
        if number == new {
            self.worlds.push(next);
            self.found.push((at as u32, happens, self.found[at].2 + 1));
            assert!(self.worlds.len() < STATES_MAX, "too many states");
        }
        if happens.by_itself() {
            self.edges.push((number, at as u32));
        }
    }

    /// The nearest state from which nothing that comes about by itself leads to one that is well.
    fn stuck(&mut self) -> Option<Trouble> {
        self.edges.sort_unstable();
        let mut well: Vec<bool> = self.worlds.iter().map(|world| self.rules.is_well(world)).collect();
        let mut left: Vec<u32> = (0..well.len() as u32).filter(|number| well[*number as usize]).collect();
        while let Some(number) = left.pop() {
            let start = self.edges.partition_point(|(to, _)| *to < number);
            for &(_, from) in self.edges[start..].iter().take_while(|(to, _)| *to == number) {
                if !std::mem::replace(&mut well[from as usize], true) {
                    left.push(from);
                }
            }
        }
        let stuck = well.iter().position(|well| !well)?;
        Some(Trouble {
            what: "from here it never runs at one place again".into(),
            trace: self.trace(stuck as u32, None),
        })
    }

    fn trace(&self, mut at: u32, last: Option<Happens>) -> Vec<String> {
        let mut trace: Vec<String> = last.map(|happens| self.told(at, happens)).into_iter().collect();
        while at != 0 {
            let (from, happens, _) = self.found[at as usize];
            trace.push(self.told(from, happens));
            at = from;
        }
        trace.reverse();
        trace
    }

    fn told(&self, at: u32, happens: Happens) -> String {
        let tables = &self.rules.tables;
        let how = if happens.how == How::Whole { String::new() } else { format!(", {:?}", happens.how) };
        match happens.what {
            What::Delivered(letter) => {
                let (from, to, word) = tables.letters.get(letter);
                format!("{from} to {to}: {word:?}{how}")
            }
            What::Done(h, which) => {
                let events = tables.events.get(self.worlds[at as usize].hosts[h].done);
                format!("{h}: {:?}{how}", events[which])
            }
            what => format!("{what:?}{how}"),
        }
    }
}

/// Every state that one host is in, in some state of the world.
pub(super) fn reached(bounds: Bounds) -> Vec<Handover> {
    let mut search = Search::new(bounds, Plant::None);
    assert!(search.spread().is_none());
    search.rules.tables.machines.all().to_vec()
}
