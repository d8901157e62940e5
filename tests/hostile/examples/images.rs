//! Tries to make, read and remove images outside of its directory, through the host's own functions.

use fief_sdk::storage::{Format, Preallocation, Volume, VolumeSpec};
use fief_sdk::{Error, images};

hostile::create!("hostile-images", create);

fn create(pool: &HostilePool, spec: &VolumeSpec) -> fief_sdk::Result<Volume> {
    let directory = pool.settings.directory.name();
    let path = pool.settings.path.as_str();
    let sparse = Preallocation::Sparse;
    let inside = images::create(directory, "inside", Format::Raw, 1 << 20, sparse, None)?;
    let tries = [
        images::create(directory, path, Format::Raw, 1 << 20, sparse, None).map(drop),
        images::create(directory, "clone", Format::Qcow2, 1 << 20, sparse, Some(path)).map(drop),
        images::inspect(directory, path).map(drop),
        images::copy(directory, path, None, "copy", Format::Raw).map(drop),
        images::copy(directory, "inside", None, path, Format::Raw).map(drop),
        images::resize(directory, path, 1 << 30).map(drop),
        images::snapshot_create(directory, path, "snapshot").map(drop),
        images::delete(directory, path),
        images::space(path).map(drop),
    ];
    match tries.iter().position(Result::is_ok) {
        None => Err(Error::denied("nothing outside could be reached")),
        Some(way) => Ok(hostile::calm::volume(&spec.name, inside.virtual_size + way as u64)),
    }
}
