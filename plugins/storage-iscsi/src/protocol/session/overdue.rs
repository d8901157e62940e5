//! Commands that have had no answer for too long, of a target that lives (RFC 7143, sections 11.5 and 11.6).
//!
//! ```text
//!   overdue ─▸ ABORT TASK ─▸ LOGICAL UNIT RESET ─▸ Lost: a new login ends what the session had
//!                  │ done            │ done
//!                  ▾                 ▾
//!              End::Hung         End::Hung for all of the unit's
//! ```
//! A command is handed back only once the target said that it will not be carried out any more, or its session is gone:
//! a write that comes about after a later one to the same place would undo that.

use super::{Answer, Command, Event, Session, Task};
use crate::protocol::Fault;
use crate::protocol::header::NONE;
use crate::protocol::request::{self, Function};

/// Seconds that a target has to abort a command, or to reset a unit.
const ANSWER: u32 = 10;
/// Seconds that a target's window may be shut while nothing is in flight.
const SHUT: u32 = 30;

/// How the commands in flight are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The oldest was sent so many seconds ago; 0 where there is none.
    Waits(u32),
    /// The target does nothing about those that are overdue: the session has to end.
    Lost,
}

/// What the target was asked to do about an overdue command.
#[derive(Debug)]
pub(super) struct Managing {
    tag: u32,
    lun: [u8; 8],
    act: Act,
    seconds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Abort { task: u32 },
    Reset,
}

impl<W> Session<W> {
    /// One more second went by. `limit` says how many a command may take.
    pub fn second(&mut self, limit: impl Fn(&Command) -> u32) -> Health {
        for task in self.tasks.values_mut() {
            task.seconds = task.seconds.saturating_add(1);
            task.suspect |= task.seconds >= limit(&task.command);
        }
        self.shut = if self.tasks.is_empty() && !self.waiting.is_empty() { self.shut + 1 } else { 0 };
        if self.shut >= SHUT {
            return Health::Lost;
        }
        match &mut self.managing {
            None => self.abort_oldest(),
            Some(managing) => {
                managing.seconds += 1;
                if managing.seconds >= ANSWER {
                    match managing.act {
                        Act::Abort { .. } => self.reset(),
                        Act::Reset => return Health::Lost,
                    }
                }
            }
        }
        Health::Waits(self.tasks.values().map(|task| task.seconds).max().unwrap_or_default())
    }

    /// The session ends by a fault, and any command in flight may be why.
    pub fn suspect(&mut self) {
        self.tasks.values_mut().for_each(|task| task.suspect = true);
    }

    /// While a unit is being reset nothing new goes to it.
    pub(super) fn resets(&self) -> bool {
        self.managing.as_ref().is_some_and(|managing| managing.act == Act::Reset)
    }

    fn abort_oldest(&mut self) {
        // All numbers lie behind the next one, the oldest farthest.
        let next = self.sequence.immediate_command();
        let overdue = self.tasks.iter().filter(|(_, task)| task.suspect);
        let oldest = overdue.min_by_key(|(_, task)| task.number.wrapping_sub(next));
        let Some((task, number, lun)) = oldest.map(|(tag, task)| (*tag, task.number, task.command.lun)) else { return };
        let tag = self.tag();
        self.managing = Some(Managing { tag, lun, act: Act::Abort { task }, seconds: 0 });
        self.immediate(request::task_management(tag, Function::AbortTask, lun, task, number), &[]);
    }

    /// In place of an abort that did not help.
    fn reset(&mut self) {
        let tag = self.tag();
        let Some(managing) = &mut self.managing else { return };
        *managing = Managing { tag, act: Act::Reset, seconds: 0, ..*managing };
        let lun = managing.lun;
        self.immediate(request::task_management(tag, Function::LogicalUnitReset, lun, NONE, 0), &[]);
    }

    /// The target answered: 0 where it did what it was asked for (section 11.6.1).
    pub(super) fn managed(&mut self, tag: u32, response: u8, event: &mut impl FnMut(Event<W>)) -> Result<(), Fault> {
        // An answer to an abort that the target was not waited for.
        let Some(managing) = self.managing.take_if(|managing| managing.tag == tag) else { return Ok(()) };
        match (managing.act, response) {
            (Act::Abort { task }, 0) => {
                if let Some(task) = self.tasks.remove(&task) {
                    event(hung(task));
                }
                self.abort_oldest();
            }
            (Act::Abort { task }, _) if self.tasks.contains_key(&task) => {
                self.managing = Some(managing);
                self.reset();
            }
            // Its answer came before that of the abort.
            (Act::Abort { .. }, _) => self.abort_oldest(),
            (Act::Reset, 0) => {
                let (of_unit, rest) = std::mem::take(&mut self.tasks)
                    .into_iter()
                    .partition::<std::collections::HashMap<_, _>, _>(|(_, task)| task.command.lun == managing.lun);
                self.tasks = rest;
                of_unit.into_values().for_each(|task| event(hung(task)));
            }
            (Act::Reset, _) => return Err(Fault::Stuck),
        }
        Ok(())
    }
}

fn hung<W>(task: Task<W>) -> Event<W> {
    Event::Answered { who: task.who, command: task.command, answer: Answer::hung() }
}
