//! Storage that did not answer a moment ago: whoever only looks is told so at once, and does not wait for it again.
//! Whoever wants something done asks it anew.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::pool::Pool;
use crate::error::{Failure, Kind, Result};
use crate::gate::{Gate, Mode};
use crate::plugin::Patience;
use crate::sys::durable;
use crate::types::PoolName;

/// So long it is taken for what it was.
const REMEMBERED: Duration = Duration::from_secs(10);
/// What fails sooner costs nobody time, and is not worth remembering.
const SLOW: Duration = Duration::from_secs(1);

impl Pool {
    /// As [`Pool::open`], for somebody who looks: storage that does not answer is not waited for long, nor twice.
    pub fn look(gate: &Gate, name: &PoolName) -> Result<Pool> {
        let mut pool = Pool::open(gate, name)?;
        pool.patience = Patience::Look;
        Ok(pool)
    }

    /// # Errors
    /// `Unreachable` where it did not answer a moment ago, and somebody only looks.
    pub(super) fn recall(&self) -> Result<()> {
        match self.patience {
            Patience::Work | Patience::Trial => return Ok(()),
            Patience::Look => {}
        }
        let path = file(&self.gate, &self.definition.name);
        let written = std::fs::metadata(&path).and_then(|facts| facts.modified());
        let Some(ago) = written.ok().and_then(|written| recent(written, SystemTime::now())) else { return Ok(()) };
        let name = &self.definition.name;
        let message = format!("the storage of the pool {name} did not answer {} s ago", ago.as_secs());
        let why = std::fs::read_to_string(&path).unwrap_or_default();
        Err(Failure { causes: why.lines().map(str::to_owned).collect(), ..Failure::new(Kind::Unreachable, message) }
            .hint(format!("`fief pool check {name}` asks it again, and waits longer")))
    }

    /// That a call which took so long ended because of `silence`, or otherwise.
    pub(super) fn remember(&self, silence: Option<&Failure>, took: Duration) {
        let path = file(&self.gate, &self.definition.name);
        match (self.gate.mode(), silence) {
            (Mode::DryRun, _) => {}
            (Mode::Perform, Some(Failure { message, causes, .. })) if took >= SLOW => {
                let words: Vec<&str> = std::iter::once(message).chain(causes).map(String::as_str).collect();
                if path.parent().is_some_and(std::path::Path::is_dir)
                    && let Err(failure) = durable::write(&path, words.join("\n").as_bytes())
                {
                    tracing::debug!(%failure, "that storage does not answer is not remembered");
                }
            }
            // It is there, or says itself why not, or nobody asked it.
            (Mode::Perform, Some(_) | None) => {
                if path.exists() {
                    drop(std::fs::remove_file(&path));
                }
            }
        }
    }
}

fn file(gate: &Gate, pool: &PoolName) -> PathBuf {
    gate.layout().pool(pool).join("away")
}

/// How long ago that was, where it still counts. A clock that was set back makes nothing last for ever.
fn recent(written: SystemTime, now: SystemTime) -> Option<Duration> {
    now.duration_since(written).ok().filter(|ago| *ago < REMEMBERED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_answer_is_remembered_for_a_while() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(recent(now - Duration::from_secs(9), now), Some(Duration::from_secs(9)));
        assert_eq!(recent(now - Duration::from_secs(10), now), None);
        assert_eq!(recent(now + Duration::from_secs(1), now), None);
    }
}
