//! The gate's own names beside an image: what makes a change that was cut off in the middle plain to see.
//!
//! ```text
//!   .fief-new-NAME-RANDOM    an image that is being made; a second name of it until its change is sealed
//!   .fief-gone-NAME-RANDOM   an image that was deleted, until its change is sealed
//!   .fief-mark-NAME          what a change in place (a resize, a snapshot, a new name) set out from
//! ```
//!
//! An intent without an outcome in the ledger says only that the act may have begun. What stands under these names
//! says whether it has, so that undoing it never takes what was there before.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, Stat};
use serde::{Deserialize, Serialize};

use super::place::{Place, RESERVED};
use crate::error::{Context, Result};
use crate::gate::Operation;
use crate::gate::operation::ImageFormat;
use crate::sys::{beneath, durable};
use crate::types::{ByteSize, Digest};

/// Longer names than this are told by their digest, so that all of it fits the 255 bytes of a file name.
const STEM_MAX: usize = 200;
/// Digits that [`durable::random_name`] gives.
const RANDOM_LENGTH: usize = 16;
/// A marker is an operation and two words; more than this is not ours.
const MARK_MAX: u64 = 64 << 10;

#[derive(Debug, Clone, Copy)]
pub(super) enum Aside {
    New,
    Gone,
}

impl Aside {
    fn prefix(self, leaf: &str) -> String {
        let word = match self {
            Aside::New => "new",
            Aside::Gone => "gone",
        };
        format!("{RESERVED}{word}-{}-", stem(leaf))
    }

    /// A name that is not in use.
    pub(super) fn fresh(self, leaf: &str) -> Result<String> {
        let random = durable::random_name().context(|| "cannot get random bytes".into())?;
        Ok(self.prefix(leaf) + &random)
    }

    /// What stands under such names for `place`.
    pub(super) fn all(self, place: &Place) -> Result<Vec<(String, Stat)>> {
        let saying = || format!("cannot list the folder of {}", place.path);
        let prefix = self.prefix(&place.leaf);
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&place.folder).context(saying)? {
            let entry = entry.context(saying)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let random = name.strip_prefix(&prefix).unwrap_or_default();
            if random.len() == RANDOM_LENGTH
                && random.bytes().all(|b| b.is_ascii_hexdigit())
                && let Some(stat) = beneath::look(&place.folder, name).context(saying)?
            {
                found.push((name.to_owned(), stat));
            }
        }
        Ok(found)
    }
}

fn stem(leaf: &str) -> String {
    if leaf.len() <= STEM_MAX { leaf.to_owned() } else { Digest::of(leaf.as_bytes()).hex() }
}

/// What a change in place set out from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Mark {
    pub operation: Operation,
    pub format: ImageFormat,
    pub before: ByteSize,
}

impl Mark {
    /// Written and on disk before the change begins.
    pub(super) fn set(&self, place: &Place) -> Result<()> {
        let saying = || format!("cannot mark the change of {}", place.path);
        let bytes = serde_json::to_vec(self).context(saying)?;
        Mark::clear(place)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut file = File::from(mark_file(place, flags).context(saying)?);
        file.write_all(&bytes).and_then(|()| file.sync_all()).context(saying)?;
        place.sync()
    }

    /// The mark of `operation`, where its act has begun.
    pub(super) fn of(place: &Place, operation: &Operation) -> Option<Mark> {
        let file = beneath::open_file(&place.folder, mark_name(place), false).ok()?;
        let mut bytes = Vec::new();
        file.take(MARK_MAX).read_to_end(&mut bytes).ok()?;
        // One that was cut off was not on disk when fief died, so the act had not begun.
        serde_json::from_slice::<Mark>(&bytes).ok().filter(|mark| mark.operation == *operation)
    }

    pub(super) fn clear(place: &Place) -> Result<()> {
        beneath::remove(&place.folder, &mark_name(place)).context(|| format!("cannot unmark {}", place.path))
    }
}

fn mark_name(place: &Place) -> String {
    format!("{RESERVED}mark-{}", stem(&place.leaf))
}

fn mark_file(place: &Place, flags: OFlags) -> std::io::Result<OwnedFd> {
    beneath::open(&place.folder, mark_name(place), flags, Mode::from_raw_mode(0o600))
}
