//! A real iSCSI target: a tgtd of the test's own, in a namespace of the test's own.
//!
//! ```text
//!   Tgt::start ─▸ target ─▸ disk …            chap, mutual, parameter
//!        │ kill ─▸ revive    freeze ─▸ thaw    cut    offline ─▸ online    grow
//! ```
//! tgtd keeps nothing: what it was told is written down here and told again to the one that takes its place.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::command::{self, Said};
use crate::{Namespace, eventually};

/// tgtadm answers at once, on a machine under load too.
const TOOL: Duration = Duration::from_secs(30);
/// What a machine under load takes to start a daemon.
const STARTED: Duration = Duration::from_secs(30);

/// As operators tune it: less would make the target the bottleneck of everything that is measured.
const TUNED: &[(&str, &str)] = &[
    ("MaxRecvDataSegmentLength", "262144"),
    ("FirstBurstLength", "262144"),
    ("MaxBurstLength", "1048576"),
    ("InitialR2T", "No"),
    ("ImmediateData", "Yes"),
    ("MaxOutstandingR2T", "8"),
    // None is done as well, where an initiator offers nothing else.
    ("HeaderDigest", "CRC32C"),
    ("DataDigest", "CRC32C"),
];

/// Ended when dropped.
pub struct Tgt {
    folder: TempDir,
    namespace: String,
    portal: String,
    daemon: Option<Child>,
    /// What tgtadm was told, to be told again.
    told: Vec<Vec<String>>,
    targets: u32,
}

/// A target of a [`Tgt`], by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target(u32);

impl Tgt {
    /// A daemon without targets that listens on `ADDRESS:3260` of the namespace; the address must be there.
    ///
    /// # Panics
    /// Where tgt is not installed: `cargo xtask setup` installs it.
    pub fn start(namespace: &Namespace, address: &str) -> Tgt {
        let folder = tempfile::Builder::new().prefix("fief-tgt-").tempdir().expect("a folder for a target");
        let mut tgt = Tgt {
            folder,
            namespace: namespace.name().to_owned(),
            portal: format!("{address}:3260"),
            daemon: None,
            told: Vec::new(),
            targets: 0,
        };
        tgt.run();
        tgt
    }

