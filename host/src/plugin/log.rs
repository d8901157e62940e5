//! A plugin's log lines, from the sandbox into the host's log and the plugin's own (`fief plugin logs`): escaped, and limited a
//! second time, because the first limit stands in the sandbox.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::error::{Failure, Kind, Result};
use crate::gate::{Gate, Mode};
use crate::layout::Layout;
use crate::plugin::Subject;
use crate::plugin::text::printable;
use crate::sandbox::protocol::LogLevel;
use crate::types::PluginId;

/// What the sandbox itself adds in a second: how many it dropped, and where a trap happened.
const OWN_LINES: u32 = 2;
/// A sandbox that sends so many times more than its limit does not keep it: it is no longer ours.
const PATIENCE: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// A plugin's own log is cut in two at this many bytes: `log` and the older `log.1`.
const LOG_MAX: u64 = 1 << 20;

pub(super) struct Sink<'a> {
    gate: &'a Gate,
    plugin: &'a PluginId,
    subject: &'a Subject,
    per_second: u32,
    since: Instant,
    lines: u32,
    /// Its own log, once there was something to write.
    kept: Option<File>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(gate: &'a Gate, plugin: &'a PluginId, subject: &'a Subject, per_second: u32) -> Self {
        let per_second = per_second.saturating_add(OWN_LINES);
        Sink { gate, plugin, subject, per_second, since: Instant::now(), lines: 0, kept: None }
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
        match level {
            LogLevel::Error => self.keep("error", &said),
            LogLevel::Warn => self.keep("warn", &said),
            LogLevel::Info => self.keep("info", &said),
            LogLevel::Debug | LogLevel::Trace => {}
        }
        Ok(())
    }

    /// `2026-01-31T12:00:00Z warn pool default: …`. Best effort: the call does not depend on it.
    fn keep(&mut self, level: &str, said: &str) {
        if self.gate.mode() == Mode::DryRun {
            return;
        }
        let now = Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
        let line = format!("{now} {level} {}: {said}\n", self.subject);
        let kept = match self.kept.take().map_or_else(|| open(self.gate.layout(), self.plugin), Ok) {
            // One write for a line: others may write to it at the same time.
            Ok(mut file) => file.write_all(line.as_bytes()).map(|()| file),
            Err(error) => Err(error),
        };
        match kept {
            Ok(file) => self.kept = Some(file),
            Err(error) => tracing::debug!(%error, "the plugin's own log is not written"),
        }
    }
}

/// The plugin's own log, to be written behind.
fn open(layout: &Layout, plugin: &PluginId) -> std::io::Result<File> {
    let path = path(layout, plugin);
    if std::fs::metadata(&path).is_ok_and(|log| log.len() > LOG_MAX) {
        std::fs::rename(&path, path.with_extension("1"))?;
    }
    File::options().create(true).append(true).mode(0o600).open(&path)
}

/// Where it is; the older half is beside it, `.1`.
pub fn path(layout: &Layout, plugin: &PluginId) -> PathBuf {
    layout.plugin(plugin).join("log")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_sandbox_that_does_not_keep_its_own_limit_is_a_fault() {
        let plugin = "it".parse().unwrap();
        let root = tempfile::tempdir().unwrap();
        let gate = Gate::new(Layout::new(root.path()), Arc::default(), Mode::Perform);
        let subject = Subject::Pool("default".parse().unwrap());
        let mut sink = Sink::new(&gate, &plugin, &subject, 10);
        let taken = (0..1_000).take_while(|_| sink.line(LogLevel::Trace, "x", &[]).is_ok()).count();
        assert_eq!(taken, 120);
    }

    #[test]
    fn what_it_says_is_kept_with_what_it_was_about_and_cut_in_two() {
        let root = tempfile::tempdir().unwrap();
        let gate = Gate::new(Layout::new(root.path()), Arc::default(), Mode::Perform);
        let (plugin, subject) = ("it".parse().unwrap(), Subject::Pool("default".parse().unwrap()));
        std::fs::create_dir_all(gate.layout().plugin(&plugin)).unwrap();
        let path = path(gate.layout(), &plugin);
        let kept = || std::fs::read_to_string(&path).unwrap();
        let mut sink = Sink::new(&gate, &plugin, &subject, 10);
        let fields = [("volume".to_owned(), "a\nb".to_owned())];
        sink.line(LogLevel::Warn, "odd", &fields).unwrap();
        sink.line(LogLevel::Debug, "quiet", &[]).unwrap();
        sink.line(LogLevel::Info, "well", &[]).unwrap();
        let lines: Vec<String> = kept().lines().map(|line| line.split_once("Z ").unwrap().1.to_owned()).collect();
        assert_eq!(lines, ["warn pool default: odd volume=a\\nb", "info pool default: well"]);
        std::fs::write(&path, vec![b'x'; usize::try_from(LOG_MAX).unwrap() + 1]).unwrap();
        Sink::new(&gate, &plugin, &subject, 10).line(LogLevel::Error, "new", &[]).unwrap();
        assert!(kept().ends_with("error pool default: new\n") && kept().len() < 100);
        assert_eq!(std::fs::metadata(path.with_extension("1")).unwrap().len(), LOG_MAX + 1);
    }
}
