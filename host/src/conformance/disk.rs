//! The bytes of a volume, by NBD: from its plugin where that serves it, else from QEMU's storage daemon on the image.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use fief_nbd::{Client, Error};
use futures_util::future::join_all;
use tokio::net::UnixStream;

use super::bench::Bench;
use super::expect::{Result, Stop, fail};
use crate::error::{Context, Failure, Kind};
use crate::gate::operation::{ImageFormat, ImageRef};
use crate::gate::{Actor, Gate, Ledger, Operation};
use crate::plugin::{Heard, Serving, printable};
use crate::sandbox::protocol::{Ability, AttachAccess, FenceKind, Geometry, Holder, StorageCall};
use crate::storage::{Served, Service, Side};
use crate::sys::{process, socket};
use crate::types::{Access, VolumeName};

/// How long a plugin may take to open a volume, and to let go of it with all that was written.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long one request may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a sandbox whose plugin was at fault takes to be gone, where it lost its client before.
const ENDING: Duration = Duration::from_millis(100);
/// How long a sandbox that was killed may take to be gone.
const GONE: Duration = Duration::from_secs(10);
/// How an image is called where it is served as a disk (`gate/perform/image/serve.rs`).
const IMAGE_EXPORT: &str = "disk";
const SOCKET: &str = "volume.sock";

/// A volume that is open. Dropped, what serves it ends.
pub(super) struct Disk {
    gate: Gate,
    ledger: Ledger,
    runtime: Rc<tokio::runtime::Runtime>,
    client: Option<Client>,
    serving: Option<(Serving, mpsc::Receiver<Heard>)>,
    volume: String,
    writes: bool,
    holder: Option<Holder>,
}

impl Bench {
    /// Opens a volume for writing, whichever way this host itself has to its bytes.
    pub(super) fn open(&mut self, volume: &str) -> Result<Disk> {
        self.open_for(volume, AttachAccess::Exclusive)
    }

    pub(super) fn open_for(&mut self, volume: &str, access: AttachAccess) -> Result<Disk> {
        let name = named(volume)?;
        match self.pool.side(&name, access) {
            Ok(Side::Image { image, format }) => self.image(volume, image, format, access),
            Ok(Side::Served { .. }) => self.serve(volume, access),
            Err(failure) => refused(format!("attach {volume}"), "a way to its bytes", &failure),
        }
    }

    fn image(&mut self, volume: &str, image: ImageRef, format: ImageFormat, wanted: AttachAccess) -> Result<Disk> {
        let access = match wanted {
            AttachAccess::ReadOnly => Access::ReadOnly,
            AttachAccess::Exclusive | AttachAccess::Handover => Access::ReadWrite,
        };
        let mut ledger = Ledger::volatile();
        let listener = self.listen()?;
        let serve = Operation::ImageServe { image, format, access, snapshot: None };
        self.gate.perform(&Actor::Operator, &mut ledger, serve, vec![listener])?;
        self.disk((ledger, None), volume, IMAGE_EXPORT, wanted, None)
    }

    /// Has the plugin serve a volume: with its fence taken, where it is written to.
    pub(super) fn serve(&mut self, volume: &str, access: AttachAccess) -> Result<Disk> {
        let holder = match access {
            AttachAccess::ReadOnly => None,
            AttachAccess::Exclusive | AttachAccess::Handover => Some(self.hold(volume)?),
        };
        self.serve_as(volume, access, holder)
    }

    pub(super) fn serve_as(&mut self, volume: &str, access: AttachAccess, holder: Option<Holder>) -> Result<Disk> {
        let name = named(volume)?;
        let generation = holder.as_ref().map_or(0, |holder| holder.generation);
        let export = Served { volume: name.clone(), generation }.export();
        let service = Service { volume: name, access, holder: holder.clone(), generation };
        let mut ledger = Ledger::volatile();
        let (tell, heard) = mpsc::channel();
        // Nobody may listen any more.
        let tell = move |word| drop(tell.send(word));
        let listener = self.listen()?;
        match self.pool.serve(&mut ledger, service, listener, PATIENCE, tell) {
            Ok(serving) => self.disk((ledger, Some((serving, heard))), volume, &export, access, holder),
            Err(failure) => refused(format!("block.open {volume}"), "the volume, open", &failure),
        }
    }

    fn listen(&self) -> Result<OwnedFd> {
        let listener = socket::listen_in(&self.folder, SOCKET).context(|| "cannot listen for a disk".to_owned())?;
        Ok(listener.into())
    }

