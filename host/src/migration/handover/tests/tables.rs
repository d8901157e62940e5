//! A state of the whole world is made of few different things in many combinations: each thing has a number, and a state
//! is a handful of them. What a step of a host gives is worked out once for each pair of state and event.

use std::collections::HashMap;
use std::hash::Hash;

use super::super::{Attempt, Event, Handover, Output, Standing, Word};

/// Things by number.
pub(super) struct Table<T> {
    numbers: HashMap<T, u16>,
    things: Vec<T>,
}

impl<T: Clone + Eq + Hash> Table<T> {
    fn new() -> Self {
        Table { numbers: HashMap::new(), things: Vec::new() }
    }
    pub(super) fn number(&mut self, thing: T) -> u16 {
        if let Some(&number) = self.numbers.get(&thing) {
            return number;
        }
        let number = u16::try_from(self.things.len()).unwrap();
        self.things.push(thing.clone());
        self.numbers.insert(thing, number);
        number
    }
    pub(super) fn all(&self) -> &[T] {
        &self.things
    }
    pub(super) fn get(&self, number: u16) -> &T {
        &self.things[usize::from(number)]
    }
}

/// A word on its way: from which host, to which.
pub(super) type Letter = (usize, usize, Word);

/// A set of letters, by number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Letters([u64; 4]);

impl Letters {
    pub(super) fn insert(&mut self, letter: u16) {
        assert!(letter < 256, "more words than a state has room for");
        self.0[usize::from(letter / 64)] |= 1 << (letter % 64);
    }
    pub(super) fn remove(&mut self, letter: u16) {
        self.0[usize::from(letter / 64)] &= !(1 << (letter % 64));
    }
    pub(super) fn each(self) -> impl Iterator<Item = u16> {
        (0..4u16).flat_map(move |word| {
            let bits = self.0[usize::from(word)];
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit)
        })
    }
}

pub(super) struct Tables {
    pub(super) attempts: Table<Attempt>,
    pub(super) letters: Table<Letter>,
    pub(super) standings: Table<Standing>,
    pub(super) machines: Table<Handover>,
    /// What is still to be carried out; 0 is nothing.
    pub(super) outputs: Table<Vec<Output>>,
    /// What a host is about to hear of its own acts; 0 is nothing.
    pub(super) events: Table<Vec<Event>>,
    steps: HashMap<(u16, Event), (u16, u16)>,
}

impl Tables {
    pub(super) fn new() -> Self {
        let mut tables = Tables {
            attempts: Table::new(),
            letters: Table::new(),
            standings: Table::new(),
            machines: Table::new(),
            outputs: Table::new(),
            events: Table::new(),
            steps: HashMap::new(),
        };
        tables.outputs.number(Vec::new());
        tables.events.number(Vec::new());
        tables
    }

    /// The state that follows, and what is to be carried out.
    pub(super) fn step(&mut self, machine: u16, event: Event) -> (u16, u16) {
        if let Some(&known) = self.steps.get(&(machine, event)) {
            return known;
        }
        let step = self.machines.get(machine).step(event);
        let numbers = (self.machines.number(step.next), self.outputs.number(step.outputs));
        self.steps.insert((machine, event), numbers);
        numbers
    }
}
