//! Makes images, and fails in the middle.

use fief_sdk::images;
use fief_sdk::storage::{Format, Preallocation, Volume, VolumeSpec};

hostile::create!("hostile-half", create);

fn create(pool: &HostilePool, spec: &VolumeSpec) -> fief_sdk::Result<Volume> {
    let directory = pool.settings.directory.name();
    for name in ["first", "second", &spec.name] {
        images::create(directory, name, Format::Qcow2, spec.size, Preallocation::Sparse, None)?;
    }
    images::resize(directory, "first", spec.size * 2)?;
    images::snapshot_create(directory, "second", "snapshot")?;
    images::delete(directory, "bait")?;
    panic!("in the middle of it");
}
