//! Streams that a source sends, at `fief serve`: memory goes on to the hypervisor that waits for it, a state into a file of the
//! domain's, a volume into its pool.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::io::copy_bidirectional_with_sizes;
use uuid::Uuid;

use super::channels::{self, Asked};
use super::desk::{Awaited, awaited, offered};
use super::forget::named;
use super::words::{Cargo, Purpose};
use super::{MEMORY, STATE, along};
use crate::domain::volume::{Coming, Part, arrive};
use crate::error::{Context, Failure, Result};
use crate::fault;
use crate::gate::Gate;
use crate::layout::Layout;
use crate::migration::copying::Progress;
use crate::migration::copying::state::receive_file;
use crate::migration::limits::CHANNELS_MAX;
use crate::migration::message::Offer;
use crate::peer::{Caller, Stream};
use crate::sys::socket;

/// Longest state, in bytes: of a guest with as much memory as a host may have.
const STATE_MOST: u64 = 32 << 40;
/// Of a stream, each way, in bytes.
const PIECE: usize = 256 << 10;

/// Where a stream goes.
pub(super) enum Place {
    Memory {
        /// The domain's.
        folder: PathBuf,
    },
    Channel {
        folder: PathBuf,
        asked: Asked,
    },
    State {
        folder: PathBuf,
    },
    Volume(Box<Coming>, Part),
}

/// Nobody but the host that a domain is expected from has a way there.
///
/// # Errors
/// `Usage` where those are no words of a stream's; `Conflict` where nothing is expected from that host.
pub(super) fn place(layout: &Layout, caller: &Caller, purpose: &Value) -> Result<Place> {
    let purpose: Purpose = serde_json::from_value(purpose.clone())
        .map_err(|error| Failure::usage("not the purpose of a stream of a move").because(error))?;
    let none = || Failure::conflict("no such domain is expected from that host");
    let name = named(layout, purpose.domain)?.ok_or_else(none)?;
    let folder = layout.domain(&name);
    let Awaited { from, domain, attempt, offer } = awaited(layout, &name).ok_or_else(none)?;
    if from != caller.host || domain != purpose.domain || attempt != purpose.attempt {
        return Err(none());
    }
    match purpose.what {
        Cargo::Memory => Ok(Place::Memory { folder }),
        Cargo::Channel(channel) if (1..=CHANNELS_MAX).contains(&channel.of) && channel.number <= channel.of => {
            Ok(Place::Channel { folder, asked: Asked { attempt, channel } })
        }
        Cargo::Channel(_) => Err(Failure::usage("no move has so many connections")),
        Cargo::State => Ok(Place::State { folder }),
        Cargo::Volume(index) => coming(&offer, domain, index).map(|coming| Place::Volume(coming, Part::Disk)),
        Cargo::Snapshot { volume, place } => {
            let coming = coming(&offer, domain, volume)?;
            match coming.snapshots.get(usize::from(place)) {
                Some(_) => Ok(Place::Volume(coming, Part::Snapshot(place.into()))),
                None => Err(Failure::usage("no such snapshot comes")),
            }
        }
    }
}

fn coming(offer: &Offer, domain: Uuid, index: u16) -> Result<Box<Coming>> {
    let coming = along::coming(offer, &offered(offer, domain)?)?.into_iter().nth(index.into());
    coming.map(Box::new).ok_or_else(|| Failure::usage("no such volume comes"))
}

impl Place {
    pub(super) async fn take(self, gate: &Gate, stream: Stream) -> Result<()> {
        match self {
            Place::Memory { folder } => memory(&folder, stream).await,
            Place::Channel { folder, asked } => {
                fault::point("channel.came")?;
                both_ways(channels::reach(&folder, asked).await?, stream).await
            }
            Place::State { folder } => state(&folder, stream).await,
            Place::Volume(coming, part) => arrive(gate, *coming, part, stream, &Progress::default()).await,
        }
    }
}

fn saying() -> String {
    "a guest's memory cannot come in".to_owned()
}

async fn memory(folder: &Path, stream: Stream) -> Result<()> {
    let here = socket::connect_in(folder, MEMORY).context(saying)?;
    here.set_nonblocking(true).context(saying)?;
    // A guest that fetches its memory waits for the pages that it asks for.
    stream.is_read_at_once().context(saying)?;
    both_ways(tokio::net::UnixStream::from_std(here).context(saying)?, stream).await
}

async fn both_ways(mut here: tokio::net::UnixStream, mut stream: Stream) -> Result<()> {
    copy_bidirectional_with_sizes(&mut stream, &mut here, PIECE, PIECE).await.map(drop).context(saying)
}

/// A guest's state, into a file that may hold the beginning of it.
async fn state(folder: &Path, stream: Stream) -> Result<()> {
    let mut options = std::fs::File::options();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(folder.join(STATE));
    let file = file.context(|| "cannot keep a guest's state".to_owned())?;
    receive_file(stream, file, STATE_MOST, &Progress::default()).await.map(drop)
}
