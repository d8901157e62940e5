//! A real HTTP server, nginx, that gives the files of a folder. It listens on loopback, of a namespace where one is given.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Namespace, eventually};

const STARTUP: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Nginx {
    server: Option<Child>,
    lab: TempDir,
    namespace: Option<String>,
    port: u16,
}

impl Nginx {
    /// Started, giving an empty folder.
    ///
    /// # Panics
    /// Where it does not come up; `cargo xtask setup test` installs it.
    #[track_caller]
    pub fn start(namespace: Option<&Namespace>) -> Nginx {
        let lab = tempfile::Builder::new().prefix("fief-http-").tempdir().expect("a folder for a server");
        fs::create_dir(lab.path().join("root")).expect("a folder of the server's");
        let port = match namespace {
            Some(_) => 8080,
            // Free now; nothing else asks for it in the moment until the server has it.
            None => {
                let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
                probe.expect("a free port").port()
            }
        };
        let namespace = namespace.map(|namespace| namespace.name().to_owned());
        let mut server = Nginx { server: None, lab, namespace, port };
        server.restart();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it gives.
    pub fn root(&self) -> PathBuf {
        self.lab.path().join("root")
    }

    /// Starts it again, after [`Nginx::kill`] or at first; waits until it listens.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.server.is_none(), "the server runs already");
        let file = |name: &str| self.lab.path().join(name);
        fs::write(file("nginx.conf"), self.configuration()).expect("a configuration");
        let _ = fs::remove_file(file("pid"));
        let mut command = match &self.namespace {
            Some(name) => {
                let mut inside = Command::new("ip");
                inside.args(["netns", "exec", name, "nginx"]);
                inside
            }
            None => Command::new("nginx"),
        };
        command.arg("-e").arg(file("log")).arg("-c").arg(file("nginx.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("nginx is installed");
        // Written once it listens.
        eventually("the HTTP server listens", STARTUP, || {
            let ended = child.try_wait().expect("a child that we started");
            assert!(ended.is_none(), "nginx ended ({ended:?}):\n{}", self.log());
            fs::read_to_string(file("pid")).is_ok_and(|pid| !pid.is_empty()).then_some(())
        });
        self.server = Some(child);
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stands still until [`Nginx::thaw`]; its connections stay.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.server.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        kill_process(pid.expect("a server that runs"), signal).expect("a child that we started");
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.lab.path().join("log")).unwrap_or_default()
    }

    /// One process, so that one signal ends it.
    fn configuration(&self) -> String {
        let lab = self.lab.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|what| format!("{what}_temp_path {lab}/{what};")).join(" ");
        format!(
            "daemon off; master_process off; pid {lab}/pid; error_log {lab}/log; events {{ }}
http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{}; root {lab}/root; }} }}\n",
            self.port
        )
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the HTTP server's log\n{}", self.log());
        }
        self.kill();
    }
}
