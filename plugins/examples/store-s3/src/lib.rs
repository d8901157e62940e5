//! Volumes as objects of an S3-compatible store: each is cut into chunks of one size, an object each. A write is answered once the
//! server has answered for the object, so there is nothing on this host that could be lost.
//!
//! README.md is for those who use it.

mod bucket;
mod chunks;
mod describe;
mod device;
mod sign;

use std::rc::Rc;
use std::time::{Duration, Instant};

use fief_sdk::storage::{
    Access, Attachment, Format, Pool, PoolInfo, Preallocation, StorageBackend, Volume, VolumeSpec,
};
use fief_sdk::{Error, Permission, Result, SecretName, Size, image_name};
use plain_http::{Ask, Once, now};

use crate::bucket::{Bucket, Put, Was};
use crate::describe::About;
pub use crate::device::Device;

/// The grant by which the server is reached.
const SERVER: &str = "server";
/// A control call may take 30 s in all; past this a deletion says that there is more to do.
const PATIENCE: Duration = Duration::from_secs(20);

fief_sdk::plugin! {
    storage: Store with block(Device);
    id: "store-s3",
    summary: "volumes as objects of an S3-compatible store",
    permissions: [
        Permission::connect(SERVER, "{server}:{port}", "reads and writes the objects of the bucket"),
        Permission::secret("{secret}", "signs requests: the secret access key that belongs to key-id"),
    ],
}

fief_sdk::settings! {
    /// Of a pool.
    pub struct Settings {
        /// Name or address of the server.
        server: String,
        /// Its TCP port, of plain HTTP.
        port: u16 = "80",
        /// The bucket, which has to be there.
        bucket: String,
        /// What all objects of the pool begin with, without a slash at its end; the bucket is the pool's where nothing is said.
        prefix: Option<String>,
        /// The region that the server calls itself.
        region: String = "us-east-1",
        /// The access key's id.
        key_id: String,
        /// The secret that holds the secret access key.
        secret: SecretName,
        /// Bytes of an object of a new volume: a power of two from 64KiB to 1MiB. A write sends all of one.
        chunk: Size = "1MiB",
        /// Whether the server is asked to replace only what this host knows (If-Match), by which a second writer is noticed.
        conditional: bool = "true",
        /// Streams to the server for each volume that is in use, 1 to 32.
        connections: u8 = "8",
    }
}

pub struct Store;

type S3Pool = Pool<Settings>;

fn open(pool: &S3Pool) -> Result<Bucket<Once>> {
    Bucket::new(Once::new(SERVER), &pool.settings)
}

fn volume(name: &str, about: &About) -> Volume {
    Volume { name: name.to_owned(), size: about.size, allocated: None, format: Format::Raw, backing: None }
}

/// What is said of a volume, with the ETag of that.
async fn described(bucket: &Bucket<impl Ask>, name: &str) -> Result<Option<(About, Was)>> {
    image_name::file(name, Format::Raw)?;
    let Some(object) = bucket.get(&describe::file(name), None, 4 << 10).await? else { return Ok(None) };
    let about = About::read(&object.bytes);
    let about = about
        .ok_or_else(|| Error::corrupt(format!("object {} is not what this plugin wrote", describe::file(name))))?;
    Ok(Some((about, object.etag.map_or(Was::Any, Was::Tagged))))
}

/// The volume, or `not-found`. One whose deletion was cut off is still told of, so that it can be gone on with.
async fn found(bucket: &Bucket<impl Ask>, name: &str) -> Result<(About, Was)> {
    let found = described(bucket, name).await?;
    found.ok_or_else(|| Error::not_found(format!("there is no volume {name} in bucket and prefix")))
}

/// The same, to be used.
async fn existing(bucket: &Bucket<impl Ask>, name: &str) -> Result<(About, Was)> {
    match found(bucket, name).await? {
        (About { deleting: true, .. }, _) => {
            Err(Error::wrong_state(format!("the deletion of volume {name} has begun; delete it again to go on")))
        }
        usable => Ok(usable),
    }
}

async fn describe(bucket: &Bucket<impl Ask>, name: &str, about: &About, was: &Was) -> Result<()> {
    match bucket.put(&describe::file(name), Rc::new(about.text().into_bytes()), was).await? {
        Put::Done(_) => Ok(()),
        Put::Differs | Put::Busy => {
            Err(Error::wrong_state(format!("volume {name} was changed by somebody else in this moment")))
        }
    }
}

