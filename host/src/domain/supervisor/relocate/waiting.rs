//! What a source that still may go on waits for.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::sending::{Pending, Work};
use crate::domain::relocation::Wish;
use crate::domain::relocation::talk::{Said, Talk};
use crate::error::{Context, Failure, Result};
use crate::gate::Gate;
use crate::hypervisor::qemu::qmp::Monitor;
use crate::migration::steps::{Answer, Ask};

/// What a strategy may take between two steps.
const STRATEGY_WITHIN: Duration = Duration::from_secs(60);

/// A step of the strategy's, with the way to its answer.
type Asked = (Ask, oneshot::Sender<Result<Answer>>);

/// The end of what goes on beside all else, or never.
pub(super) async fn worked(pending: &mut Option<Pending>) -> Result<Answer> {
    match pending {
        Some(Pending::Work { work, .. }) => work.as_mut().await,
        Some(Pending::Reserve(_) | Pending::Sample { .. }) | None => std::future::pending().await,
    }
}

/// Until the hypervisor tells of memory that goes over.
pub(super) async fn moves(monitor: Option<&Monitor>) {
    match monitor {
        Some(monitor) => monitor.moves().await,
        None => std::future::pending().await,
    }
}

/// Until the other host says a word.
pub(super) async fn word(talk: &mut Talk) -> Said {
    loop {
        match talk.heard.recv().await {
            Some(said @ Said::Word(Some(_))) => return said,
            Some(Said::Word(None) | Said::Away(_)) => {}
            None => std::future::pending().await,
        }
    }
}

pub(super) async fn round(rounds: &mut Option<Work>) -> Result<Answer> {
    match rounds {
        Some(round) => round.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Runs the strategy on a thread of its own: its steps, and how it ended.
pub(super) fn follow(gate: &Gate, wish: Wish) -> Result<(mpsc::Receiver<Asked>, oneshot::Receiver<Result<()>>)> {
    let gate = gate.clone();
    let (ask, asks) = mpsc::channel::<Asked>(1);
    let (end, ended) = oneshot::channel();
    let run = move || {
        let mut asking = |step: Ask| -> Result<Answer> {
            let gone = || Failure::conflict("the move is over");
            let (answer, answered) = oneshot::channel();
            ask.blocking_send((step, answer)).map_err(|_| gone())?;
            answered.blocking_recv().map_err(|_| gone())?
        };
        // Whoever waited may be gone.
        let ran = super::strategy(&gate, &wish).and_then(|mut strategy| strategy.run(STRATEGY_WITHIN, &mut asking));
        let _ = end.send(ran);
    };
    std::thread::Builder::new().name("strategy".into()).spawn(run).context(|| "cannot follow a strategy".to_owned())?;
    Ok((asks, ended))
}
