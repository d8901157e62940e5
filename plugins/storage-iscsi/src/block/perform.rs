//! One command of the guest's, up to an answer that it can have: sent again where the unit asks for that, waited for
//! where the unit is not ready.

use std::rc::Rc;

use fief_sdk::block::Event;
use fief_sdk::{Error, ErrorCode, Result, payload, timer};
use futures_channel::oneshot;

use super::link::Phase;
use super::{Lacks, Shared};
use crate::exchange::{Carrier, MOST_HUNG, given_up, reserved};
use crate::fence::acts::stand;
use crate::protocol::session::{Answer, Command, Data};
use crate::scsi::answer::{News, Verdict, moved, verdict};
use crate::scsi::sense::Sense;
use crate::unit;

/// How often a unit may have something to say before it does what it is asked for.
const MOST_NEWS: u32 = 100;
/// First and longest pause before a busy unit is asked again, in milliseconds.
const BUSY: (u32, u32) = (5, 1000);
/// Between two tries of a unit that is not ready, in milliseconds.
const NOT_READY: u32 = 500;
/// Tries after which the guest is told; then each command is tried once, until one succeeds.
const MOST_NOT_READY: u32 = 60;
/// Tries after which the host is told.
const SOON: u32 = 2;
/// Conflicts of one command, the unit having been found to be ours after each.
const MOST_FENCED: u32 = 3;

/// How long this command has been put off.
#[derive(Default)]
struct Patience {
    news: u32,
    busy: u32,
    not_ready: u32,
    fenced: u32,
    hung: u32,
}

impl Carrier for Rc<Shared> {
    async fn once(&self, command: Command) -> Result<(Command, Answer)> {
        Shared::once(self, command).await
    }
    async fn pause(&self, milliseconds: u32) {
        timer::wait(milliseconds).await;
    }
}

/// Errors of [`stand`] that say that another holds the unit.
pub(super) fn is_fence(error: &Error) -> bool {
    matches!(error.code, ErrorCode::InUse(_) | ErrorCode::WrongState)
}

