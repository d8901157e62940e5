//! The same QEMU, started by hand: the arguments of fief's own, with files and nothing in place of descriptors.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::command::{Doing, Result, command, quietly};

pub(super) struct Hand {
    words: Vec<String>,
    pid_file: PathBuf,
}

/// A killed process is gone long before.
const GONE: Duration = Duration::from_secs(10);

impl Hand {
    /// `words` as /proc/PID/cmdline has them; the disk becomes `disk`.
    pub(super) fn like(words: Vec<String>, disk: &Path, folder: &Path) -> Result<Self> {
        let pid_file = folder.join("hand.pid");
        let mut words = words.into_iter().filter(|word| !word.is_empty()).skip(1);
        let mut kept = Vec::new();
        while let Some(word) = words.next() {
            match word.as_str() {
                // Descriptors come from the supervisor; here are none. And the guest is not let go by a monitor.
                "-add-fd" | "-sandbox" => drop(words.next()),
                "-S" => {}
                "-chardev" => {
                    let value = words.next().unwrap_or_default();
                    let id = value.split(',').find(|part| part.starts_with("id=")).unwrap_or("id=none");
                    kept.extend([word, format!("null,{id}")]);
                }
                "-blockdev" => kept.extend([word, on_file(&words.next().unwrap_or_default(), disk)]),
                _ => kept.push(word),
            }
        }
        kept.extend(["-daemonize".to_owned(), "-pidfile".to_owned(), pid_file.to_string_lossy().into_owned()]);
        Ok(Hand { words: kept, pid_file })
    }

    /// With `word` in the place of one of its words.
    pub(super) fn with(mut self, place: &str, word: String) -> Self {
        if let Some(found) = self.words.iter_mut().find(|word| *word == place) {
            *found = word;
        }
        self
    }

    pub(super) fn start(&self) -> Result<()> {
        self.start_with(&[])
    }

    pub(super) fn start_with(&self, more: &[String]) -> Result<()> {
        quietly(command("qemu-system-x86_64", &self.words).args(more))
    }

    pub(super) fn stop(&self) -> Result<()> {
        let pid = self.pid()?;
        quietly(&mut command("kill", ["-KILL", &pid]))?;
        gone(&pid);
        Ok(())
    }

    /// Its process, whose file QEMU takes away when it ends.
    pub(super) fn pid(&self) -> Result<String> {
        let pid = fs::read_to_string(&self.pid_file).doing(|| "cannot read QEMU's process id".into())?;
        Ok(pid.trim().to_owned())
    }
}

/// Waits until there is no such process.
pub(super) fn gone(pid: &str) {
    let process = Path::new("/proc").join(pid);
    let until = Instant::now() + GONE;
    while process.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `/dev/fdset/N` → the file.
fn on_file(blockdev: &str, disk: &Path) -> String {
    const SET: &str = "/dev/fdset/";
    let Some(start) = blockdev.find(SET) else { return blockdev.to_owned() };
    let rest = blockdev[start + SET.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{}{}{rest}", &blockdev[..start], disk.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_become_files() {
        let words = [
            "qemu",
            "-S",
            "-add-fd",
            "fd=1,set=1",
            "-chardev",
            "socket,id=qmp,fd=9",
            "-blockdev",
            "{\"filename\":\"/dev/fdset/12\"}",
        ];
        let hand = Hand::like(words.map(str::to_owned).to_vec(), Path::new("/d.img"), Path::new("/x")).unwrap();
        assert_eq!(hand.words[..4], ["-chardev", "null,id=qmp", "-blockdev", "{\"filename\":\"/d.img\"}"]);
        assert_eq!(hand.words[4..], ["-daemonize", "-pidfile", "/x/hand.pid"]);
    }
}
