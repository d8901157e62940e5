//! A volume that is served.

use std::rc::Rc;

use fief_sdk::block::{BlockDevice, Event, Events, Geometry, Holder};
use fief_sdk::storage::Access;
use fief_sdk::{Error, Result};
use plain_http::Client;

use crate::bucket::Bucket;
use crate::chunks::{Change, Chunks};
use crate::{S3Pool, SERVER, Settings, existing};

const BLOCK: u32 = 512;
const MAXIMUM: u32 = 1 << 20;
const REQUESTS: u32 = 64;

pub struct Device {
    volume: String,
    chunks: Rc<Chunks>,
    size: u64,
    read_only: bool,
    events: Rc<Events>,
}

/// A stretch of one chunk.
struct Piece {
    number: u64,
    from: u64,
    length: u64,
}

impl Device {
    fn pieces(&self, offset: u64, length: u64) -> Vec<Piece> {
        let (chunk, end) = (u64::from(self.chunks.chunk), offset + length);
        let mut pieces = Vec::new();
        let mut at = offset;
        while at < end {
            let (number, from) = (at / chunk, at % chunk);
            let length = (chunk - from).min(end - at);
            pieces.push(Piece { number, from, length });
            at += length;
        }
        pieces
    }

    fn writable(&self) -> Result<()> {
        match self.read_only {
            true => Err(Error::denied(format!("volume {} is attached read-only", self.volume))),
            false => Ok(()),
        }
    }

    /// All of it, up to the volume's end.
    fn is_whole(&self, piece: &Piece) -> bool {
        let chunk = u64::from(self.chunks.chunk);
        piece.from == 0 && piece.length == chunk.min(self.size - piece.number * chunk)
    }
}

impl BlockDevice for Device {
    type Settings = Settings;

    async fn open(pool: &S3Pool, volume: &str, access: Access, holder: Option<&Holder>) -> Result<Self> {
        let events = Rc::new(Events::default());
        let client = Client::new(SERVER, pool.settings.connections.into(), events.clone());
        let bucket = Bucket::new(client.clone(), &pool.settings);
        let opened = async {
            let bucket = bucket?;
            let (about, _) = existing(&bucket, volume).await?;
            Ok((bucket, about))
        };
        let (bucket, about) = opened.await.inspect_err(|error: &Error| client.end(error.clone()))?;
        let chunks = Rc::new(Chunks::new(bucket, volume, about.chunk, events.clone()));
        let read_only = access == Access::ReadOnly || holder.is_none();
        Ok(Device { volume: volume.to_owned(), chunks, size: about.size, read_only, events })
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            size: self.size,
            block_size: BLOCK,
            preferred_io: self.chunks.chunk,
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
        let mut all = Vec::with_capacity(length as usize);
        for Piece { number, from, length } in self.pieces(offset, length.into()) {
            all.extend(self.chunks.read(number, from, length as u32).await?);
        }
        Ok(all)
    }

    async fn write(&self, offset: u64, data: Vec<u8>, _: bool) -> Result<()> {
        self.writable()?;
        let mut rest = data;
        for Piece { number, from, length } in self.pieces(offset, rest.len() as u64) {
            let after = rest.split_off(length as usize);
            self.chunks.change(number, Change::Bytes(from as usize, rest)).await?;
            rest = after;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        // What was answered is on the server.
        Ok(())
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<()> {
        self.writable()?;
        for piece in self.pieces(offset, length).into_iter().filter(|piece| self.is_whole(piece)) {
            self.chunks.change(piece.number, Change::Nothing).await?;
        }
        Ok(())
    }

    async fn write_zeroes(&self, offset: u64, length: u64, keep: bool, _: bool) -> Result<()> {
        self.writable()?;
        if keep {
            return Err(Error::unsupported("a store keeps no room for zeroes"));
        }
        for piece in self.pieces(offset, length) {
            let change = match self.is_whole(&piece) {
                true => Change::Nothing,
                false => Change::Bytes(piece.from as usize, vec![0; piece.length as usize]),
            };
            self.chunks.change(piece.number, change).await?;
        }
        Ok(())
    }

    async fn next_event(&self) -> Event {
        self.events.next().await
    }

    async fn close(&self) -> Result<()> {
        self.chunks.end(Error::wrong_state(format!("volume {} was let go of", self.volume)));
        Ok(())
    }
}
