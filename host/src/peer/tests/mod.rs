//! Two hosts in one process: each its own root, on loopback addresses of a network namespace of their own.

mod hostile;
mod streams;
mod trust;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::serve::{Listening, listen};
use super::service::Streaming;
use super::*;
use crate::config::policy;
use crate::gate::{Gate, Mode};
use crate::types::{Endpoint, PeerName};

/// Long enough for a machine under load.
const LONG: Duration = Duration::from_secs(20);

/// A host.
struct Host {
    root: tempfile::TempDir,
    layout: Layout,
    address: String,
}

/// A host that listens; it ends with this.
struct Listener {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    heard: Arc<Mutex<Vec<String>>>,
}

/// Answers with what it is asked, and sends back what it is sent.
struct Echo(Arc<Mutex<Vec<String>>>);

impl Host {
    /// With more lines for `[relocation]`.
    fn new(address: &str, more: &str) -> Host {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let host = Host { root, layout, address: address.to_owned() };
        host.policy(&format!("[relocation]\nenabled = true\naddress = \"{address}\"\n{more}"));
        host
    }

    fn policy(&self, text: &str) {
        std::fs::write(self.layout.policy(), text).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(self.layout.policy(), private).unwrap();
    }

    fn gate(&self) -> Gate {
        Gate::new(self.layout.clone(), Arc::new(policy::load(&self.layout.policy()).unwrap()), Mode::Perform)
    }

    fn endpoint(&self) -> Endpoint {
        format!("{}:8002", self.address).parse().unwrap()
    }

    fn listen(&self, patience: Duration) -> Listener {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listening = Listening {
            layout: self.layout.clone(),
            identity: Arc::new(Identity::own(&self.layout).unwrap()),
            services: Services::default().with("echo", Echo(heard.clone())),
            relocation: self.gate().policy().relocation.clone(),
            patience,
        };
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let ready = |at: &[SocketAddr]| {
                tell.send(at.len()).unwrap();
                Ok(())
            };
            let until = async { drop(stopped.await) };
            runtime.block_on(listen(listening, ready, until)).unwrap();
        });
        told.recv_timeout(LONG).expect("it listens");
        Listener { stop: Some(stop), thread: Some(thread), heard }
    }

    /// This one invites, `guest` comes.
    fn pairs_with(&self, guest: &Host, name_here: &str, name_there: &str) {
        let invited = invite(&self.gate(), Some(name(name_here)), LONG).unwrap();
        let known_as = run(join(&guest.gate(), &name(name_there), &self.endpoint(), &invited.token)).unwrap();
        assert_eq!(known_as, name_here);
    }

    fn path(&self) -> &Path {
        self.root.path()
    }
}

impl Listener {
    fn heard(&self, what: &str) {
        let until = std::time::Instant::now() + LONG;
        while !self.heard.lock().unwrap().iter().any(|word| word == what) {
            assert!(std::time::Instant::now() < until, "{what} was not heard: {:?}", self.heard.lock().unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

impl Service for Echo {
    fn answer(&self, caller: &Caller, body: Value) -> Result<Value> {
        if body == "fail" {
            return Err(Failure::conflict("it is busy").hint("wait"));
        }
        if body == "slow" {
            std::thread::sleep(Duration::from_millis(300));
        }
        while body == "hold" && !self.0.lock().unwrap().iter().any(|word| word.ends_with(" \"release\"")) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if body == "huge" {
            return Ok("x".repeat(2 << 20).into());
        }
        self.0.lock().unwrap().push(format!("{} {body}", caller.peer));
        Ok(body)
    }
    fn admits(&self, _: &Caller, purpose: &Value) -> Result<()> {
        if purpose == "no" { Err(Failure::denied("not that")) } else { Ok(()) }
    }
    fn stream(&self, caller: Caller, purpose: Value, mut stream: Stream) -> Streaming {
        let heard = self.0.clone();
        Box::pin(async move {
            let how = if stream.is_encrypted() { "encrypted" } else { "plain" };
            heard.lock().unwrap().push(format!("{} {purpose} {how}", caller.peer));
            let mut bytes = vec![0; 64 << 10];
            loop {
                let count = stream.read(&mut bytes).await.unwrap_or(0);
                if count == 0 {
                    return Ok(());
                }
                stream.write_all(&bytes[..count]).await.unwrap();
                stream.flush().await.unwrap();
            }
        })
    }
    fn gone(&self, caller: &Caller) {
        self.0.lock().unwrap().push(format!("{} is gone", caller.peer));
    }
}

fn name(text: &str) -> PeerName {
    text.parse().unwrap()
}

/// The cause, and all that was told of it.
fn words(failure: &Failure) -> String {
    format!("{failure} {}", failure.hint.clone().unwrap_or_default())
}

#[test]
fn what_another_host_says_of_a_failure_is_safe_to_show() {
    let hostile =
        Body(serde_json::json!({ "kind": "later", "message": "\u{1b}[2J\n", "causes": ["a\rb"], "hint": null }));
    let failure = heard(hostile);
    assert_eq!(failure.kind, Kind::Other);
    assert!(!words(&failure).contains(['\u{1b}', '\n', '\r']), "{failure:?}");
    let denied = heard(told(&Failure::denied("no").hint("ask")));
    assert_eq!(denied, Failure::denied("no").hint("ask"));
    for nothing in [Value::Null, serde_json::json!([]), serde_json::json!({ "kind": "denied" })] {
        assert!(heard(Body(nothing)).message.contains("no reason"));
    }
}
