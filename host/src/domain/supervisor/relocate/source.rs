//! A source's words and its hypervisor, up to the moment from which its guest stands still for good.

use std::path::PathBuf;

use super::channels::{Reaches, Sends};
use super::posting::Post;
use super::still;
use crate::domain::relocation::driver::Machine;
use crate::domain::relocation::talk::Talk;
use crate::error::Result;
use crate::hypervisor::qemu::qmp::{Monitor, RunState};
use crate::migration::handover::{Action, Event, Peer, Word};
use crate::migration::message::{Message, Offer};

/// What the source of a move does until it cedes.
pub(super) struct Source {
    pub(super) talk: Talk,
    pub(super) post: Post,
    pub(super) target: Peer,
    pub(super) domain: uuid::Uuid,
    pub(super) offer: Offer,
    pub(super) monitor: Option<Monitor>,
    pub(super) ran: bool,
    /// Memory goes over, or did.
    pub(super) sends: bool,
    /// Its state is in a file, or on the way there.
    pub(super) saved: bool,
    pub(super) reaches: Option<Reaches>,
    /// Memory on its way.
    pub(super) carries: Option<Sends>,
    /// The domain's.
    pub(super) folder: PathBuf,
    /// The target is ready.
    pub(super) prepared: bool,
}

impl Source {
    /// Of a domain that was ceded to that host by an earlier supervisor.
    pub(super) fn of_ceded(
        talk: Talk,
        target: Peer,
        domain: uuid::Uuid,
        offer: Offer,
        monitor: Option<Monitor>,
        folder: PathBuf,
    ) -> Source {
        let post = Post::default();
        Source {
            talk,
            post,
            target,
            domain,
            offer,
            monitor,
            ran: false,
            sends: false,
            saved: true,
            reaches: None,
            carries: None,
            folder,
            prepared: true,
        }
    }

    pub(super) fn say(&mut self, to: Peer, word: Word) {
        let message = Message::of(self.domain, word, || self.offer.clone(), Vec::new);
        if to == self.target { self.talk.say(&message) } else { self.post.put(to.0, message) }
    }

    /// The hypervisor gives up what it sends. The guest goes on by that where it stood still for it.
    pub(super) async fn stop_sending(&mut self) {
        if std::mem::take(&mut self.saved)
            && let Some(monitor) = &self.monitor
        {
            // One that is over cannot be cancelled.
            let _ = monitor.cancel_state().await;
            still::clear(&self.folder);
        }
        let carries = self.carries.take();
        if let Some(sends) = &carries {
            sends.stop();
        }
        let Some(monitor) = self.monitor.as_ref().filter(|_| std::mem::take(&mut self.sends)) else { return };
        if let Err(failure) = monitor.give_up().await {
            tracing::warn!(%failure, "the hypervisor does not give up sending its guest");
        }
        if let Some(sends) = carries {
            sends.close();
        }
    }

    /// Whether its guest runs again.
    pub(super) async fn goes_on(&self) -> Result<()> {
        let Some(monitor) = self.monitor.as_ref().filter(|_| self.ran) else { return Ok(()) };
        match monitor.status().await? {
            RunState::Running => Ok(()),
            _ => monitor.resume().await,
        }
    }
}

impl Machine for Source {
    async fn act(&mut self, action: Action) -> Vec<Event> {
        match action {
            Action::Transfer(_) => {
                self.prepared = true;
                Vec::new()
            }
            Action::StopTransfer(_) => {
                self.stop_sending().await;
                Vec::new()
            }
            // Nothing was let go of yet.
            Action::TakeFence { generation, .. } => vec![Event::FenceTaken { generation }],
            Action::Run(_) => {
                if let Err(failure) = self.goes_on().await {
                    tracing::error!(%failure, "the guest could not be let go on");
                }
                Vec::new()
            }
            Action::Stage(_)
            | Action::DropStage(_)
            | Action::DropMemory(_)
            | Action::DropKept
            | Action::DropEveryStage
            | Action::Close(_)
            | Action::LetFenceGo
            | Action::Forget => Vec::new(),
        }
    }

    fn send(&mut self, to: Peer, word: Word) {
        self.say(to, word);
    }
}
