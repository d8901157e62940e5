//! Copy on write. A cluster is the image's until something is written to it; then all of it is in the file.
//!
//! ```text
//!   the image's ── written: read, changed, into the file ──▸ fresh ── sync; its bit; sync ──▸ the file's, for ever
//!        ▴                                                     │
//!        └───────────────── a crash before a flush ────────────┘
//! ```
//! There is one thread, and what touches the file does not wait: between two `await`s nothing else happens.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fief_sdk::files::File;
use fief_sdk::payload::Data;
use fief_sdk::{Error, ErrorCode, Result};

use crate::image::Remote;
use crate::overlay::{Bitmap, CLUSTER, DATA, HEAD, Overlay, Piece, pieces};

pub(super) struct Copied {
    volume: String,
    file: File,
    size: u64,
    image: Rc<Remote>,
    /// Clusters whose bytes are in the file, whether or not that is safe yet.
    here: RefCell<Bitmap>,
    /// Those of them whose bits are not in the file yet.
    fresh: RefCell<Vec<u64>>,
    /// Why a flush failed, once one has: what was written before may be lost, and no later success says otherwise.
    lost: RefCell<Option<Error>>,
    no_holes: Cell<bool>,
}

impl Copied {
    pub(super) fn new(volume: &str, file: File, overlay: Overlay, image: Rc<Remote>) -> Self {
        let Overlay { base: _, size, here } = overlay;
        Copied {
            volume: volume.to_owned(),
            file,
            size,
            image,
            here: RefCell::new(here),
            fresh: RefCell::default(),
            lost: RefCell::default(),
            no_holes: Cell::default(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    fn pieces(&self, offset: u64, length: u64, each: bool) -> Vec<Piece> {
        pieces(&self.here.borrow(), offset, length, each)
    }

    pub(super) async fn read(&self, offset: u64, length: u32) -> Result<Data> {
        let pieces = self.pieces(offset, length.into(), false);
        if let [Piece { here: true, .. }] = pieces[..] {
            return self.file.read_payload(DATA + offset, length).await.map(Data::Payload);
        }
        let mut all = Vec::with_capacity(length as usize);
        for Piece { offset, length, here } in pieces {
            let length = length as u32;
            all.extend(match here {
                true => self.file.read(DATA + offset, length)?,
                false => self.image.read(offset, length).await?,
            });
        }
        match all.len() == length as usize {
            true => Ok(Data::Bytes(all)),
            false => Err(Error::io(format!("the file of volume {} has become shorter", self.volume))),
        }
    }

    pub(super) async fn write(&self, offset: u64, data: Data) -> Result<()> {
        if let [Piece { here: true, .. }] = self.pieces(offset, data.len() as u64, true)[..] {
            return self.file.write_data(DATA + offset, &data).await;
        }
        let data = data.into_bytes();
        for piece in self.pieces(offset, data.len() as u64, true) {
            let from = (piece.offset - offset) as usize;
            let bytes = &data[from..from + piece.length as usize];
            self.write_piece(piece, bytes).await?;
        }
        Ok(())
    }

    async fn write_piece(&self, piece: Piece, bytes: &[u8]) -> Result<()> {
        let Piece { offset, length, here } = piece;
        let cluster = offset / CLUSTER;
        let (start, end) = (cluster * CLUSTER, ((cluster + 1) * CLUSTER).min(self.size));
        if here {
            return self.file.write(DATA + offset, bytes);
        }
        if (offset, length) == (start, end - start) {
            self.file.write(DATA + offset, bytes)?;
            self.took(cluster);
            return Ok(());
        }
        let mut whole = self.image.read(start, (end - start) as u32).await?;
        // Another write may have brought it here meanwhile.
        if self.here.borrow().has(cluster) {
            return self.file.write(DATA + offset, bytes);
        }
        let from = (offset - start) as usize;
        whole[from..from + bytes.len()].copy_from_slice(bytes);
        self.file.write(DATA + start, &whole)?;
        self.took(cluster);
        Ok(())
    }

    fn took(&self, cluster: u64) {
        let mut here = self.here.borrow_mut();
        if !here.has(cluster) {
            here.set(cluster);
            self.fresh.borrow_mut().push(cluster);
        }
    }

    /// What was written is safe once it comes back: first the bytes, then the bits that say that they are there.
    pub(super) fn sync(&self) -> Result<()> {
        if let Some(error) = &*self.lost.borrow() {
            return Err(error.clone());
        }
        let synced = self.try_sync();
        if let Err(error) = &synced {
            let lost = Error::io(format!("what was written to volume {} may be lost: {}", self.volume, error.message));
            self.lost.replace(Some(Error { code: error.code.clone(), ..lost }));
        }
        synced
    }

    fn try_sync(&self) -> Result<()> {
        self.file.sync()?;
        let fresh = self.fresh.take();
        if fresh.is_empty() {
            return Ok(());
        }
        let mut bytes: Vec<(u64, u8)> = fresh.iter().map(|cluster| self.here.borrow().byte_of(*cluster)).collect();
        bytes.sort_unstable();
        bytes.dedup();
        // Bytes side by side in one write.
        for run in bytes.chunk_by(|one, next| one.0 + 1 == next.0) {
            let bits: Vec<u8> = run.iter().map(|(_, bits)| *bits).collect();
            self.file.write(HEAD + run[0].0, &bits)?;
        }
        self.file.sync()
    }

    /// Where the image shows through, it does so still: there is nothing to free.
    pub(super) fn discard(&self, offset: u64, length: u64) -> Result<()> {
        for piece in self.pieces(offset, length, false).into_iter().filter(|piece| piece.here) {
            self.punch(piece.offset, piece.length)?;
        }
        Ok(())
    }

    pub(super) async fn write_zeroes(&self, offset: u64, length: u64, keep: bool) -> Result<()> {
        if keep {
            return Err(Error::unsupported("zeroes that stay allocated are written"));
        }
        for piece in self.pieces(offset, length, true) {
            let cluster = piece.offset / CLUSTER;
            let whole = piece.offset % CLUSTER == 0 && piece.length == CLUSTER.min(self.size - piece.offset);
            if piece.here || whole {
                // Of a cluster that is not here, too: a crash may have left there what was never flushed.
                self.punch(piece.offset, piece.length)?;
                if !piece.here {
                    self.took(cluster);
                }
            } else {
                self.write_piece(piece, &vec![0; piece.length as usize]).await?;
            }
        }
        Ok(())
    }

    fn punch(&self, offset: u64, length: u64) -> Result<()> {
        let none = || Error::unsupported("this file system makes no holes");
        if self.no_holes.get() {
            return Err(none());
        }
        match self.file.punch(DATA + offset, length) {
            Err(error) if error.code == ErrorCode::Unsupported => {
                self.no_holes.set(true);
                Err(none())
            }
            other => other,
        }
    }
}
