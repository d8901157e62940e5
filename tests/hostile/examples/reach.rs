//! Reaches for streams and secrets: those of others, too many, for too long. `act` says which.
//!
//! Where `act` is `honest` it reveals the one secret that it may and opens the one connection that it has, as any
//! plugin does; its volumes are units of an iSCSI target, which it leaves to the hypervisor.

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
    storage: Hostile;
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
