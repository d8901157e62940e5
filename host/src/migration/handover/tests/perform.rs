//! A host carries out one thing. What must never be is found here, at the moment at which it would come about.

use super::super::{Action, Event, Holding, Memory, Output, Phase, Standing};
use super::happens::How;
use super::world::{Guest, Plant, Rules, World};

impl Rules {
    pub(super) fn carry_out(
        &mut self,
        world: &mut World,
        h: usize,
        before: u16,
        outputs: &[Output],
        how: How,
    ) -> Result<(), String> {
        for output in outputs {
            match *output {
                Output::Record(_) if how == How::RecordFails => {
                    let owns = self.tables.standings.get(world.hosts[h].disk).holding == Holding::Owned;
                    if !owns && world.claiming == Some(h as u8) {
                        world.claiming = None;
                    }
                    let step = self.tables.machines.get(before).unwritten();
                    world.hosts[h].machine = self.tables.machines.number(step.next);
                    return self.carry_out(world, h, before, &step.outputs, How::Whole);
                }
                Output::Record(standing) => self.record(world, h, standing)?,
                Output::Send(to, word) => world.sent.insert(self.letter(h, to, word)),
                Output::Do(action) => self.act(world, h, action, how == How::FenceFails)?,
                Output::Deny(_) => {}
            }
        }
        Ok(())
    }

    fn record(&mut self, world: &mut World, h: usize, standing: Standing) -> Result<(), String> {
        let old = *self.tables.standings.get(world.hosts[h].disk);
        let other = *self.tables.standings.get(world.hosts[1 - h].disk);
        if standing.number < old.number || standing.refused < old.refused {
            return Err("a count goes back".into());
        }
        if standing.generation < old.generation {
            return Err("a generation goes back".into());
        }
        match standing.holding {
            Holding::Owned if old.holding != Holding::Owned => self.becomes_owner(world, h, standing)?,
            Holding::Ceded if world.hosts[h].open => return Err("ceded, and its volumes are open".into()),
            Holding::Gone if other.holding == Holding::Foreign || other.generation < standing.generation => {
                return Err("gone, and nobody has it".into());
            }
            Holding::Owned | Holding::Ceded | Holding::Gone | Holding::Foreign => {}
        }
        let number = self.tables.standings.number(standing);
        let host = &mut world.hosts[h];
        host.disk = number;
        let unsynced = match self.plant {
            Plant::CedeUnsynced => standing.holding == Holding::Ceded,
            Plant::TakenUnsynced => standing.holding == Holding::Owned && old.holding != Holding::Owned,
            Plant::AttemptUnsynced => standing.number != old.number,
            Plant::RefusalUnsynced => standing.refused != old.refused,
            _ => false,
        };
        if !unsynced {
            host.durable = number;
        }
        Ok(())
    }

    fn becomes_owner(&mut self, world: &mut World, h: usize, standing: Standing) -> Result<(), String> {
        let other = *self.tables.standings.get(world.hosts[1 - h].disk);
        let generation = u8::try_from(standing.generation).unwrap();
        if generation <= world.newest_owner {
            return Err("a generation is given twice".into());
        }
        world.newest_owner = generation;
        if other.holding == Holding::Owned && !world.claimed {
            return Err("two own it".into());
        }
        let taken = standing.last.filter(|on| on.attempt.handed_over() == standing.generation);
        if let Some(on) = taken {
            let number = self.attempt(on.attempt);
            let whole = world.hosts[h].guest == Guest::Incoming { attempt: number, memory: Some(true) };
            let just_lost = self.tables.events.get(world.hosts[h].done).contains(&Event::StageFailed(on.attempt));
            if !whole && !just_lost {
                return Err("taken, and what was staged is not there, or old".into());
            }
        }
        Ok(())
    }

    fn act(&mut self, world: &mut World, h: usize, action: Action, fails: bool) -> Result<(), String> {
        self.void(&mut world.hosts[h], |event| voids(action, event));
        match action {
            Action::Stage(attempt) => self.stage(world, h, attempt),
            Action::DropStage(attempt) => {
                let number = self.attempt(attempt);
                if matches!(world.hosts[h].guest, Guest::Incoming { attempt, .. } if attempt == number) {
                    world.hosts[h].guest = Guest::None;
                }
            }
            Action::DropEveryStage => {
                if matches!(world.hosts[h].guest, Guest::Incoming { .. }) {
                    world.hosts[h].guest = Guest::None;
                }
            }
            Action::DropKept | Action::DropMemory(_) => {
                if self.plant != Plant::ClaimKeepsMemory {
                    world.hosts[h].guest = Guest::None;
                    world.hosts[h].open = false;
                }
            }
            Action::Transfer(attempt) => {
                if world.hosts[h].guest == Guest::Running {
                    world.hosts[h].transfer = Some(self.attempt(attempt));
                } else {
                    self.done(&mut world.hosts[h], Event::TransferFailed(attempt));
                }
            }
            Action::StopTransfer(_) => world.hosts[h].transfer = None,
            Action::Close(attempt) => {
                if self.plant != Plant::CedeBeforeClosed {
                    world.hosts[h].open = false;
                    world.holder = world.holder.filter(|holder| usize::from(*holder) != h);
                }
                self.done(&mut world.hosts[h], Event::Closed(attempt));
            }
            Action::TakeFence { generation, force } => self.take_fence_of(world, h, generation, force, fails),
            Action::LetFenceGo => world.holder = world.holder.filter(|holder| usize::from(*holder) != h),
            Action::Run(memory) => return self.run(world, h, memory),
            Action::Forget => {
                if world.hosts[h].guest == Guest::Running {
                    return Err("a guest is ended that runs".into());
                }
                (world.hosts[h].guest, world.hosts[h].open) = (Guest::None, false);
            }
        }
        Ok(())
    }

