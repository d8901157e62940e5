//! An image on the server: read in ranges, each answer held against what this host knows the image by.

use std::rc::Rc;

use fief_sdk::block::Events;
use fief_sdk::{Error, Result, Retry};
use plain_http::{Answer, Ask, Client, Request, host};

use crate::Settings;
use crate::index::Entry;
use crate::pin::{Pin, Validator};

/// The part of [`Events`] that this speaks of.
const IMAGE: &str = "image";

/// What is there is not what this host knows by that name.
pub(crate) fn changed(name: &str, how: &str) -> Error {
    Error::corrupt(format!(
        "image {name} was changed on the server: {how}. What was written here stands on what it was, and is not mixed with it: put \
         the image back, and give the new one another name"
    ))
}

/// The server says no.
pub(crate) fn refused(status: u16, what: &str) -> Error {
    match status {
        401 | 403 => Error::denied(format!("the server does not let us have {what} ({status})")),
        404 | 410 => Error::not_found(format!("the server does not have {what} ({status})")),
        429 | 500..=599 => Error::unreachable(format!("the server does not give {what} now ({status})")),
        300..=399 => {
            Error::unsupported(format!("the server says that {what} lies elsewhere ({status}); name that place"))
        }
        _ => Error::io(format!("the server does not give {what} ({status})")),
    }
    .retry(if status == 429 || status >= 500 { Retry::AfterMs(2_000) } else { Retry::AfterFix })
}

fn head(settings: &Settings, path: &str) -> Request {
    Request::new("HEAD", &host(&settings.server, settings.port), path)
}

fn what(name: &str) -> String {
    format!("image {name}")
}

/// What the server has under that name, the first time that this host wants it.
///
/// # Errors
/// `unreachable` and the like; `corrupt` where it is not as long as the index says; `unsupported` where the server says nothing
/// that it could be known by.
pub(crate) async fn first_look(server: &impl Ask, settings: &Settings, entry: Entry) -> Result<Pin> {
    let Entry { image, path } = entry;
    let answer = server.ask(&head(settings, &path), 0).await?;
    if answer.status != 200 {
        return Err(refused(answer.status, &what(&image.name)));
    }
    if answer.length() != Some(image.size) {
        return Err(Error::corrupt(format!("image {} is not as long as the index of the catalogue says", image.name)));
    }
    let validator = Validator::of(&answer);
    let validator = validator.ok_or_else(|| {
        Error::unsupported(format!("the server gives neither a strong ETag nor Last-Modified for image {}", image.name))
    })?;
    Ok(Pin { image, path, validator })
}

/// Whether it still is the image that this host knows.
///
/// # Errors
/// It is not, or that could not be found out.
pub(crate) async fn look(server: &impl Ask, settings: &Settings, pin: &Pin) -> Result<()> {
    let answer = server.ask(&head(settings, &pin.path), 0).await?;
    same(pin, &answer)
}

fn same(pin: &Pin, answer: &Answer) -> Result<()> {
    let name = &pin.image.name;
    match answer.status {
        200 if answer.length() != Some(pin.image.size) => Err(changed(name, "it has another size")),
        200 if !pin.validator.is_of(answer) => Err(changed(name, "it is another file, or was written anew")),
        200 => Ok(()),
        status => Err(refused(status, &what(name))),
    }
}

/// An image whose bytes are read.
pub(crate) struct Remote {
    pin: Pin,
    host: String,
    client: Client,
    events: Rc<Events>,
}

impl Remote {
    pub(crate) fn new(settings: &Settings, pin: Pin, client: Client, events: Rc<Events>) -> Self {
        Remote { pin, host: host(&settings.server, settings.port), client, events }
    }

    pub(crate) fn size(&self) -> u64 {
        self.pin.image.size
    }

    /// `length` bytes; past the end of the image zeroes. A server that is away is waited for.
    ///
    /// # Errors
    /// It has another image in its place, or none, and says so whenever it is asked; the right one may come back.
    pub(crate) async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let there = self.size().saturating_sub(offset).min(length.into()) as u32;
        let mut bytes = Vec::new();
        if there > 0 {
            let (field, value) = self.pin.validator.condition();
            let request =
                Request::new("GET", &self.host, self.pin.path.clone()).range(offset, there).field(field, value);
            let answer = self.client.ask(&request, there as usize).await?;
            match part(&self.pin, offset, there, answer) {
                Ok(part) => {
                    self.events.restored(IMAGE);
                    bytes = part;
                }
                Err(error) => {
                    self.events.degraded(IMAGE, error.message.clone());
                    return Err(error);
                }
            }
        }
        bytes.resize(length as usize, 0);
        Ok(bytes)
    }

    pub(crate) fn end(&self, why: Error) {
        self.client.end(why);
    }
}

/// The bytes of an answer to a range, if they are those that were asked for.
fn part(pin: &Pin, offset: u64, length: u32, answer: Answer) -> Result<Vec<u8>> {
    let name = &pin.image.name;
    match answer.status {
        206 => {}
        200 => return Err(Error::unsupported("the server gives no parts of files (Range), which this needs")),
        412 | 416 => return Err(changed(name, "it is another file, or was written anew")),
        status => return Err(refused(status, &what(name))),
    }
    if !pin.validator.is_of(&answer) {
        return Err(changed(name, "it is another file, or was written anew"));
    }
    match answer.range() {
        Some((first, many, total))
            if (first, many) == (offset, length.into()) && answer.body.len() == length as usize =>
        {
            if total == pin.image.size { Ok(answer.body) } else { Err(changed(name, "it has another size")) }
        }
        _ => Err(Error::io(format!("the server gave another part of image {name} than was asked for"))),
    }
}
