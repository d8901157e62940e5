//! A volume that is served: an image as the server has it, or with what was written on top.

mod copied;

use std::rc::Rc;

use fief_sdk::block::{BlockDevice, Event, Events, Geometry, Holder};
use fief_sdk::files::File;
use fief_sdk::payload::Data;
use fief_sdk::storage::Access;
use fief_sdk::{Error, Result};
use plain_http::Client;

use crate::folder::{self, Folder};
use crate::image::Remote;
use crate::{HttpPool, SERVER, Settings, known};

use copied::Copied;

const BLOCK: u32 = 512;
/// Each read of the image costs the way to the server and back.
const PREFERRED: u32 = 64 << 10;
const MAXIMUM: u32 = 256 << 10;
const REQUESTS: u32 = 32;

pub struct Device {
    volume: String,
    image: Rc<Remote>,
    /// None of an image.
    copied: Option<Copied>,
    events: Rc<Events>,
    read_only: bool,
}

impl Device {
    fn copied(&self) -> Result<&Copied> {
        match &self.copied {
            Some(copied) if !self.read_only => Ok(copied),
            _ => Err(Error::denied(format!("volume {} is attached read-only", self.volume))),
        }
    }
}

impl BlockDevice for Device {
    type Settings = Settings;

    async fn open(pool: &HttpPool, volume: &str, access: Access, holder: Option<&Holder>) -> Result<Self> {
        let folder = Folder::of(&pool.settings);
        let overlay = if folder.has(volume)? { Some(folder.overlay(volume)?) } else { None };
        let name = overlay.as_ref().map_or(volume, |overlay| &overlay.base.name);
        let events = Rc::new(Events::default());
        let client = Client::new(SERVER, pool.settings.connections.into(), events.clone());
        let base = overlay.as_ref().map(|overlay| &overlay.base);
        let pin = known::right(&client, &pool.settings, name, base).await;
        let pin = pin.inspect_err(|error| client.end(error.clone()))?;
        let read_only = overlay.is_none() || access == Access::ReadOnly || holder.is_none();
        let opened = match overlay {
            Some(overlay) => {
                let file = File::open(&pool.settings.directory, &folder::file(volume)?, !read_only)?;
                Some((file, overlay))
            }
            None => None,
        };
        let image = Rc::new(Remote::new(&pool.settings, pin, client, events.clone()));
        let copied = opened.map(|(file, overlay)| Copied::new(volume, file, overlay, image.clone()));
        Ok(Device { volume: volume.to_owned(), image, copied, events, read_only })
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            size: self.copied.as_ref().map_or_else(|| self.image.size(), Copied::size),
            block_size: BLOCK,
            preferred_io: PREFERRED,
            maximum_io: MAXIMUM,
            maximum_requests: REQUESTS,
            can_discard: !self.read_only,
            can_write_zeroes: !self.read_only,
            can_extents: false,
            rotational: false,
            read_only: self.read_only,
        }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.read_data(offset, length).await.map(Data::into_bytes)
    }

    async fn read_data(&self, offset: u64, length: u32) -> Result<Data> {
        match &self.copied {
            Some(copied) => copied.read(offset, length).await,
            None => self.image.read(offset, length).await.map(Data::Bytes),
        }
    }

    async fn write(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<()> {
        self.write_data(offset, Data::Bytes(data), durable).await
    }

    async fn write_data(&self, offset: u64, data: Data, durable: bool) -> Result<()> {
        let copied = self.copied()?;
        copied.write(offset, data).await?;
        if durable { copied.sync() } else { Ok(()) }
    }

    async fn flush(&self) -> Result<()> {
        if self.read_only { Ok(()) } else { self.copied()?.sync() }
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        self.copied()?.discard(offset, length)
    }

    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, durable: bool) -> Result<()> {
        let copied = self.copied()?;
        copied.write_zeroes(offset, length, keep).await?;
        if durable { copied.sync() } else { Ok(()) }
    }

    async fn next_event(&self) -> Event {
        self.events.next().await
    }

    async fn close(&self) -> Result<()> {
        let flushed = self.flush().await;
        self.image.end(Error::wrong_state(format!("volume {} was let go of", self.volume)));
        flushed
    }
}
