//! `fief serve` beside a test.

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::{Host, command, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// A host that listens for peers. Dropping it ends that.
pub struct Serving {
    folder: TempDir,
    process: Child,
}

impl Serving {
    /// It says all that it can.
    ///
    /// # Panics
    /// Where it does not listen in time.
    #[track_caller]
    pub fn start(host: &Host) -> Serving {
        Serving::start_with(host, &[])
    }

    /// The same with more in its environment, which those that it starts get too.
    #[track_caller]
    pub fn start_with(host: &Host, environment: &[(String, String)]) -> Serving {
        let folder = tempfile::tempdir().expect("a folder for what is said");
        let file = |name: &str| File::create(folder.path().join(name)).expect("a file for what is said");
        let process = host
            .command(&["serve"])
            .env("FIEF_LOG", "trace")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("fief starts");
        let mut serving = Serving { folder, process };
        eventually("it listens", PATIENCE, || {
            let ended = serving.process.try_wait().expect("a child that we started");
            assert!(ended.is_none(), "it does not listen: {}", serving.said());
            serving.read("stdout").contains("listens").then_some(())
        });
        serving
    }

    /// Of `fief serve` itself.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// All that it said so far.
    pub fn said(&self) -> String {
        self.read("stdout") + &self.read("stderr")
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a process");
        rustix::process::kill_process(pid, signal).expect("a child that we started");
    }

    /// Ends it, which has to go well; gives all that it said.
    #[track_caller]
    pub fn end(mut self) -> String {
        self.signal(Signal::TERM);
        let status = eventually("it ends", PATIENCE, || self.process.try_wait().expect("a child that we started"));
        let said = self.said();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.said();
            let end: Vec<&str> = said.lines().rev().take(40).collect();
            eprintln!("--- fief serve said\n{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        // One that stands still would not end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Host {
    /// Lets other hosts come, with more lines for `[relocation]`.
    pub fn relocates(&self, more: &str) {
        let path = self.root().join("policy.toml");
        let before = std::fs::read_to_string(&path).expect("a policy");
        let before = before.split("\n[relocation]").next().unwrap_or_default();
        std::fs::write(&path, format!("{before}\n[relocation]\nenabled = true\n{more}\n")).expect("a policy");
    }

    /// This host invites, `guest` comes to `address`; gives the token.
    #[track_caller]
    pub fn pairs_with(&self, guest: &Host, name_here: &str, name_there: &str, address: &str) -> String {
        let token = self.fief(&["peer", "invite", "--for", name_here]).stdout;
        let mut add = guest.command(&["peer", "add", name_there, address, "--token", "-"]);
        command::run_given(add.env("FIEF_LOG", "trace"), token.as_bytes(), PATIENCE).expect_code(0);
        token.trim().to_owned()
    }
}
