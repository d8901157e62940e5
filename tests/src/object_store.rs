//! A real object store, s3s-fs, that keeps its objects as files of a folder. It listens on loopback of a namespace.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Namespace, eventually, host};

const STARTUP: Duration = Duration::from_secs(20);

pub const BUCKET: &str = "vms";
pub const KEY_ID: &str = "fief";
pub const SECRET: &str = "of the test";

#[derive(Debug)]
pub struct ObjectStore {
    server: Option<Child>,
    lab: TempDir,
    namespace: String,
}

impl ObjectStore {
    /// Started, with an empty bucket.
    ///
    /// # Panics
    /// Where it does not come up; `cargo xtask storage` installs it.
    #[track_caller]
    pub fn start(namespace: &Namespace) -> ObjectStore {
        let lab = tempfile::Builder::new().prefix("fief-s3-").tempdir().expect("a folder for a server");
        fs::create_dir_all(lab.path().join("root").join(BUCKET)).expect("a folder for a bucket");
        let mut store = ObjectStore { server: None, lab, namespace: namespace.name().to_owned() };
        store.restart();
        store
    }

    pub fn port(&self) -> u16 {
        8014
    }

    /// Where the bucket's objects lie.
    pub fn bucket(&self) -> PathBuf {
        self.lab.path().join("root").join(BUCKET)
    }

    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.server.is_none(), "the server runs already");
        let program = host::target().join("tools/bin/s3s-fs");
        assert!(program.exists(), "{} is not there; `cargo xtask storage` installs it", program.display());
        let log = |name: &str| File::create(self.lab.path().join(name)).expect("a file for what is said");
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command.args(["--host", "127.0.0.1", "--port", &self.port().to_string()]);
        command.args(["--access-key", KEY_ID, "--secret-key", SECRET]).arg(self.lab.path().join("root"));
        command.env("RUST_LOG", "info").stdin(Stdio::null()).stdout(log("stdout")).stderr(log("stderr"));
        let mut child = command.spawn().expect("a program that is there");
        eventually("the object store listens", STARTUP, || {
            let ended = child.try_wait().expect("a child that we started");
            assert!(ended.is_none(), "the object store ended ({ended:?}):\n{}", self.log());
            self.log().contains("server is running").then_some(())
        });
        self.server = Some(child);
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.lab.path().join(name)).unwrap_or_default();
        read("stdout") + &read("stderr")
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the object store's log\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        self.kill();
    }
}