    fn run(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log of the target");
        let daemon = Command::new("ip")
            .args(["netns", "exec", &self.namespace, "tgtd", "-f", "-C", "0"])
            .args(["--iscsi", &format!("portal={}", self.portal)])
            .env("TGT_IPC_SOCKET", self.socket())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second descriptor"))
            .stderr(log)
            .spawn()
            .expect("tgtd; `cargo xtask setup test` installs it");
        self.daemon = Some(daemon);
        eventually("tgtd answers", STARTED, || {
            (self.ask(&["--op", "show", "--mode", "sys"]).code == Some(0)).then_some(())
        });
        for words in self.told.clone() {
            self.ask(&words.iter().map(String::as_str).collect::<Vec<_>>()).expect_code(0);
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    /// One word to tgtadm, however it ends.
    fn ask(&self, words: &[&str]) -> Said {
        let mut tool = Command::new("tgtadm");
        tool.args(["-C", "0", "--lld", "iscsi"]).args(words).env("TGT_IPC_SOCKET", self.socket());
        command::run(&mut tool, TOOL)
    }

    /// One word to tgtadm that a daemon started anew is told as well.
    #[track_caller]
    fn tell(&mut self, words: &str) {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        self.ask(&words.iter().map(String::as_str).collect::<Vec<_>>()).expect_code(0);
        self.told.push(words);
    }

    /// `HOST:PORT`.
    pub fn portal(&self) -> &str {
        &self.portal
    }

    /// Where the disks lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the daemon said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A target for every initiator, tuned as operators do. Its unit 0 is tgt's controller; disks begin with 1.
    #[track_caller]
    pub fn target(&mut self, name: &str) -> Target {
        self.targets += 1;
        let target = Target(self.targets);
        self.tell(&format!("--op new --mode target --tid {} -T {name}", target.0));
        self.tell(&format!("--op bind --mode target --tid {} -I ALL", target.0));
        for (key, value) in TUNED {
            self.parameter(target, key, value);
        }
        target
    }

    /// A key of the login's negotiation (RFC 7143, section 13).
    #[track_caller]
    pub fn parameter(&mut self, target: Target, key: &str, value: &str) {
        self.tell(&format!("--op update --mode target --tid {} --name {key} --value {value}", target.0));
    }

    /// A disk of zeroes, thin. Gives its file.
    #[track_caller]
    pub fn disk(&mut self, target: Target, lun: u32, bytes: u64) -> PathBuf {
        self.disk_of_blocks(target, lun, bytes, 512)
    }

    /// The same with blocks of 512 or 4096 bytes.
    #[track_caller]
    pub fn disk_of_blocks(&mut self, target: Target, lun: u32, bytes: u64, block: u32) -> PathBuf {
        let path = self.folder.path().join(format!("disk-{}-{lun}", target.0));
        std::fs::File::create(&path).and_then(|file| file.set_len(bytes)).expect("a disk");
        self.disk_in(target, lun, &path, block);
        path
    }

    /// The same in a file that is there.
    #[track_caller]
    pub fn disk_in(&mut self, target: Target, lun: u32, file: &Path, block: u32) {
        let unit = format!("--mode logicalunit --tid {} --lun {lun}", target.0);
        self.tell(&format!("--op new {unit} -b {} --bstype rdwr --blocksize {block}", file.display()));
        self.tell(&format!("--op update {unit} --params thin_provisioning=1"));
    }

    /// A setting of a unit, as in `readonly=1`.
    #[track_caller]
    pub fn unit(&mut self, target: Target, lun: u32, setting: &str) {
        self.tell(&format!("--op update --mode logicalunit --tid {} --lun {lun} --params {setting}", target.0));
    }

    /// Takes a unit away. tgt refuses that while it works on a request for the unit, so it is asked until there is none.
    #[track_caller]
    pub fn remove(&mut self, target: Target, lun: u32) {
        let words = format!("--op delete --mode logicalunit --tid {} --lun {lun}", target.0);
        let words: Vec<&str> = words.split_whitespace().collect();
        eventually("tgt works on no request for the unit", TOOL, || {
            let said = self.ask(&words);
            if said.stderr.contains("still active") {
                return None;
            }
            said.expect_code(0);
            Some(())
        });
        self.told.push(words.into_iter().map(str::to_owned).collect());
    }

    /// Takes a target away with all that is known of it; its sessions end.
    #[track_caller]
    pub fn withdraw(&self, target: Target) {
        self.ask(&["--op", "delete", "--mode", "target", "--tid", &target.0.to_string(), "--force"]).expect_code(0);
    }

    /// Makes a target that was withdrawn again as it was told to be.
    #[track_caller]
    pub fn restore(&self, target: Target) {
        let number = target.0.to_string();
        let of_target = |words: &&Vec<String>| words.windows(2).any(|pair| pair[0] == "--tid" && pair[1] == number);
        for words in self.told.iter().filter(of_target) {
            self.ask(&words.iter().map(String::as_str).collect::<Vec<_>>()).expect_code(0);
        }
    }

    /// No initiator may log in any more; sessions that are there go on.
    #[track_caller]
    pub fn forbid(&mut self, target: Target) {
        self.tell(&format!("--op unbind --mode target --tid {} -I ALL", target.0));
    }

    /// Every initiator may.
    #[track_caller]
    pub fn allow(&mut self, target: Target) {
        self.tell(&format!("--op bind --mode target --tid {} -I ALL", target.0));
    }

    /// Whoever is let in by this user's secret is so no more.
    #[track_caller]
    pub fn forget(&mut self, target: Target, user: &str) {
        self.tell(&format!("--op unbind --mode account --tid {} --user {user}", target.0));
        self.tell(&format!("--op delete --mode account --user {user}"));
    }

    /// Only who knows this secret (12 to 16 bytes) may log in.
    #[track_caller]
    pub fn chap(&mut self, target: Target, user: &str, secret: &str) {
        self.tell(&format!("--op new --mode account --user {user} --password {secret}"));
        self.tell(&format!("--op bind --mode account --tid {} --user {user}", target.0));
    }

    /// What the target proves itself with, where it is asked to.
    #[track_caller]
    pub fn mutual(&mut self, target: Target, user: &str, secret: &str) {
        self.tell(&format!("--op new --mode account --user {user} --password {secret}"));
        self.tell(&format!("--op bind --mode account --tid {} --user {user} --outgoing", target.0));
    }

    /// Commands to the unit are answered with NOT READY.
    #[track_caller]
    pub fn offline(&mut self, target: Target, lun: u32) {
        self.unit(target, lun, "online=0");
    }

    #[track_caller]
    pub fn online(&mut self, target: Target, lun: u32) {
        self.unit(target, lun, "online=1");
    }

    /// Makes the disk larger. tgt looks at the length of a file only when it opens it, so the unit is away for a moment.
    #[track_caller]
    pub fn grow(&mut self, target: Target, lun: u32, bytes: u64) {
        let path = self.folder.path().join(format!("disk-{}-{lun}", target.0));
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the disk");
        file.set_len(bytes).expect("a larger disk");
        self.offline(target, lun);
        self.unit(target, lun, &format!("path={}", path.display()));
        self.online(target, lun);
    }

    /// Ends the daemon by SIGKILL: all connections are gone, and so are reservations.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("a daemon of this test");
            daemon.wait().expect("a daemon of this test");
        }
    }

