//! Watches that the packet filters before a running guest stay there: other programs flush the rules of the whole host
//! (`nft flush ruleset`, a firewall that is started anew). What is gone is made again.
//!
//! ```text
//!   the kernel tells of a change ─▸ is it to a table of ours? ─▸ wait for it to settle ─▸ look, make again
//! ```

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::{Failure, Result};
use crate::gate::{FILTER_PREFIX, Gate, Ledger, filter_tables};
use crate::network;
use crate::sys::filter_news::{FilterNews, Lost};

/// From the first word of a change to the look: a program that takes rules away puts its own in place meanwhile.
const SETTLE: Duration = Duration::from_millis(200);
/// From a look that failed to the next.
const AGAIN: Duration = Duration::from_secs(5);

/// What one supervisor watches.
pub struct Filters {
    gate: Gate,
    ledger: PathBuf,
    news: Option<FilterNews>,
    due: Option<Instant>,
    look: Option<JoinHandle<Result<Vec<String>>>>,
    failed: bool,
}

impl Filters {
    /// To be called in the loop's runtime. With `at_once`, a first look is due: nobody watched until now.
    pub fn of(gate: &Gate, ledger: PathBuf, at_once: bool) -> Self {
        let news = FilterNews::listen();
        // A guest without privilege has no filter either.
        let news = news.inspect_err(|error| tracing::debug!(%error, "packet filters are not watched")).ok();
        let due = at_once.then(Instant::now);
        Filters { gate: gate.clone(), ledger, news, due, look: None, failed: false }
    }

    /// Watches for ever; may be dropped and called again.
    pub async fn tend(&mut self) -> Infallible {
        loop {
            if let Some(look) = &mut self.look {
                let looked = look.await.unwrap_or_else(|_| Err(Failure::other("looking at the filters panicked")));
                self.look = None;
                self.looked(looked);
            } else if let Some(due) = self.due {
                tokio::time::sleep_until(due).await;
                self.due = None;
                self.look = Some(self.start_look());
            } else if let Some(news) = &self.news {
                match news.next().await {
                    Ok(lost) if self.concerns(&lost) => self.due = Some(Instant::now() + SETTLE),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "packet filters are watched no longer");
                        self.news = None;
                    }
                }
            } else {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether something of ours was taken. What the domain has now is in its ledger.
    fn concerns(&self, lost: &Lost) -> bool {
        match lost {
            Lost::Unknown => true,
            Lost::From(tables) if !tables.iter().any(|table| table.starts_with(FILTER_PREFIX)) => false,
            Lost::From(tables) => {
                Ledger::open(&self.ledger).is_ok_and(|ledger| !filter_tables(&ledger).is_disjoint(tables))
            }
        }
    }

    /// Beside the loop: `nft` is a program to run, and a network's lock may be held.
    fn start_look(&self) -> JoinHandle<Result<Vec<String>>> {
        let (gate, path) = (self.gate.clone(), self.ledger.clone());
        tokio::task::spawn_blocking(move || {
            let ledger = Ledger::open(&path)?;
            let mut mended = gate.refilter(&ledger)?;
            mended.extend(network::refilter(&gate, &ledger)?);
            Ok(mended)
        })
    }

    fn looked(&mut self, looked: Result<Vec<String>>) {
        match looked {
            Ok(mended) => {
                self.failed = false;
                if !mended.is_empty() {
                    tracing::warn!(?mended, "another program took packet filters away; they are made again");
                }
            }
            Err(failure) => {
                if !self.failed {
                    tracing::error!(%failure, "packet filters are gone and cannot be made again; tried every 5 s");
                }
                self.failed = true;
                self.due = Some(Instant::now() + AGAIN);
            }
        }
    }
}
