//! Makes what it was asked for, and tells of something else.

use fief_sdk::storage::{Volume, VolumeSpec};

hostile::create!("hostile-lie", create);

fn create(pool: &HostilePool, spec: &VolumeSpec) -> fief_sdk::Result<Volume> {
    hostile::calm::create(pool, spec)?;
    Ok(hostile::calm::volume("../../etc/shadow", spec.size))
}
