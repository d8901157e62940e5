//! Looks after a session from beside it: whether the target still answers, and whether the unit is another size.

use std::rc::Rc;

use fief_sdk::{spawn, timer};

use super::Shared;
use super::link::Phase;
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
    loop {
        timer::wait(LOOK).await;
        looks = looks.wrapping_add(1);
        if shared.closing.get() {
            return;
        }
        match &mut *shared.phase.borrow_mut() {
            Phase::Ended(_) => return,
            Phase::Down(_) => silent = 0,
            Phase::Up(link) => {
                silent = if std::mem::take(&mut link.heard) { 0 } else { silent + 1 };
                match silent {
                    ASK => link.session.ping(),
                    GIVE_UP => link.connection.shut(),
                    _ => {}
                }
            }
        }
        if silent == TELL {
            shared.degrade("the target does not answer");
        }
        shared.send_beside();
        if shared.look_again.take() || looks.is_multiple_of(SIZE) && silent < ASK {
            let shared = shared.clone();
            spawn(async move { shared.look().await });
        }
    }
}

impl Shared {
    /// Asks the unit what it is now. An answer that does not come now comes with another look.
    async fn look(self: &Rc<Self>) {
        match unit::examine(self, self.lun).await {
            Ok(unit) if unit.is_still(&self.unit.borrow()) => {
                self.learn(unit);
                self.ready();
            }
            // Another unit, or one that shrank: a new session waits for the right one.
            Ok(_) => {
                if let Phase::Up(link) = &*self.phase.borrow() {
                    link.connection.shut();
                }
            }
            Err(error) => fief_sdk::debug!("a look at the unit failed", cause = error.message),
        }
    }
}
