//! A qcow2 image as a guest sees it, for reading: so it is copied.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use fief_sdk::block::Extent;
use fief_sdk::{Error, Result};

use super::Served;
use crate::mapped::{Map, Place, Start};
use crate::qcow2::HEAD;

/// Second-level tables that are held, each a cluster (2 MiB at most): of one who reads from front to back, few are asked for.
const TABLES: usize = 4;
/// Longest stretch that one question about holes is answered with, in bytes.
const LONGEST: u64 = 1 << 30;

#[derive(Debug)]
pub(super) struct Image {
    pub(super) map: Map,
    /// By where they are, the last one that was read first.
    tables: RefCell<VecDeque<(u64, Rc<Vec<u8>>)>>,
}

impl Served {
    pub(super) async fn read_map(&self) -> Result<Image> {
        let doing = || format!("cannot read volume {}", self.volume);
        let start = Start::of(&self.read_file(0, HEAD).await?).map_err(|error| error.while_doing(doing()))?;
        let table = self.read_file(start.table, start.length).await?;
        Ok(Image { map: start.map(&table), tables: RefCell::default() })
    }

    async fn place(&self, image: &Image, offset: u64) -> Result<Place> {
        let Some(at) = image.map.second(offset) else { return Ok(Place::Zero) };
        let held = image.tables.borrow().iter().find(|(place, _)| *place == at).map(|(_, table)| table.clone());
        let table = match held {
            Some(table) => table,
            None => {
                let length = u32::try_from(image.map.cluster()).unwrap_or(u32::MAX);
                let table = Rc::new(self.read_file(at, length).await?);
                let mut tables = image.tables.borrow_mut();
                tables.truncate(TABLES - 1);
                tables.push_front((at, table.clone()));
                table
            }
        };
        let doing = |error: Error| error.while_doing(format!("cannot read volume {}", self.volume));
        image.map.place(&table, offset).map_err(doing)
    }

    /// What lies at an offset, and how far that goes on.
    async fn stretch(&self, image: &Image, at: u64, most: u64) -> Result<(Place, u64)> {
        let cluster = image.map.cluster();
        let first = self.place(image, at).await?;
        let mut length = (cluster - at % cluster).min(most);
        while length < most {
            let goes_on = match (first, self.place(image, at + length).await?) {
                (Place::Zero, Place::Zero) => true,
                (Place::Data(begins), Place::Data(next)) => next == begins + length,
                (Place::Zero, Place::Data(_)) | (Place::Data(_), Place::Zero) => false,
            };
            if !goes_on {
                break;
            }
            length = (length + cluster).min(most);
        }
        Ok((first, length))
    }

    pub(super) async fn read_image(&self, image: &Image, offset: u64, length: u32) -> Result<Vec<u8>> {
        let length = length as usize;
        let mut all = Vec::with_capacity(length);
        while all.len() < length {
            let missing = (length - all.len()) as u64;
            let (place, stretch) = self.stretch(image, offset + all.len() as u64, missing).await?;
            match place {
                Place::Zero => all.resize(all.len() + stretch as usize, 0),
                Place::Data(at) => all.extend(self.read_file(at, stretch as u32).await?),
            }
        }
        Ok(all)
    }

    pub(super) async fn extents_of_image(&self, image: &Image, offset: u64, length: u64) -> Result<Vec<Extent>> {
        let (place, length) = self.stretch(image, offset, length.min(LONGEST)).await?;
        let zero = place == Place::Zero;
        Ok(vec![Extent { length, hole: zero, zero }])
    }
}
