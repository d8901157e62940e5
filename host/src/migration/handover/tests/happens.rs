//! What may happen next in a state, and the states that follow from it.
//!
//! A host carries out what follows from an event one by one, and may die between any two. The other host does nothing in
//! between: of all that follows from one event, at most one thing touches what both see, so that it would make no difference.

use super::super::{Action, Attempt, Event, Handover, Holding, Output, Phase, Taking, Word};
use super::world::{Guest, Plant, Rules, World, peer};

/// What may happen next, and how far what follows from it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Happens {
    pub(super) what: What,
    pub(super) how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Done(usize, usize),
    Delivered(u16),
    Begin(usize),
    Claim(usize),
    /// One that was cut off is said again until it is through.
    ClaimAgain(usize),
    Tick(usize),
    Silence(usize),
    Settle(usize),
    Arrives(usize),
    Breaks(usize),
    SupervisorDies(usize),
    HostDies(usize),
    HypervisorDies(usize),
    Starts(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Whole,
    /// After so many things, the supervisor is gone, or the host.
    SupervisorDiesAfter(usize),
    HostDiesAfter(usize),
    /// The first record is not written.
    RecordFails,
    /// The storage does not answer.
    FenceFails,
}

impl Happens {
    /// What surely comes about where nothing fails any more and no operator says anything.
    pub(super) const fn by_itself(self) -> bool {
        let what = match self.what {
            What::Done(..)
            | What::Delivered(_)
            | What::Tick(_)
            | What::Silence(_)
            | What::Settle(_)
            | What::Arrives(_)
            | What::ClaimAgain(_)
            | What::Starts(_) => true,
            What::Begin(_)
            | What::Claim(_)
            | What::Breaks(_)
            | What::SupervisorDies(_)
            | What::HostDies(_)
            | What::HypervisorDies(_) => false,
        };
        what && matches!(self.how, How::Whole)
    }
}

impl Rules {
    /// All that may happen in a state.
    pub(super) fn possible(&self, world: &World) -> Vec<What> {
        let mut all = Vec::with_capacity(24);
        for (h, host) in world.hosts.iter().enumerate() {
            let kept_off = world.claiming.is_some_and(|claims| usize::from(claims) != h);
            if host.up {
                self.possible_at(world, h, &mut all);
            } else if !kept_off {
                all.push(What::Starts(h));
            }
            if host.transfer.is_some() && host.guest == Guest::Running {
                all.push(What::Breaks(h));
                if matches!(world.hosts[1 - h].guest, Guest::Incoming { attempt, .. } if host.transfer == Some(attempt))
                {
                    all.push(What::Arrives(h));
                }
            }
            if world.faults > 0 {
                let deaths = [
                    (host.up, What::SupervisorDies(h)),
                    (!host.off, What::HostDies(h)),
                    (host.guest != Guest::None, What::HypervisorDies(h)),
                ];
                all.extend(deaths.into_iter().filter_map(|(possible, what)| possible.then_some(what)));
            }
        }
        all
    }

    fn possible_at(&self, world: &World, h: usize, all: &mut Vec<What>) {
        let host = &world.hosts[h];
        let machine = self.tables.machines.get(host.machine);
        all.extend((0..self.tables.events.get(host.done).len()).map(|which| What::Done(h, which)));
        let to_here = world.sent.each().filter(|letter| self.tables.letters.get(*letter).1 == h);
        all.extend(to_here.map(What::Delivered));
        // An operator who ends a move does what silence does (words.rs).
        all.extend([What::Tick(h), What::Silence(h)]);
        let rests = machine.standing.holding == Holding::Owned && machine.phase == Phase::Idle;
        if rests && world.attempts > 0 {
            all.push(What::Begin(h));
        }
        if rests && host.guest != Guest::Running {
            all.push(What::Settle(h));
        }
        // An operator says that the other host is off, and it is.
        if world.hosts[1 - h].off && world.claiming == Some(h as u8) {
            // Not before it is clear whether there is anything to claim.
            if machine.phase != (Phase::Settling { force: false }) {
                all.push(What::ClaimAgain(h));
            }
        } else if world.hosts[1 - h].off && world.claims > 0 {
            all.push(What::Claim(h));
        }
    }