    fn stage(&mut self, world: &mut World, h: usize, attempt: super::super::Attempt) {
        let number = self.attempt(attempt);
        let host = &mut world.hosts[h];
        if matches!(host.guest, Guest::Running | Guest::Still { .. }) {
            return self.done(host, Event::StageFailed(attempt));
        }
        let memory = host.deposit.filter(|(of, _)| *of == number).map(|(_, fresh)| fresh);
        host.guest = Guest::Incoming { attempt: number, memory };
        self.done(&mut world.hosts[h], Event::Ready(attempt));
        if memory.is_some() {
            self.done(&mut world.hosts[h], Event::Received(attempt));
        }
    }

    fn take_fence_of(&mut self, world: &mut World, h: usize, generation: u64, force: bool, fails: bool) {
        let taking = matches!(self.tables.machines.get(world.hosts[h].machine).phase, Phase::Taking(..));
        let number = u8::try_from(generation).unwrap();
        let others = world.holder.is_some_and(|holder| usize::from(holder) != h);
        let event = if fails {
            Event::FenceFailed { generation }
        } else if self.plant == Plant::RunBeforeFence && taking || !self.bounds.fences {
            Event::FenceTaken { generation }
        } else if !force && (others || world.newest_fence > number) {
            Event::FenceHeld { generation }
        } else {
            world.holder = Some(h as u8);
            world.newest_fence = world.newest_fence.max(number);
            if world.claiming == world.holder {
                world.claiming = None;
            }
            Event::FenceTaken { generation }
        };
        self.done(&mut world.hosts[h], event);
    }

    fn run(&mut self, world: &mut World, h: usize, memory: Memory) -> Result<(), String> {
        let standing = *self.tables.standings.get(world.hosts[h].disk);
        if standing.holding != Holding::Owned {
            return Err("what this host does not own runs".into());
        }
        if self.bounds.fences && world.holder != Some(h as u8) {
            return Err("a guest runs whose fences are not taken".into());
        }
        if standing.generation < world.newest_owner.into() {
            return Err("a guest runs whose owner is not the newest".into());
        }
        let other = &world.hosts[1 - h];
        if other.guest == Guest::Running {
            return Err("two guests run".into());
        }
        if other.open {
            return Err("two hosts can write".into());
        }
        let staged = match memory {
            Memory::Kept => None,
            Memory::Staged(attempt) => Some(self.attempt(attempt)),
        };
        let guest = world.hosts[h].guest;
        if !Rules::kept_is_fresh(guest, memory, staged) {
            return Err("a guest goes on with memory that another has left behind".into());
        }
        for (which, host) in world.hosts.iter_mut().enumerate() {
            host.deposit = host.deposit.map(|(of, _)| (of, false));
            host.guest = match host.guest {
                _ if which == h => Guest::Running,
                Guest::Still { .. } => Guest::Still { fresh: false },
                Guest::Incoming { attempt, memory: Some(_) } => Guest::Incoming { attempt, memory: Some(false) },
                Guest::None | Guest::Running | Guest::Incoming { memory: None, .. } => host.guest,
            };
        }
        (world.hosts[h].open, world.hosts[h].transfer) = (true, None);
        Ok(())
    }
}

/// Whether `event` is how something was done that `action` does anew, or undoes.
fn voids(action: Action, event: &Event) -> bool {
    match (action, event) {
        (
            Action::TakeFence { .. } | Action::LetFenceGo,
            Event::FenceTaken { .. } | Event::FenceHeld { .. } | Event::FenceFailed { .. },
        )
        | (Action::DropEveryStage, Event::Ready(_) | Event::Received(_) | Event::StageFailed(_)) => true,
        (
            Action::Stage(attempt) | Action::DropStage(attempt) | Action::DropMemory(attempt),
            Event::Ready(of) | Event::Received(of) | Event::StageFailed(of),
        )
        | (
            Action::Transfer(attempt) | Action::StopTransfer(attempt) | Action::Close(attempt),
            Event::Transferred(of) | Event::TransferFailed(of) | Event::Closed(of) | Event::CloseFailed(of),
        ) => attempt == *of,
        _ => false,
    }
}