    /// A new daemon with the same targets and disks, after [`Tgt::kill`].
    pub fn revive(&mut self) {
        assert!(self.daemon.is_none(), "the target still runs");
        self.run();
    }

    fn signal(&self, signal: Signal) {
        let daemon = self.daemon.as_ref().expect("a target that runs");
        let pid = i32::try_from(daemon.id()).ok().and_then(Pid::from_raw).expect("a process");
        rustix::process::kill_process(pid, signal).expect("a process of this test");
    }

    /// The daemon stands still; its connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// The sessions of a target: the number of each and its connection.
    pub fn sessions(&self, target: Target) -> Vec<(String, String)> {
        let said = self.ask(&["--op", "show", "--mode", "conn", "--tid", &target.0.to_string()]).expect_code(0);
        let mut sessions = Vec::new();
        let mut session = String::new();
        for line in said.stdout.lines().map(str::trim) {
            if let Some(number) = line.strip_prefix("Session: ") {
                number.clone_into(&mut session);
            } else if let Some(number) = line.strip_prefix("Connection: ") {
                sessions.push((session.clone(), number.to_owned()));
            }
        }
        sessions
    }

    /// Closes every connection of a target; gives how many there were.
    pub fn cut(&self, target: Target) -> usize {
        let sessions = self.sessions(target);
        for (session, connection) in &sessions {
            let target = target.0.to_string();
            // One that went by itself in the meantime is cut as well.
            self.ask(&["--op", "delete", "--mode", "conn", "--tid", &target, "--sid", session, "--cid", connection]);
        }
        sessions.len()
    }
}

impl Drop for Tgt {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            // One that stands still is ended as well; nothing to do about a failure here.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_was_told_is_told_to_the_one_that_takes_its_place() {
        let namespace = Namespace::new();
        let mut tgt = Tgt::start(&namespace, "127.0.0.1");
        let target = tgt.target("iqn.2026-01.test:again");
        tgt.disk(target, 1, 8 << 20);
        tgt.chap(target, "alice", "secret123456");
        tgt.mutual(target, "bob", "mutual123456");
        tgt.grow(target, 1, 16 << 20);
        tgt.kill();
        tgt.revive();
        let shown = tgt.ask(&["--op", "show", "--mode", "target"]).expect_code(0).stdout;
        for word in ["iqn.2026-01.test:again", "alice", "bob (outgoing)", "Size: 17 MB"] {
            assert!(shown.contains(word), "{word} is not in:\n{shown}");
        }
        tgt.freeze();
        tgt.thaw();
        assert_eq!(tgt.cut(target), 0);
    }
}