    /// The states that may follow, each with how it came.
    ///
    /// # Errors
    /// What must never be, and how that came.
    pub(super) fn follow(&mut self, world: &World, what: What) -> Result<Vec<(How, World)>, (How, String)> {
        let (world, step) = self.begin(*world, what);
        let Some((h, next, outputs)) = step else { return Ok(vec![(How::Whole, world)]) };
        let things = self.tables.outputs.get(outputs).clone();
        let mut ways = vec![How::Whole];
        if world.faults > 0 {
            // To die before a word is said is to say it and not be heard.
            let matters = |done: &usize| things[*done..].iter().any(|thing| !matches!(thing, Output::Send(..)));
            for done in (1..things.len()).filter(matters) {
                ways.extend([How::SupervisorDiesAfter(done), How::HostDiesAfter(done)]);
            }
            if things.iter().any(|thing| matches!(thing, Output::Record(_))) {
                ways.push(How::RecordFails);
            }
            if things.iter().any(|thing| matches!(thing, Output::Do(Action::TakeFence { .. }))) {
                ways.push(How::FenceFails);
            }
        }
        let mut all = Vec::with_capacity(ways.len());
        for how in ways {
            let mut world = world;
            let before = std::mem::replace(&mut world.hosts[h].machine, next);
            world.faults -= u8::from(how != How::Whole);
            let end = match how {
                How::Whole | How::RecordFails | How::FenceFails => things.len(),
                How::SupervisorDiesAfter(done) | How::HostDiesAfter(done) => done,
            };
            self.carry_out(&mut world, h, before, &things[..end], how).map_err(|trouble| (how, trouble))?;
            match how {
                How::SupervisorDiesAfter(_) => self.dies(&mut world, h, false),
                How::HostDiesAfter(_) => self.dies(&mut world, h, true),
                How::Whole | How::RecordFails | How::FenceFails => {}
            }
            if self.bounds.forget {
                self.forget_words(&mut world);
            }
            all.push((how, world));
        }
        Ok(all)
    }

    /// What happens to the world itself; and where a host makes a step of it, which host, and that step.
    fn begin(&mut self, mut world: World, what: What) -> (World, Option<(usize, u16, u16)>) {
        let before = (world.claimed, world.claiming);
        let (h, event) = match what {
            What::Done(h, which) => {
                let mut events = self.tables.events.get(world.hosts[h].done).clone();
                let event = events.remove(which);
                world.hosts[h].done = self.tables.events.number(events);
                (h, event)
            }
            What::Delivered(letter) => {
                let (from, to, word) = *self.tables.letters.get(letter);
                let word = self.misheard(&world, to, word);
                (to, Event::Heard { from: peer(from), word })
            }
            What::Begin(h) => {
                world.attempts -= 1;
                (h, Event::Begin { to: peer(1 - h) })
            }
            What::Claim(h) => {
                world.claims -= 1;
                (world.claimed, world.claiming) = (true, Some(h as u8));
                (h, Event::Claim { seen: world.newest_fence.into() })
            }
            What::ClaimAgain(h) => (h, Event::Claim { seen: world.newest_fence.into() }),
            What::Tick(h) => (h, self.tick(&world, h)),
            What::Silence(h) => (h, Event::Silence),
            What::Settle(h) => (h, Event::Settle),
            What::Starts(h) => {
                let step = self.starts(&mut world, h);
                return (world, step);
            }
            What::Arrives(h) => {
                self.arrives(&mut world, h);
                return (world, None);
            }
            What::Breaks(h) => {
                self.breaks(&mut world, h);
                return (world, None);
            }
            What::SupervisorDies(h) | What::HostDies(h) => {
                world.faults -= 1;
                self.dies(&mut world, h, what == What::HostDies(h));
                return (world, None);
            }
            What::HypervisorDies(h) => {
                world.faults -= 1;
                self.hypervisor_dies(&mut world, h);
                return (world, None);
            }
        };
        let (next, outputs) = self.tables.step(world.hosts[h].machine, event);
        if what == What::Claim(h) && self.denies(outputs) {
            (world.claimed, world.claiming) = before;
        }
        // It is gone from here meanwhile, as the operator is told.
        if what == What::ClaimAgain(h) && self.denies(outputs) {
            world.claiming = None;
        }
        (world, Some((h, next, outputs)))
    }

