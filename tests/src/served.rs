//! `fief volume serve` beside a test, and the tools that look at what it serves.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::{Host, command, eventually};

/// For a sandbox to load its plugin and open its volume, and for a tool to be done with a few MiB.
const PATIENCE: Duration = Duration::from_secs(60);

/// A volume that is being served. Dropping it ends that.
pub struct Served {
    folder: TempDir,
    command: Child,
    /// The sandbox.
    pub process: u32,
}

impl Served {
    /// Serves `volume` (`POOL/NAME`), with more `options` of the command.
    ///
    /// # Panics
    /// Where it is not served in time.
    #[track_caller]
    pub fn start(host: &Host, volume: &str, options: &[&str]) -> Served {
        let folder = tempfile::tempdir().expect("a folder for a socket");
        let file = |name: &str| File::create(folder.path().join(name)).expect("a file for what is said");
        let socket = folder.path().join("socket");
        let mut words = vec!["-o", "json", "volume", "serve", volume, "--socket"];
        let path = socket.to_string_lossy();
        words.push(&path);
        words.extend(options);
        let command = host
            .command(&words)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("fief starts");
        let mut served = Served { command, process: 0, folder };
        let said = eventually("the volume is served", PATIENCE, || {
            let ended = served.command.try_wait().expect("a child that we started");
            assert!(ended.is_none(), "{volume} is not served: {}", served.stderr());
            let said = std::fs::read(served.folder.path().join("stdout")).expect("what it said");
            serde_json::from_slice::<serde_json::Value>(&said).ok()
        });
        let process = said["item"]["process"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        served.process = process.unwrap_or_else(|| panic!("no process in {said}"));
        served
    }

    pub fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.folder.path().join("socket").display())
    }

    /// A path for a file of the test's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a program on it, `URI` among the words standing for where it is served; it must succeed.
    #[track_caller]
    pub fn tool(&self, program: &str, words: &[&str]) -> command::Said {
        self.tool_ends(program, words, 0)
    }

    /// The same; it must end with this code.
    #[track_caller]
    pub fn tool_ends(&self, program: &str, words: &[&str], code: i32) -> command::Said {
        let uri = self.uri();
        let mut command = Command::new(program);
        command.args(words.iter().map(|word| word.replace("URI", &uri)));
        command::run(&mut command, PATIENCE).expect_code(code)
    }

    /// Of the sandbox, from /proc/PID/status, in bytes.
    #[track_caller]
    pub fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).expect("a sandbox");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        number.unwrap_or_else(|| panic!("no {field} in {status}")) << 10
    }

    /// Ends serving, which has to go well.
    #[track_caller]
    pub fn end(self) {
        self.signal(Signal::TERM);
        self.ends(0);
    }

    /// The command ends by itself, with this code; gives what it said on stderr.
    #[track_caller]
    pub fn ends(mut self, code: i32) -> String {
        let status = eventually("it ends", PATIENCE, || self.command.try_wait().expect("a child that we started"));
        let said = self.stderr();
        assert_eq!(status.code(), Some(code), "{said}");
        said
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.command.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- fief volume serve said\n{}", self.stderr().chars().take(4_000).collect::<String>());
        }
        // Its sandbox ends by itself, without a host and without a client.
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}
