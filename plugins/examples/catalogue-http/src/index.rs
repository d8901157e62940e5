//! The index: which images the server has. Whoever keeps the server writes it.
//!
//! ```json
//! { "images": [ { "name": "debian-12", "file": "debian-12.raw", "size": 2147483648, "sha256": "9f86d0…" } ] }
//! ```

use fief_sdk::{Error, Result, image_name, storage::Format};
use plain_http::{Ask, Request};
use serde::Deserialize;

use crate::Settings;
use crate::facts::SECTOR;

/// Most bytes of an index, and most images in one.
const MOST_BYTES: usize = 1 << 20;
const MOST_IMAGES: usize = 4096;
/// Largest image, in bytes: as large as what stands on it can be.
const LARGEST: u64 = crate::overlay::LARGEST;

/// Which image: a name, and the bytes that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) name: String,
    /// In bytes, a multiple of a sector.
    pub(crate) size: u64,
    /// In hexadecimal. It names the bytes; ranges cannot be held against it.
    pub(crate) sha256: String,
}

/// An image that the server has. What it says is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) image: Image,
    /// Path on the server.
    pub(crate) path: String,
}

#[derive(Deserialize)]
struct Written {
    images: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    file: String,
    size: u64,
    sha256: String,
}

/// # Errors
/// `unreachable`, `timeout`; `not-found`, `denied`; `corrupt`: what is there is no index.
pub(crate) async fn fetch(server: &impl Ask, settings: &Settings) -> Result<Vec<Entry>> {
    let path = &settings.index;
    if !is_path(path) {
        return Err(Error::invalid(format!(
            "setting index: {path:?} is no path on a server; write it as in /images/index.json"
        )));
    }
    let request = Request::new("GET", &plain_http::host(&settings.server, settings.port), path.clone());
    let answer = server.ask(&request, MOST_BYTES).await;
    let answer = answer.map_err(|error| error.while_doing("cannot fetch the index of the catalogue"))?;
    match answer.status {
        200 => read(&answer.body, folder_of(path)),
        status => Err(crate::image::refused(status, "the index of the catalogue")),
    }
}

/// The image of that name in the index, or `not-found`.
pub(crate) async fn find(server: &impl Ask, settings: &Settings, name: &str) -> Result<Entry> {
    let found = fetch(server, settings).await?.into_iter().find(|entry| entry.image.name == name);
    found.ok_or_else(|| Error::not_found(format!("the catalogue has no image {name}")))
}

/// `folder` ends in a slash.
fn read(bytes: &[u8], folder: &str) -> Result<Vec<Entry>> {
    let written: Written = serde_json::from_slice(bytes)
        .map_err(|error| Error::corrupt(format!("what the server has for an index is none: {error}")))?;
    if written.images.len() > MOST_IMAGES {
        return Err(Error::corrupt(format!("the index has more than {MOST_IMAGES} images")));
    }
    let mut entries: Vec<Entry> = Vec::new();
    for (number, line) in written.images.into_iter().enumerate() {
        match entry(line, folder) {
            Ok(entry) if entries.iter().any(|other| other.image.name == entry.image.name) => {
                return Err(Error::corrupt(format!("the index has two images {}", entry.image.name)));
            }
            Ok(entry) => entries.push(entry),
            // One that is wrong does not hide the others.
            Err(why) => fief_sdk::warn!("left out of the catalogue", number = number + 1, cause = why),
        }
    }
    Ok(entries)
}

fn entry(line: serde_json::Value, folder: &str) -> Result<Entry, String> {
    let Line { name, file, size, sha256 } = serde_json::from_value(line).map_err(|error| error.to_string())?;
    image_name::file(&name, Format::Raw).map_err(|error| error.message)?;
    let path = format!("{folder}{file}");
    if file.starts_with('/') || !is_path(&path) {
        return Err(format!("{file:?} is no path of letters, digits and -._~+ below the index"));
    }
    if size == 0 || size > LARGEST || size % SECTOR != 0 {
        return Err(format!("its size of {size} bytes is none of {SECTOR} to {LARGEST} in whole sectors"));
    }
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("its sha256 is not 64 hexadecimal digits".into());
    }
    Ok(Entry { image: Image { name, size, sha256: sha256.to_ascii_lowercase() }, path })
}

/// A path that goes over the wire as it is written, and that no server reads as another.
pub(crate) fn is_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+".contains(&byte);
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain);
    path.len() <= 1024 && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part))
}

fn folder_of(path: &str) -> &str {
    path.rfind('/').map_or("/", |slash| &path[..=slash])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08";

    #[test]
    fn images_are_listed_and_those_that_are_wrong_are_left_out() {
        let image = |name: &str, file: &str, size: u64, sha: &str| {
            format!(r#"{{"name":"{name}","file":"{file}","size":{size},"sha256":"{sha}","note":"kept by others"}}"#)
        };
        let lines = [
            image("debian-12", "x/debian.raw", 512, SHA),
            image("../up", "a", 512, SHA),
            image("up", "../a", 512, SHA),
            image("rooted", "/etc/passwd", 512, SHA),
            image("query", "a?b", 512, SHA),
            image("line", "a\\r\\nHost: b", 512, SHA),
            image("odd", "a", 513, SHA),
            image("none", "a", 0, SHA),
            image("huge", "a", LARGEST + 512, SHA),
            image("digest", "a", 512, "12"),
            r#"{"name":"half"}"#.to_owned(),
            "7".to_owned(),
        ];
        let text = format!(r#"{{"images":[{}]}}"#, lines.join(","));
        let read = read(text.as_bytes(), folder_of("/pub/index.json")).unwrap();
        let image = Image { name: "debian-12".into(), size: 512, sha256: SHA.to_ascii_lowercase() };
        assert_eq!(read, [Entry { image, path: "/pub/x/debian.raw".into() }]);
    }

    #[test]
    fn what_is_no_index_is_refused() {
        let line = format!(r#"{{"name":"a","file":"a","size":512,"sha256":"{SHA}"}}"#);
        let twice = format!(r#"{{"images":[{line},{line}]}}"#);
        let many = format!(r#"{{"images":[{}0]}}"#, "0,".repeat(MOST_IMAGES));
        for bad in ["", "<html>", "[]", "{}", &twice, &many] {
            assert!(read(bad.as_bytes(), "/").is_err(), "{}", &bad[..bad.len().min(40)]);
        }
    }
}