    fn denies(&self, outputs: u16) -> bool {
        matches!(self.tables.outputs.get(outputs)[..], [Output::Deny(_)])
    }

    fn misheard(&self, world: &World, to: usize, word: Word) -> Word {
        let standing = self.tables.machines.get(world.hosts[to].machine).standing;
        match (word, self.plant, standing.last) {
            (Word::Declined(attempt), Plant::DeclineTakenForRefusal, _) => Word::Refused(attempt),
            (Word::Refused(_), Plant::OldWordsCount, Some(on)) => Word::Refused(on.attempt),
            (Word::Activated(_), Plant::OldWordsCount, Some(on)) => Word::Activated(on.attempt),
            _ => word,
        }
    }

    fn tick(&self, world: &World, h: usize) -> Event {
        let standing = self.tables.machines.get(world.hosts[h].machine).standing;
        let word = |word: fn(Attempt) -> Word| match standing.last {
            Some(on) if standing.holding == Holding::Ceded => Event::Heard { from: on.peer, word: word(on.attempt) },
            _ => Event::Tick,
        };
        match self.plant {
            Plant::ResumeOnTimeout => word(Word::Refused),
            Plant::GoneOnTimeout => word(Word::Activated),
            _ => Event::Tick,
        }
    }

    fn arrives(&mut self, world: &mut World, h: usize) {
        let Some(number) = world.hosts[h].transfer.take() else { return };
        let attempt = *self.tables.attempts.get(number);
        world.hosts[h].guest = Guest::Still { fresh: true };
        self.done(&mut world.hosts[h], Event::Transferred(attempt));
        let target = &mut world.hosts[1 - h];
        // What has come of that attempt already is not sent once more.
        if matches!(target.guest, Guest::Incoming { memory: None, .. }) {
            target.guest = Guest::Incoming { attempt: number, memory: Some(true) };
            target.deposit = Some((number, true));
        }
        self.done(target, Event::Received(attempt));
    }

    fn breaks(&mut self, world: &mut World, h: usize) {
        if let Some(number) = world.hosts[h].transfer.take() {
            let attempt = *self.tables.attempts.get(number);
            self.done(&mut world.hosts[h], Event::TransferFailed(attempt));
        }
    }

    fn dies(&mut self, world: &mut World, h: usize, whole: bool) {
        let staged = matches!(self.tables.machines.get(world.hosts[h].machine).phase, Phase::Taking(_, Taking::Staged));
        let host = &mut world.hosts[h];
        host.up = false;
        host.done = 0;
        if self.plant != Plant::StageKeptOverRestart || !staged {
            host.machine = 0;
        }
        if whole {
            host.off = true;
            host.disk = host.durable;
            (host.guest, host.open, host.transfer) = (Guest::None, false, None);
        }
    }

    fn hypervisor_dies(&mut self, world: &mut World, h: usize) {
        self.breaks(world, h);
        let host = &mut world.hosts[h];
        let guest = std::mem::replace(&mut host.guest, Guest::None);
        host.open = false;
        if let Guest::Incoming { attempt, .. } = guest {
            let attempt = *self.tables.attempts.get(attempt);
            self.done(&mut world.hosts[h], Event::StageFailed(attempt));
        }
    }

    /// The step by which a host's part begins anew.
    fn starts(&mut self, world: &mut World, h: usize) -> Option<(usize, u16, u16)> {
        let host = &mut world.hosts[h];
        (host.up, host.off) = (true, false);
        if self.plant == Plant::StageKeptOverRestart && host.machine != 0 {
            return None;
        }
        let standing = *self.tables.standings.get(host.disk);
        // A claim that was cut off before it was on disk is none.
        if standing.holding != Holding::Owned && world.claiming == Some(h as u8) {
            world.claiming = None;
        }
        let step = Handover::restarted(standing);
        Some((h, self.tables.machines.number(step.next), self.tables.outputs.number(step.outputs)))
    }
}
