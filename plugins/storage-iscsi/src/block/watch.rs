//! Looks after a session from beside it: whether the target still answers, whether a command hangs, and whether the unit
//! is another size.

use std::rc::Rc;

use fief_sdk::{spawn, timer};

use super::Shared;
use super::link::Phase;
use crate::protocol::session::Health;
use crate::scsi::command::patience;
use crate::unit;

/// Between two looks, in milliseconds; all below counts in looks.
const LOOK: u32 = 1000;
/// Silence after which the target is asked for a sign of life, after which the host is told, and after which the
/// session is given up.
const ASK: u32 = 5;
const TELL: u32 = 10;
const GIVE_UP: u32 = 15;
/// How often the size is asked for: there are targets that do not say that it changed.
const SIZE: u32 = 10;

pub(super) async fn watch(shared: Rc<Shared>) {
    let mut silent = 0;
    let mut looks: u32 = 0;
    let limit = shared.pool.settings.command_timeout.0;
    loop {
        timer::wait(LOOK).await;
        looks = looks.wrapping_add(1);
        if shared.closing.get() {
            return;
        }
        let mut waits = 0;
        match &mut *shared.phase.borrow_mut() {
            Phase::Ended(_) => return,
            Phase::Down(_) => silent = 0,
            Phase::Up(link) => {
                silent = if std::mem::take(&mut link.heard) { 0 } else { silent + 1 };
                match silent {
                    ASK => link.session.ping(),
                    GIVE_UP => link.leave("the target does not answer"),
                    _ => {}
                }
                match link.session.second(|command| patience(command, limit)) {
                    Health::Waits(seconds) => waits = seconds,
                    Health::Lost => link.leave("a command has no answer, and the target does not give it up"),
                }
            }
        }
        if silent == TELL {
            shared.degrade("the target does not answer");
        }
        if waits == limit.div_ceil(3) {
            shared.degrade(&format!("a command has had no answer for {waits} s"));
        }
        shared.send();
        // A guest that stands still because of an error asks for nothing: somebody has to see that the unit is back.
        let away = shared.away.get() && waits == 0;
        let due = shared.look_again.take() || (away || looks.is_multiple_of(SIZE)) && silent < ASK;
        if due && !shared.looking.replace(true) {
            let shared = shared.clone();
            spawn(async move {
                shared.look().await;
                shared.looking.set(false);
            });
        }
    }
}

impl Shared {
    /// Asks the unit what it is now. An answer that does not come now comes with another look.
    async fn look(self: &Rc<Self>) {
        match unit::examine(self, self.lun).await {
            Ok(unit) if unit.is_still(&self.unit.borrow()) => {
                self.learn(unit);
                self.unknown.set(false);
                self.ready();
            }
            // Another unit, or one that shrank: a new session waits for the right one.
            Ok(_) => {
                if let Phase::Up(link) = &mut *self.phase.borrow_mut() {
                    link.leave("another unit is there now");
                }
            }
            Err(error) => fief_sdk::debug!("a look at the unit failed", cause = error.message),
        }
    }
}
