//! From the name of an image to the one that is read: what this host knows by it, and what the server has.

use fief_sdk::Result;
use plain_http::Ask;

use crate::folder::Folder;
use crate::index::{self, Image};
use crate::pin::Pin;
use crate::{Settings, image};

/// The image of that name, as this host knows it from now on if it did not yet; the server has it still. Where a volume stands on
/// it, it is `base`.
///
/// # Errors
/// `corrupt` where it is another; `not-found`, `unreachable` and the like.
pub(crate) async fn right(server: &impl Ask, settings: &Settings, name: &str, base: Option<&Image>) -> Result<Pin> {
    let folder = Folder::of(settings);
    let pin = match (folder.pin(name)?, base) {
        (Some(pin), Some(_)) => pin,
        // By its name alone: the index says whether that still means the same.
        (Some(pin), None) => {
            if index::find(server, settings, name).await?.image != pin.image {
                return Err(image::changed(name, "the index says another size or sha256"));
            }
            pin
        }
        (None, _) => {
            let entry = index::find(server, settings, name).await?;
            folder.remember(&image::first_look(server, settings, entry).await?)?
        }
    };
    if base.is_some_and(|base| *base != pin.image) {
        return Err(image::changed(name, "its size or sha256 is not that of the image that the volume stands on"));
    }
    image::look(server, settings, &pin).await?;
    Ok(pin)
}
