//! A plugin's log lines, from the sandbox into the host's log: escaped, and limited a second time, because the first
//! limit stands in the sandbox.

use std::time::{Duration, Instant};

use crate::error::{Failure, Kind, Result};
use crate::plugin::text::printable;
use crate::sandbox::protocol::LogLevel;
use crate::types::PluginId;

/// What the sandbox itself adds in a second: how many it dropped, and where a trap happened.
const OWN_LINES: u32 = 2;
/// A sandbox that sends so many times more than its limit does not keep it: it is no longer ours.
const PATIENCE: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Sink<'a> {
    plugin: &'a PluginId,
    per_second: u32,
    since: Instant,
    lines: u32,
}

impl<'a> Sink<'a> {
    pub(super) fn new(plugin: &'a PluginId, per_second: u32) -> Self {
        Sink { plugin, per_second: per_second.saturating_add(OWN_LINES), since: Instant::now(), lines: 0 }
    }

    /// # Errors
    /// `PluginFault` for a sandbox that floods.
    pub(super) fn line(&mut self, level: LogLevel, message: &str, fields: &[(String, String)]) -> Result<()> {
        if self.since.elapsed() >= SECOND {
            self.since = Instant::now();
            self.lines = 0;
        }
        self.lines += 1;
        if self.lines > self.per_second.saturating_mul(PATIENCE) {
            return Err(Failure::new(Kind::PluginFault, "its sandbox floods the log"));
        }
        if self.lines > self.per_second {
            return Ok(());
        }
        let plugin = self.plugin;
        let mut said = printable(message);
        for (key, value) in fields {
            said.push_str(&format!(" {}={}", printable(key), printable(value)));
        }
        match level {
            LogLevel::Error => tracing::error!(target: "fief::plugin", %plugin, said),
            LogLevel::Warn => tracing::warn!(target: "fief::plugin", %plugin, said),
            LogLevel::Info => tracing::info!(target: "fief::plugin", %plugin, said),
            LogLevel::Debug => tracing::debug!(target: "fief::plugin", %plugin, said),
            LogLevel::Trace => tracing::trace!(target: "fief::plugin", %plugin, said),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_that_does_not_keep_its_own_limit_is_a_fault() {
        let plugin = "it".parse().unwrap();
        let mut sink = Sink::new(&plugin, 10);
        let taken = (0..1_000).take_while(|_| sink.line(LogLevel::Trace, "x", &[]).is_ok()).count();
        assert_eq!(taken, 120);
    }
}