/// First it is no volume any more, then its chunks go, then what says so: cut off anywhere, the same again goes on.
async fn delete(bucket: &Bucket<impl Ask>, name: &str) -> Result<()> {
    let Some((about, was)) = described(bucket, name).await? else { return Ok(()) };
    if !about.deleting {
        describe(bucket, name, &About { deleting: true, ..about }, &was).await?;
    }
    let until = Instant::now() + PATIENCE;
    loop {
        let chunks = bucket.some(&format!("{name}/")).await?.keys;
        let chunks: Vec<String> = chunks.into_iter().filter(|key| *key != describe::file(name)).collect();
        if chunks.is_empty() {
            return bucket.delete(&describe::file(name)).await;
        }
        for key in chunks {
            if Instant::now() > until {
                return Err(Error::timeout(format!(
                    "volume {name} has many objects, and some are left; delete it again to go on"
                )));
            }
            bucket.delete(&key).await?;
        }
    }
}

impl StorageBackend for Store {
    type Settings = Settings;

    fn info(pool: &S3Pool) -> Result<PoolInfo> {
        let Settings { server, port, bucket, prefix, chunk, connections, .. } = &pool.settings;
        if !(1..=32).contains(connections) {
            return Err(Error::invalid("setting connections: it is 1 to 32"));
        }
        if !u32::try_from(chunk.0).is_ok_and(describe::is_chunk) {
            return Err(Error::invalid("setting chunk: it is a power of two from 64KiB to 1MiB"));
        }
        now(open(pool)?.some(""))?;
        Ok(PoolInfo {
            identity: format!("s3:{server}:{port}/{bucket}/{}", prefix.as_deref().unwrap_or_default()),
            capacity: None,
            available: None,
            // Nothing yet keeps a second host from a volume but the first write that both do.
            reachable_from_peers: false,
            max_name: image_name::LONGEST,
        })
    }

    fn all(pool: &S3Pool) -> Result<Vec<Volume>> {
        let bucket = open(pool)?;
        now(async {
            let mut all = Vec::new();
            for folder in bucket.list("", true).await?.folders {
                let Some(name) = folder.strip_suffix('/').filter(|name| image_name::file(name, Format::Raw).is_ok())
                else {
                    continue;
                };
                match described(&bucket, name).await {
                    Ok(Some((about, _))) => all.push(volume(name, &about)),
                    Ok(None) => {}
                    Err(error) if plain_http::is_away(&error) => return Err(error),
                    Err(error) => fief_sdk::warn!("left out of the list", volume = name, cause = error.message),
                }
            }
            Ok(all)
        })
    }

    fn find(pool: &S3Pool, name: &str) -> Result<Volume> {
        let bucket = open(pool)?;
        now(async { found(&bucket, name).await.map(|(about, _)| volume(name, &about)) })
    }

    fn create(pool: &S3Pool, spec: &VolumeSpec) -> Result<Volume> {
        let VolumeSpec { name, size, format, preallocation } = spec;
        if *format != Format::Raw {
            return Err(Error::unsupported("volumes are raw here: --format raw"));
        }
        if *preallocation != Preallocation::Sparse {
            return Err(Error::unsupported("a store takes its room as chunks are written"));
        }
        let size = size.next_multiple_of(512);
        if size == 0 || size > describe::LARGEST {
            return Err(Error::invalid(format!("a volume has 512 to {} bytes", describe::LARGEST)));
        }
        let bucket = open(pool)?;
        now(async {
            match described(&bucket, name).await? {
                Some((about, _)) if about.deleting => delete(&bucket, name).await?,
                Some((about, _)) if about.size == size => return Ok(volume(name, &about)),
                Some((about, _)) => {
                    return Err(Error::already_exists(format!(
                        "volume {name} is there already, with {} bytes",
                        about.size
                    )));
                }
                None => {}
            }
            let about = About { size, chunk: pool.settings.chunk.0 as u32, deleting: false };
            describe(&bucket, name, &about, &Was::Absent).await?;
            Ok(volume(name, &about))
        })
    }

    fn delete(pool: &S3Pool, name: &str) -> Result<()> {
        let bucket = open(pool)?;
        now(delete(&bucket, name))
    }

    fn resize(pool: &S3Pool, name: &str, size: u64) -> Result<Volume> {
        let bucket = open(pool)?;
        let size = size.next_multiple_of(512);
        now(async {
            let (about, was) = existing(&bucket, name).await?;
            if size < about.size {
                return Err(Error::invalid(format!("volume {name} has {} bytes and cannot shrink", about.size)));
            }
            if size > describe::LARGEST {
                return Err(Error::invalid(format!("a volume has at most {} bytes", describe::LARGEST)));
            }
            let grown = About { size, ..about };
            describe(&bucket, name, &grown, &was).await?;
            Ok(volume(name, &grown))
        })
    }

    fn attach(pool: &S3Pool, name: &str, access: Access) -> Result<Attachment> {
        if access == Access::Handover {
            return Err(Error::unsupported(
                "a volume of a store has no fence yet, by which two hosts could take turns",
            ));
        }
        now(existing(&open(pool)?, name)).map(|_| Attachment::Served)
    }
}
