//! Reaches for streams and secrets: those of others, too many, for too long. `act` says which.
//!
//! Where `act` is `honest` it reveals the one secret that it may and opens the one connection that it has, as any
//! plugin does; its volumes are units of an iSCSI target, which it leaves to the hypervisor.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use fief_sdk::block::{BlockDevice, Geometry, Holder};
use fief_sdk::connections::Connection;
use fief_sdk::storage::{Access, Attachment, IscsiNode, Pool, PoolInfo, StorageBackend, Volume, VolumeSpec};
use fief_sdk::{Error, Permission, Result, SecretName, secrets};

fief_sdk::settings! {
    /// Of the pool that is reached.
    pub struct Settings {
        /// Name or address.
        server: String,
        /// Of TCP.
        port: u32,
        /// The name of a secret.
        password: Option<SecretName>,
        /// What it does when its volumes are asked for.
        act: String = "honest",
        /// The name of what it does that with.
        with: String = "server",
    }
}

fief_sdk::plugin! {
    storage: Hostile with block(Device);
    id: "hostile-reach",
    summary: "misbehaves, for a test",
    permissions: [
        Permission::connect("server", "{server}:{port}", "misuses it"),
        Permission::secret("{password}", "misuses it"),
    ],
}

struct Hostile;

type Reached = Pool<Settings>;

fn volume(name: &str) -> Volume {
    hostile::calm::volume(name, 8 << 20)
}

/// Opens the connection again and again until it may not, and says how far it came.
fn many(keep: bool) -> Result<Vec<Volume>> {
    let mut kept = Vec::new();
    for count in 0..10_000 {
        match Connection::open("server") {
            Ok(stream) if keep => kept.push(stream),
            Ok(_) => {}
            Err(error) => return Err(Error::exhausted(format!("{count} connections, then: {}", error.message))),
        }
    }
    Ok(Vec::new())
}

/// A server that is gone is tried for as long as there are tries.
fn stubborn() -> Result<Vec<Volume>> {
    loop {
        match Connection::open("server") {
            Ok(_) => return Ok(Vec::new()),
            Err(error) if error.message.contains("spent its time") => return Err(error),
            Err(_) => {}
        }
    }
}

/// What the server sends is never taken, and what it does not take is sent to it all the same.
fn deaf() -> Result<Vec<Volume>> {
    let stream = Connection::open("server")?;
    loop {
        stream.write(&[0; 64 << 10])?;
    }
}

fn honest(pool: &Reached) -> Result<Vec<Volume>> {
    drop(Connection::open("server")?);
    let length = match &pool.settings.password {
        Some(password) => secrets::reveal(password)?.len(),
        None => 0,
    };
    Ok(vec![volume("disk"), volume(&format!("secret-of-{length}"))])
}

impl StorageBackend for Hostile {
    type Settings = Settings;
    fn info(pool: &Reached) -> Result<PoolInfo> {
        hostile::calm::facts(&pool.settings.server)
    }
    fn all(pool: &Reached) -> Result<Vec<Volume>> {
        let with = &pool.settings.with;
        match pool.settings.act.as_str() {
            "connect" => Connection::open(with).map(|_| Vec::new()),
            "reveal" => secrets::reveal(&SecretName(with.clone())).map(|_| Vec::new()),
            "keep" => many(true),
            "drop" => many(false),
            "stubborn" => stubborn(),
            "deaf" => deaf(),
            _ => honest(pool),
        }
    }
    fn find(_: &Reached, name: &str) -> Result<Volume> {
        Ok(volume(name))
    }
    fn create(_: &Reached, spec: &VolumeSpec) -> Result<Volume> {
        Connection::open("server").map(|_| hostile::calm::volume(&spec.name, spec.size))
    }
    fn delete(_: &Reached, _: &str) -> Result<()> {
        Connection::open("server").map(drop)
    }
    fn resize(_: &Reached, _: &str, _: u64) -> Result<Volume> {
        hostile::calm::unsupported()
    }
    fn attach(pool: &Reached, _: &str, _: Access) -> Result<Attachment> {
        let Settings { server, port, password, with, .. } = &pool.settings;
        Ok(Attachment::Iscsi(IscsiNode {
            portal: format!("{server}:{port}"),
            target: with.clone(),
            lun: 1,
            initiator: None,
            header_digest: false,
            user: password.as_ref().map(|_| "alice".to_owned()),
            password: password.as_ref().map(|secret| secret.0.clone()),
        }))
    }
    fn detach(_: &Reached, _: &str) -> Result<()> {
        Ok(())
    }
}

/// Behaves: a volume whose bytes a server says, over one stream that a task reads for all requests. A question is eight
/// bytes, its place in the volume; the answer is the same eight bytes.
struct Device {
    stream: Rc<Connection>,
    heard: Rc<Heard>,
}

/// What came in, and who waits for it.
#[derive(Default)]
struct Heard {
    bytes: RefCell<VecDeque<u8>>,
    ended: Cell<bool>,
    /// Places in the order in which they were asked, since the server answers in that order.
    asked: RefCell<VecDeque<u64>>,
    answers: RefCell<BTreeMap<u64, [u8; 8]>>,
    waiting: RefCell<Vec<Waker>>,
}

impl Heard {
    fn take(&self, more: Vec<u8>) {
        let mut bytes = self.bytes.borrow_mut();
        bytes.extend(more);
        while bytes.len() >= 8 {
            let answer: Vec<u8> = bytes.drain(..8).collect();
            if let (Some(place), Ok(answer)) = (self.asked.borrow_mut().pop_front(), answer.try_into()) {
                self.answers.borrow_mut().insert(place, answer);
            }
        }
        self.wake();
    }

    fn wake(&self) {
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    async fn answer(&self, place: u64) -> Result<[u8; 8]> {
        poll_fn(|context| match self.answers.borrow_mut().remove(&place) {
            Some(answer) => Poll::Ready(Ok(answer)),
            None if self.ended.get() => Poll::Ready(Err(Error::unreachable("the server has ended the stream"))),
            None => {
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl BlockDevice for Device {
    type Settings = Settings;

    async fn open(pool: &Reached, _: &str, _: Access, _: Option<&Holder>) -> Result<Self> {
        if let Some(password) = &pool.settings.password {
            let known = secrets::reveal(password)?;
            fief_sdk::info!("the secret is known", length = known.len());
        }
        let stream = Rc::new(Connection::connect(&pool.settings.with).await?);
        let heard = Rc::new(Heard::default());
        let (reading, into) = (stream.clone(), heard.clone());
        fief_sdk::spawn(async move {
            loop {
                match reading.receive(1, 64 << 10).await {
                    Ok(bytes) if !bytes.is_empty() => into.take(bytes),
                    Ok(_) | Err(_) => break,
                }
            }
            into.ended.set(true);
            into.wake();
        });
        Ok(Device { stream, heard })
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            size: 1 << 20,
            block_size: 512,
            preferred_io: 4096,
            maximum_io: 4096,
            maximum_requests: 32,
            can_discard: false,
            can_write_zeroes: false,
            can_extents: false,
            rotational: false,
            read_only: true,
        }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.heard.asked.borrow_mut().push_back(offset);
        self.stream.send(offset.to_be_bytes().to_vec()).await?;
        let answer = self.heard.answer(offset).await?;
        Ok(answer.into_iter().cycle().take(length as usize).collect())
    }

    async fn write(&self, _: u64, _: Vec<u8>, _: bool) -> Result<()> {
        hostile::calm::unsupported()
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.stream.shut();
        Ok(())
    }
}
