//! The directory of a pool: its overlays, and what is known of images.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

use fief_sdk::storage::Format;
use fief_sdk::{Error, Result, directory, image_name};

use crate::Settings;
use crate::index::Image;
use crate::overlay::{self, Bitmap, DATA, HEAD, Overlay};
use crate::pin::Pin;

const OVERLAY: &str = ".overlay";
const PIN: &str = ".image";
/// Most bytes of what is known of an image.
const MOST_PIN: u64 = 4 << 10;

/// The name of a volume's file.
pub(crate) fn file(name: &str) -> Result<String> {
    image_name::file(name, Format::Raw).map(|name| name + OVERLAY)
}

pub(crate) struct Folder {
    path: PathBuf,
}

fn failed(doing: impl std::fmt::Display) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::from_io(&error, &doing)
}

impl Folder {
    pub(crate) fn of(settings: &Settings) -> Self {
        Folder { path: settings.directory.path() }
    }

    fn overlay_path(&self, name: &str) -> Result<PathBuf> {
        file(name).map(|file| self.path.join(file))
    }

    fn pin_path(&self, image: &str) -> Result<PathBuf> {
        image_name::file(image, Format::Raw).map(|name| self.path.join(name + PIN))
    }

    /// The names of all volumes.
    pub(crate) fn overlays(&self) -> Result<Vec<String>> {
        let failed = failed("cannot read the directory of the pool");
        let mut names = Vec::new();
        for file in directory::names(&self.path).map_err(failed)? {
            if let Some(name) = file.strip_suffix(OVERLAY)
                && image_name::file(name, Format::Raw).is_ok()
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    pub(crate) fn has(&self, name: &str) -> Result<bool> {
        self.overlay_path(name)?.try_exists().map_err(failed(format!("cannot look for volume {name}")))
    }

    /// # Errors
    /// `corrupt`: its file is no overlay.
    pub(crate) fn overlay(&self, name: &str) -> Result<Overlay> {
        let failed = failed(format!("cannot read the file of volume {name}"));
        let file = File::open(self.overlay_path(name)?).map_err(&failed)?;
        let length = file.metadata().map_err(&failed)?.len();
        let mut head = Vec::new();
        (&file).take(HEAD).read_to_end(&mut head).map_err(&failed)?;
        let (Some(base), Some(size)) = (overlay::base(&head), overlay::size(length)) else {
            return Err(Error::corrupt(format!("the file of volume {name} is no overlay of a catalogue")));
        };
        let mut bits = Vec::new();
        file.take(Bitmap::bytes(size)).read_to_end(&mut bits).map_err(&failed)?;
        Ok(Overlay { base, size, here: Bitmap::new(bits) })
    }

    /// An empty one; it is there whole or not at all.
    pub(crate) fn create(&self, name: &str, base: &Image) -> Result<()> {
        let failed = failed(format!("cannot make the file of volume {name}"));
        let (path, new) = (self.overlay_path(name)?, self.path.join(format!(".{name}{OVERLAY}.new")));
        let mut file = File::create(&new).map_err(&failed)?;
        file.write_all(&overlay::head(base)).map_err(&failed)?;
        file.set_len(DATA + base.size).map_err(&failed)?;
        file.sync_all().map_err(&failed)?;
        fs::rename(&new, &path).map_err(&failed)?;
        self.sync();
        Ok(())
    }

    pub(crate) fn grow(&self, name: &str, size: u64) -> Result<()> {
        if size > overlay::LARGEST {
            return Err(Error::invalid(format!("a volume of a catalogue has {} bytes at most", overlay::LARGEST)));
        }
        let failed = failed(format!("cannot grow the file of volume {name}"));
        let file = File::options().write(true).open(self.overlay_path(name)?).map_err(&failed)?;
        file.set_len(DATA + size).and_then(|()| file.sync_all()).map_err(&failed)
    }

    pub(crate) fn rename(&self, name: &str, to: &str) -> Result<()> {
        let moved = fs::rename(self.overlay_path(name)?, self.overlay_path(to)?);
        moved.map_err(failed(format!("cannot rename volume {name}")))?;
        self.sync();
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        gone(fs::remove_file(self.overlay_path(name)?)).map_err(failed(format!("cannot delete volume {name}")))?;
        self.sync();
        Ok(())
    }

    /// What this host knows of an image.
    pub(crate) fn pin(&self, image: &str) -> Result<Option<Pin>> {
        let path = self.pin_path(image)?;
        let failed = failed(format!("cannot read what is known of image {image}"));
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = String::new();
        file.take(MOST_PIN).read_to_string(&mut text).map_err(&failed)?;
        match Pin::read(&text).filter(|pin| pin.image.name == image) {
            Some(pin) => Ok(Some(pin)),
            None => Err(Error::corrupt(format!("{image}{PIN} in the pool's directory is not what this plugin wrote"))),
        }
    }

    /// From now on this is the image of that name. Of several that come at a time, the first says which; gives what is known.
    pub(crate) fn remember(&self, pin: &Pin) -> Result<Pin> {
        let name = &pin.image.name;
        let failed = failed(format!("cannot note what image {name} is"));
        let (path, new) = (self.pin_path(name)?, self.path.join(format!(".{name}{PIN}.{:016x}", random())));
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(pin.text().as_bytes())?;
            file.sync_all()
        });
        let linked = written.and_then(|()| fs::hard_link(&new, &path));
        gone(fs::remove_file(&new)).map_err(&failed)?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
            Ok(()) | Err(_) => self.sync(),
        }
        let known = self.pin(name)?.ok_or_else(|| Error::io(format!("what is known of image {name} is gone again")))?;
        match known.image == pin.image {
            true => Ok(known),
            false => Err(crate::image::changed(name, "it was changed a moment ago")),
        }
    }

    /// So that a new name lasts. WASI may not open a directory as a file: then the file system's own time has to do.
    fn sync(&self) {
        if let Err(error) = File::open(&self.path).and_then(|folder| folder.sync_all()) {
            fief_sdk::debug!("the directory of the pool was not synced", cause = error);
        }
    }
}

/// What is not there is gone already.
fn gone(removed: std::io::Result<()>) -> std::io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Unlike any other that is drawn. Not secret.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
