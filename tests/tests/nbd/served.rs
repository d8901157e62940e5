//! A device behind a socket, by our server or by nbdkit.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fief_tests::command::{Said, run};
use fief_tests::eventually;

const DEADLINE: Duration = Duration::from_secs(60);

/// A server of one device, ended when dropped.
pub(crate) struct Served {
    child: Child,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Ours,
    Nbdkit,
}

/// Our server on its own: the example `serve` of `host/nbd`.
pub(crate) fn serve_binary() -> PathBuf {
    // …/target/debug/deps/nbd-0123
    let test = std::env::current_exe().expect("our own path");
    let binary = test.ancestors().nth(2).expect("a target directory").join("examples/serve");
    assert!(binary.exists(), "{} is missing: cargo build -p fief-nbd --example serve", binary.display());
    binary
}

impl Served {
    /// `device`: `memory BYTES` or `file PATH`.
    pub(crate) fn start(server: Server, read_only: bool, device: &[&str]) -> Served {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("socket");
        let mut command = match server {
            Server::Ours => {
                let mut command = Command::new(serve_binary());
                command.arg("--socket").arg(&socket).args(read_only.then_some("--read-only"));
                command
            }
            Server::Nbdkit => {
                let mut command = Command::new("nbdkit");
                command.args(["--foreground", "--exit-with-parent", "--unix"]).arg(&socket);
                command.args(read_only.then_some("--readonly"));
                command
            }
        };
        let child = command
            .args(device)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server");
        let served = Served { child, socket, _directory: directory };
        eventually("the server listens", DEADLINE, || served.socket.exists().then_some(()));
        served
    }

    pub(crate) fn memory(server: Server, bytes: u64) -> Served {
        Served::start(server, false, &["memory", &bytes.to_string()])
    }

    pub(crate) fn file(server: Server, path: &Path) -> Served {
        Served::start(server, false, &["file", path.to_str().expect("a path in words")])
    }

    /// Says something by a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.process(), signal).expect("a server of ours");
    }

    /// Most memory that it ever had, in bytes.
    pub(crate) fn most_memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process().as_raw_nonzero());
        let status = std::fs::read_to_string(status).expect("a process of ours");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line of the kernel's");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn uri(&self) -> String {
        self.uri_of("")
    }

    pub(crate) fn uri_of(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket.display())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a tool to its end.
#[track_caller]
pub(crate) fn tool(program: &str, words: &[&str]) -> Said {
    run(Command::new(program).args(words), DEADLINE)
}

/// A script for `nbdsh`, connected to `uri` as `h`. The system's own Python has the module.
#[track_caller]
pub(crate) fn nbdsh(uri: &str, script: &str) -> Said {
    tool("/usr/bin/python3", &["-m", "nbd", "--base-allocation", "--uri", uri, "--command", script])
}

/// A file of 16 MiB with data at both ends, in the middle, and over the end of a block; the rest are holes.
pub(crate) fn sparse_file(directory: &Path) -> PathBuf {
    use std::os::unix::fs::FileExt;
    let path = directory.join("disk.img");
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len(16 << 20).expect("room");
    for (at, length) in [(0, 65536), (5 << 20, 3 << 20), ((12 << 20) + 1000, 5000), ((16 << 20) - 4096, 4096)] {
        let data: Vec<u8> = (0..length).map(|byte: usize| (byte % 253) as u8 + 1).collect();
        file.write_all_at(&data, at as u64).expect("room");
    }
    path
}

/// Bytes of a file that are stored.
pub(crate) fn stored(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).expect("a file").blocks() * 512
}
