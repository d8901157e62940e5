//! Volumes as the host is told of them.

use fief_sdk::storage::{Format, Volume};

use crate::index::Image;
use crate::overlay::Overlay;

/// Sizes are multiples of it, in bytes.
pub(crate) const SECTOR: u64 = 512;

pub(crate) fn of_image(image: &Image) -> Volume {
    let Image { name, size, .. } = image;
    Volume { name: name.clone(), size: *size, allocated: Some(*size), format: Format::Raw, backing: None }
}

pub(crate) fn of_overlay(name: &str, overlay: &Overlay) -> Volume {
    Volume {
        name: name.to_owned(),
        size: overlay.size,
        allocated: Some(overlay.written_bytes()),
        format: Format::Raw,
        backing: Some(overlay.base.name.clone()),
    }
}