impl Shared {
    /// Carries out one command; gives the data that came back.
    pub(super) async fn perform(self: &Rc<Self>, mut command: Command, what: &str) -> Result<payload::Data> {
        let mut patience = Patience::default();
        let mut flush_after = false;
        if self.unknown.get() {
            self.recognise().await?;
        }
        loop {
            let (back, answer) = self.once(command).await?;
            command = back;
            match verdict(&answer, what) {
                Verdict::Done => {
                    moved(&command, &answer, what)?;
                    self.ready();
                    if flush_after {
                        Box::pin(self.flush()).await?;
                    }
                    return Ok(answer.data);
                }
                Verdict::Again(news) => {
                    patience.news += 1;
                    if patience.news > MOST_NEWS {
                        return Err(Error::io(format!("{what}: the unit never comes to it")));
                    }
                    self.hear(news).await?;
                }
                Verdict::Busy => {
                    let pause = (BUSY.0 << patience.busy.min(10)).min(BUSY.1);
                    patience.busy += 1;
                    timer::wait(pause).await;
                }
                Verdict::NotReady(sense) => self.not_ready(sense, what, &mut patience).await?,
                Verdict::Hung => {
                    patience.hung += 1;
                    if patience.hung == MOST_HUNG || self.given_up.get() {
                        self.given_up.set(true);
                        self.degrade("a command has no answer, again and again");
                        return Err(given_up(what));
                    }
                }
                Verdict::Fenced => {
                    patience.fenced += 1;
                    if patience.fenced > MOST_FENCED {
                        return Err(self.fence(reserved(what)));
                    }
                    self.secure().await?;
                }
                // One that claims to have the bit FUA, and does not take it.
                Verdict::Failed(error) if error.code == ErrorCode::Unsupported && without_bit(&mut command) => {
                    self.lacks.set(Lacks { durable_writes: true, ..self.lacks.get() });
                    flush_after = true;
                }
                Verdict::Failed(error) => {
                    if error.code == ErrorCode::NotFound {
                        self.unknown.set(true);
                        self.degrade(&error.message);
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn once(self: &Rc<Self>, command: Command) -> Result<(Command, Answer)> {
        let (waiter, answer) = oneshot::channel();
        self.submit(waiter, command);
        self.send();
        answer.await.unwrap_or_else(|_| Err(Error::io("the command was given up")))
    }

    /// What the unit said by the way.
    pub(super) async fn hear(self: &Rc<Self>, news: News) -> Result<()> {
        match news {
            News::Nothing => Ok(()),
            News::Capacity | News::Mode => {
                self.look_again.set(true);
                Ok(())
            }
            News::Units => {
                self.look_again.set(true);
                self.recognise().await
            }
            // Whether it is still ours has to be known before anything is written.
            News::Reservations => self.secure().await,
        }
    }

    /// Whether the unit is the one that it was. If not, the session ends, and with the next one it is waited for the
    /// right unit to come back.
    async fn recognise(self: &Rc<Self>) -> Result<()> {
        self.unknown.set(true);
        let unit = unit::identify(self, self.lun).await?;
        if unit.is_still(&self.unit.borrow()) {
            self.unknown.set(false);
        } else if let Phase::Up(link) = &mut *self.phase.borrow_mut() {
            link.leave("another unit is there now");
        }
        Ok(())
    }

    /// Whether the unit is ours; if not, this server ends. Many commands may ask at a time; one asks for all.
    async fn secure(self: &Rc<Self>) -> Result<()> {
        let Some(ours) = self.ours else { return Err(reserved("cannot go on")) };
        let before = self.secured.get();
        let _turn = self.securing.lock().await;
        if self.secured.get() != before {
            return Ok(());
        }
        match stand(self, self.lun, ours, self.changes.get()).await {
            Ok(stood) => {
                self.changes.set(stood.map(|stood| stood.changes));
                self.secured.set(before + 1);
                Ok(())
            }
            Err(error) if is_fence(&error) => Err(self.fence(error)),
            Err(error) => Err(error),
        }
    }

    /// Another holds the unit: nothing is done here any more.
    pub(super) fn fence(&self, error: Error) -> Error {
        let told = error.message.clone();
        if self.end(error.clone()) {
            self.events.tell(Event::Fenced(told));
        }
        error
    }

    /// Every command fails from now on. False where that was so already.
    pub(super) fn end(&self, error: Error) -> bool {
        let before = std::mem::replace(&mut *self.phase.borrow_mut(), Phase::Ended(error.clone()));
        let waiting: Vec<_> = match before {
            Phase::Up(link) => {
                link.connection.shut();
                link.session.unfinished().into_iter().filter_map(|left| left.who).collect()
            }
            Phase::Down(waiting) => waiting.into_iter().map(|left| left.who).collect(),
            Phase::Ended(first) => {
                *self.phase.borrow_mut() = Phase::Ended(first);
                return false;
            }
        };
        for waiter in waiting {
            // Whoever gave up has no use for it.
            let _ = waiter.send(Err(error.clone()));
        }
        true
    }

    async fn not_ready(&self, sense: Sense, what: &str, patience: &mut Patience) -> Result<()> {
        patience.not_ready += 1;
        if patience.not_ready == SOON {
            self.degrade(&format!("the unit is not ready ({sense})"));
        }
        if patience.not_ready > MOST_NOT_READY || self.given_up.get() {
            self.given_up.set(true);
            return Err(Error::unreachable(format!("{what}: the unit is not ready ({sense})")));
        }
        timer::wait(NOT_READY).await;
        Ok(())
    }

    /// Calls wait, and the host is to know why.
    pub(super) fn degrade(&self, why: &str) {
        if !self.away.replace(true) {
            fief_sdk::warn!("the storage does not answer", volume = self.volume, cause = why);
            self.events.tell(Event::Degraded(why.to_owned()));
        }
    }

    /// The unit did something.
    pub(super) fn ready(&self) {
        self.given_up.set(false);
        if self.away.replace(false) {
            self.events.tell(Event::Restored);
        }
    }
}

/// Takes the bit FUA out of a write; false where there is none.
fn without_bit(command: &mut Command) -> bool {
    const WRITE: u8 = 0x8a;
    const FUA: u8 = 0x08;
    let durable = matches!(command.data, Data::Out(_)) && command.cdb[0] == WRITE && command.cdb[1] & FUA != 0;
    command.cdb[1] &= if durable { !FUA } else { 0xff };
    durable
}
