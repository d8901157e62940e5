//! Notes with a unit: keys that are registered with it, beside those of whoever writes to it. A registration alone holds
//! nothing and shuts nobody out, and fences pass over keys with the mark of a note.

use fief_sdk::storage::Notes;
use fief_sdk::{Error, Result};

use crate::StorageIscsi;
use crate::control::{unit_of, with};
use crate::exchange::Carrier;
use crate::fence::acts::{change, registered_keys};
use crate::fence::{note_key, note_of};
use crate::isid;
use crate::scsi::reservation::Action;
use crate::settings::IscsiPool;

/// Most that are told.
const MOST: usize = 64;
/// More were left by hosts that died, and go: a key has no age.
const LEFT_OVER: usize = 16;

async fn notes(carrier: &impl Carrier, lun: [u8; 8]) -> Result<Option<Vec<u64>>> {
    let keys = registered_keys(carrier, lun).await?;
    Ok(keys.map(|keys| keys.keys.into_iter().filter_map(note_of).take(MOST).collect()))
}

async fn leave(carrier: &impl Carrier, lun: [u8; 8], note: u64) -> Result<()> {
    let Some(there) = notes(carrier, lun).await? else {
        return Err(Error::unsupported("the unit has no persistent reservations, in which notes are kept"));
    };
    if there.len() > LEFT_OVER {
        for left in there {
            remove(carrier, lun, left).await?;
        }
    }
    change(carrier, lun, Action::Register, 0, note_key(note)).await
}

/// All sessions of this key are put out, ours last. Nobody holds the unit by such a key, so nothing is let go with it.
async fn remove(carrier: &impl Carrier, lun: [u8; 8], note: u64) -> Result<()> {
    let key = note_key(note);
    if !notes(carrier, lun).await?.unwrap_or_default().contains(&note) {
        return Ok(());
    }
    change(carrier, lun, Action::Register, 0, key).await?;
    change(carrier, lun, Action::Preempt, key, key).await?;
    change(carrier, lun, Action::Register, key, 0).await
}

impl Notes for StorageIscsi {
    fn leave(pool: &IscsiPool, volume: &str, note: u64) -> Result<()> {
        let (_, lun) = unit_of(pool, volume)?;
        with(pool, isid::new()?, async |session| leave(session, lun, note).await)
            .map_err(|error| error.while_doing(format!("cannot leave a note with volume {volume}")))
    }

    fn read(pool: &IscsiPool, volume: &str) -> Result<Vec<u64>> {
        let (_, lun) = unit_of(pool, volume)?;
        with(pool, isid::new()?, async |session| notes(session, lun).await)
            .map(Option::unwrap_or_default)
            .map_err(|error| error.while_doing(format!("cannot read the notes of volume {volume}")))
    }

    fn remove(pool: &IscsiPool, volume: &str, note: u64) -> Result<()> {
        let (_, lun) = unit_of(pool, volume)?;
        with(pool, isid::new()?, async |session| remove(session, lun, note).await)
            .map_err(|error| error.while_doing(format!("cannot take a note away from volume {volume}")))
    }
}