    fn disk(
        &self,
        (ledger, serving): (Ledger, Option<(Serving, mpsc::Receiver<Heard>)>),
        volume: &str,
        export: &str,
        access: AttachAccess,
        holder: Option<Holder>,
    ) -> Result<Disk> {
        let writes = access != AttachAccess::ReadOnly;
        let mut disk = Disk {
            gate: self.gate.clone(),
            ledger,
            runtime: self.runtime.clone(),
            client: None,
            serving,
            volume: volume.to_owned(),
            writes,
            holder,
        };
        let saying = || "cannot speak with what serves a volume".to_owned();
        let socket = socket::connect_in(&self.folder, SOCKET).context(saying)?;
        socket.set_nonblocking(true).context(saying)?;
        let connecting = async {
            let socket = UnixStream::from_std(socket).map_err(Error::from)?;
            Client::connect(socket, export, &[]).await
        };
        match self.runtime.block_on(async { tokio::time::timeout(ANSWER, connecting).await }) {
            Ok(Ok(client)) => disk.client = Some(client),
            Ok(Err(error)) => return fail(format!("block.open {volume}"), "a disk", error.to_string()),
            Err(_) => return fail(format!("block.open {volume}"), "a disk", "nothing, for 30 s"),
        }
        Ok(disk)
    }

    /// Takes the fence of a volume as the newest holder, where it has one. The case lets go of it at the end.
    pub(super) fn hold(&mut self, volume: &str) -> Result<Holder> {
        if !self.has(Ability::Fences) {
            return Ok(self.holder("test", 1));
        }
        let shown = self.ask(StorageCall::FenceShow { volume: volume.to_owned() }).fence()?;
        let newest = shown.holder.as_ref().map_or(0, |holder| holder.generation).max(shown.generation);
        let holder = self.holder("test", newest + 1);
        if shown.kind != FenceKind::None {
            let take = StorageCall::FenceTake { volume: volume.to_owned(), holder: holder.clone(), force: false };
            self.ask(take).fence()?;
            self.held.push((volume.to_owned(), holder.clone()));
        }
        Ok(holder)
    }
}

/// What a plugin failed at in another way than by an answer to a call.
fn refused<T>(called: String, expected: &str, failure: &Failure) -> Result<T> {
    match failure.kind {
        // Nothing that a plugin has a hand in.
        Kind::NeedsYes | Kind::NeedsRecover | Kind::PartlyDone => Err(Stop::Broken(failure.clone())),
        _ => fail(called, expected, failure.causes.last().unwrap_or(&failure.message)),
    }
}

fn named(volume: &str) -> Result<VolumeName> {
    Ok(volume.parse().map_err(|why| Failure::other(format!("{volume:?} is no name: {why}")))?)
}

/// One request of several that are under way at a time.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Read { offset: u64, length: u32 },
    Write { offset: u64, data: Vec<u8>, durable: bool },
    Zero { offset: u64, length: u64 },
    Trim { offset: u64, length: u32 },
    Flush,
}

impl Request {
    pub(super) fn words(&self) -> String {
        match self {
            Request::Read { offset, length } => format!("read {length} bytes at {offset}"),
            Request::Write { offset, data, durable } => {
                format!("write {} bytes at {offset}{}", data.len(), if *durable { ", durable" } else { "" })
            }
            Request::Zero { offset, length } => format!("write-zeroes {length} bytes at {offset}"),
            Request::Trim { offset, length } => format!("discard {length} bytes at {offset}"),
            Request::Flush => "flush".to_owned(),
        }
    }
}

impl Disk {
    pub(super) fn size(&self) -> u64 {
        self.client.as_ref().map_or(0, Client::size)
    }

    /// Of a volume that its plugin serves.
    pub(super) fn geometry(&self) -> Option<Geometry> {
        self.serving.as_ref().map(|(serving, _)| serving.geometry())
    }

    /// The process that serves it, where that is a plugin's.
    pub(super) fn process(&self) -> Option<u32> {
        self.serving.as_ref().map(|(serving, _)| serving.process().pid)
    }

    /// Whether that has ended, or is about to.
    pub(super) fn has_ended(&self) -> Result<bool> {
        let Some((serving, _)) = &self.serving else { return Ok(false) };
        Ok(process::ended(serving.process(), ENDING).context(|| "cannot look at a sandbox".to_owned())?)
    }

