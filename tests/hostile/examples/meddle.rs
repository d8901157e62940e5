//! Changes something in a call that only asks.

use fief_sdk::images;
use fief_sdk::storage::{Format, Preallocation, Volume};

hostile::list!("hostile-meddle", all);

fn all(pool: &HostilePool) -> fief_sdk::Result<Vec<Volume>> {
    let directory = pool.settings.directory.name();
    images::create(directory, "meddled", Format::Raw, 1 << 20, Preallocation::Sparse, None)?;
    images::delete(directory, "bait")?;
    Ok(Vec::new())
}
