//! Two hosts and what is between them. Words that were said once may come at any time, any number of times, in any order,
//! or never: the set of them only grows.

use uuid::Uuid;

use super::super::{Attempt, Event, Handover, Holding, Memory, Peer, Phase, Standing, Word};
use super::tables::{Letters, Tables};

/// How far to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Whether the storage lets one host write at a time. Without, the words alone have to do.
    pub(super) fences: bool,
    /// Begun on either side.
    pub(super) attempts: u8,
    /// Deaths of a supervisor, a hypervisor or a host; records and fences that fail.
    pub(super) faults: u8,
    pub(super) claims: u8,
    /// Leaves out words that nobody will ever do anything about, which makes no difference but to the time that it takes.
    pub(super) forget: bool,
}

/// A protocol that is wrong in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plant {
    None,
    CedeUnsynced,
    TakenUnsynced,
    AttemptUnsynced,
    RefusalUnsynced,
    ResumeOnTimeout,
    GoneOnTimeout,
    RunBeforeFence,
    StageKeptOverRestart,
    DeclineTakenForRefusal,
    CedeBeforeClosed,
    ClaimKeepsMemory,
    OldWordsCount,
}

/// What a hypervisor has. `fresh`: no guest has run since that memory was of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Guest {
    None,
    Running,
    Still { fresh: bool },
    Incoming { attempt: u16, memory: Option<bool> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Host {
    /// What is read from its disk, and what is there after a power cut.
    pub(super) disk: u16,
    pub(super) durable: u16,
    pub(super) up: bool,
    /// The host itself is off, not its supervisor alone.
    pub(super) off: bool,
    pub(super) machine: u16,
    pub(super) done: u16,
    pub(super) guest: Guest,
    /// It can write to the volumes.
    pub(super) open: bool,
    pub(super) transfer: Option<u16>,
    /// What has come of an attempt lies about, and counts as received where that attempt is staged once more.
    pub(super) deposit: Option<(u16, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) hosts: [Host; 2],
    pub(super) sent: Letters,
    pub(super) holder: Option<u8>,
    pub(super) newest_fence: u8,
    pub(super) newest_owner: u8,
    pub(super) attempts: u8,
    pub(super) faults: u8,
    pub(super) claims: u8,
    pub(super) claimed: bool,
    /// A claim was begun by that host and has not taken the fences yet: the other one stays off, as the operator says.
    pub(super) claiming: Option<u8>,
}

pub(super) const fn peer(host: usize) -> Peer {
    Peer(Uuid::from_u128(host as u128 + 1))
}

fn host_of(peer: Peer) -> usize {
    usize::try_from(peer.0.as_u128()).unwrap() - 1
}

/// The rules of one search.
pub(super) struct Rules {
    pub(super) bounds: Bounds,
    pub(super) plant: Plant,
    pub(super) tables: Tables,
}

impl Rules {
    pub(super) fn new(bounds: Bounds, plant: Plant) -> Self {
        Rules { bounds, plant, tables: Tables::new() }
    }

    /// The domain runs at the first host, and the second has never heard of it.
    pub(super) fn first(&mut self) -> World {
        let mut host = |standing: Standing, runs: bool| {
            let disk = self.tables.standings.number(standing);
            let machine = self.tables.machines.number(Handover::new(standing));
            let guest = if runs { Guest::Running } else { Guest::None };
            Host {
                disk,
                durable: disk,
                up: true,
                off: false,
                machine,
                done: 0,
                guest,
                open: runs,
                transfer: None,
                deposit: None,
            }
        };
        World {
            hosts: [host(Standing::FIRST, true), host(Standing::FOREIGN, false)],
            sent: Letters::default(),
            holder: Some(0),
            newest_fence: 1,
            newest_owner: 1,
            attempts: self.bounds.attempts,
            faults: self.bounds.faults,
            claims: self.bounds.claims,
            claimed: false,
            claiming: None,
        }
    }

    pub(super) fn done(&mut self, host: &mut Host, event: Event) {
        if !host.up {
            return;
        }
        let mut events = self.tables.events.get(host.done).clone();
        if !events.contains(&event) {
            events.push(event);
            events.sort();
        }
        host.done = self.tables.events.number(events);
    }

    /// What is done anew voids what was not heard yet of how it was done before.
    pub(super) fn void(&mut self, host: &mut Host, void: impl Fn(&Event) -> bool) {
        let mut events = self.tables.events.get(host.done).clone();
        events.retain(|event| !void(event));
        host.done = self.tables.events.number(events);
    }

    /// It runs at one place, and nowhere else does anything stand for it.
    pub(super) fn is_well(&self, world: &World) -> bool {
        world.hosts.iter().enumerate().any(|(h, host)| {
            let other = &world.hosts[1 - h];
            let holding = |host: &Host| self.tables.standings.get(host.disk).holding;
            host.up
                && host.guest == Guest::Running
                && holding(host) == Holding::Owned
                && self.tables.machines.get(host.machine).phase == Phase::Idle
                && (!self.bounds.fences || world.holder == Some(h as u8))
                && matches!(holding(other), Holding::Foreign | Holding::Gone)
                && other.guest == Guest::None
        })
    }

    pub(super) fn letter(&mut self, from: usize, to: Peer, word: Word) -> u16 {
        self.tables.letters.number((from, host_of(to), word))
    }

    /// Forgets words that nobody will ever do anything about: those of an attempt that its source has given up for good, as
    /// far as it would not even answer them, and all of one that its target can never take either.
    pub(super) fn forget_words(&self, world: &mut World) {
        for letter in world.sent.each() {
            if self.is_idle_talk(world, letter) {
                world.sent.remove(letter);
            }
        }
    }

    fn is_idle_talk(&self, world: &World, letter: u16) -> bool {
        let (from, to, word) = *self.tables.letters.get(letter);
        let (source, target, attempt, answered) = match word {
            Word::Prepare(attempt) | Word::Activate(attempt) | Word::Cancel(attempt) => (from, to, attempt, true),
            Word::Prepared(attempt) | Word::Staged(attempt) => (to, from, attempt, true),
            Word::Activated(attempt) | Word::Refused(attempt) | Word::Declined(attempt) => (to, from, attempt, false),
            Word::Query | Word::Owner { .. } => return false,
        };
        let durable = |h: usize| *self.tables.standings.get(world.hosts[h].durable);
        let (here, there) = (&world.hosts[source], durable(target));
        let machine = self.tables.machines.get(here.machine);
        let under_way = here.up
            && (matches!(machine.phase, Phase::Handing(on, _) if on.attempt == attempt)
                || machine.standing.holding == Holding::Ceded
                    && machine.standing.last.is_some_and(|on| on.attempt == attempt));
        let written = durable(source);
        let ceded = written.holding == Holding::Ceded && written.last.is_some_and(|on| on.attempt == attempt);
        let over = written.number >= attempt.number && !under_way && !ceded;
        let taken = matches!(self.tables.machines.get(world.hosts[target].machine).phase, Phase::Taking(on, _) if on.attempt == attempt);
        let never = there.refused >= Some(attempt)
            || there.holding != Holding::Foreign && there.generation >= attempt.handed_over();
        over && (!answered || never && !taken)
    }

    pub(super) fn attempt(&mut self, attempt: Attempt) -> u16 {
        self.tables.attempts.number(attempt)
    }

    /// Whether a guest that goes on here goes on with memory that no guest has left behind.
    pub(super) const fn kept_is_fresh(guest: Guest, memory: Memory, staged: Option<u16>) -> bool {
        match (guest, memory) {
            (Guest::None | Guest::Running, _) => true,
            (Guest::Still { fresh }, Memory::Kept) => fresh,
            (Guest::Still { .. }, Memory::Staged(_)) => false,
            (Guest::Incoming { memory, .. }, Memory::Kept) => !matches!(memory, Some(false)),
            (Guest::Incoming { attempt, memory }, Memory::Staged(_)) => {
                matches!((staged, memory), (Some(staged), Some(true)) if staged == attempt)
            }
        }
    }
}