    pub(super) fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.one(Request::Read { offset, length })
    }

    pub(super) fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.one(Request::Write { offset, data: data.to_vec(), durable: false }).map(drop)
    }

    pub(super) fn flush(&self) -> Result<()> {
        self.one(Request::Flush).map(drop)
    }

    pub(super) fn one(&self, request: Request) -> Result<Vec<u8>> {
        let words = request.words();
        match self.all(vec![request])?.pop() {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(error)) => fail(format!("{}: {words}", self.volume), "success", error),
            None => fail(format!("{}: {words}", self.volume), "an answer", "none"),
        }
    }

    /// All of them at a time; each outcome, in their order.
    pub(super) fn all(&self, requests: Vec<Request>) -> Result<Vec<Result<Vec<u8>, String>>> {
        let Some(client) = &self.client else { return fail(&self.volume, "an open disk", "none") };
        let answers = requests.into_iter().map(async |request| {
            let done = async {
                match request {
                    Request::Read { offset, length } => client.read(offset, length).await,
                    Request::Write { offset, data, durable } => {
                        client.write(offset, data, durable).await.map(|()| Vec::new())
                    }
                    Request::Zero { offset, length } => client.write_zeroes(offset, length).await.map(|()| Vec::new()),
                    Request::Trim { offset, length } => client.trim(offset, length).await.map(|()| Vec::new()),
                    Request::Flush => client.flush().await.map(|()| Vec::new()),
                }
            };
            match tokio::time::timeout(ANSWER, done).await {
                Ok(done) => done.map_err(|error| printable(&error.to_string())),
                Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
            }
        });
        Ok(self.runtime.block_on(join_all(answers)))
    }

    /// Begins them, and kills what serves the volume; whether one was done nobody knows.
    pub(super) fn begin_and_kill(self, requests: Vec<Request>) -> Result<Option<Holder>> {
        if let Some(client) = &self.client {
            let begun = requests.into_iter().map(async |request| match request {
                Request::Write { offset, data, durable } => client.write(offset, data, durable).await,
                Request::Read { .. } | Request::Zero { .. } | Request::Trim { .. } | Request::Flush => Ok(()),
            });
            // Long enough for some of them to be under way.
            let some = async { tokio::time::timeout(Duration::from_millis(2), join_all(begun)).await };
            drop(self.runtime.block_on(some));
        }
        self.kill()
    }

    /// Ends the plugin's sandbox as a crash would.
    pub(super) fn kill(mut self) -> Result<Option<Holder>> {
        if let Some((serving, _)) = &self.serving {
            let killed = serving.process();
            let saying = || "cannot end a sandbox".to_owned();
            process::kill(killed, rustix::process::Signal::KILL).context(saying)?;
            process::wait_exit(killed, GONE).context(saying)?;
        }
        self.drop_client();
        Ok(self.holder.take())
    }

    /// Lets go of the volume, with all that was written to it; its fence goes at the end of the case.
    pub(super) fn close(mut self) -> Result<()> {
        if self.writes {
            self.flush()?;
        }
        if let Some(client) = self.client.take() {
            self.runtime.block_on(client.close());
            self.settle();
        }
        if let Some((serving, heard)) = self.serving.take() {
            let called = format!("block.close {}", self.volume);
            if let Err(failure) = serving.close(PATIENCE) {
                return fail(called, "that it lets go of the volume", failure.to_string());
            }
            for word in heard.try_iter() {
                match word {
                    Heard::Ended(Err(failure)) | Heard::Failed(failure) => {
                        return fail(called, "that it lets go of the volume", failure.to_string());
                    }
                    Heard::Fenced(by) => return fail(called, "that nobody else has the volume", by),
                    Heard::Ended(Ok(())) | Heard::Resized(_) | Heard::Degraded(_) | Heard::Restored => {}
                }
            }
        }
        self.gate.undo(&mut self.ledger).map_err(|mut failures| failures.swap_remove(0))?;
        Ok(())
    }

    fn drop_client(&mut self) {
        self.client = None;
        self.settle();
    }

    /// What a client began ends in its runtime: only then is its socket closed, which the other side waits for.
    fn settle(&self) {
        self.runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.drop_client();
        if let Err(failures) = self.gate.undo(&mut self.ledger) {
            for failure in failures {
                tracing::warn!(%failure, "what serves a volume is not ended");
            }
        }
    }
}
