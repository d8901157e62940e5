//! Which bytes a name of the catalogue stands for, as this host came to know it. An image that is exchanged on the server under
//! its old name is another image: it is refused, and never mixed with what was written on top of the first.

use plain_http::Answer;

use crate::index::{Image, is_path};

const FIRST_LINE: &str = "fief-catalogue 1";

/// By what a server tells that a file is the one that it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Validator {
    /// A strong one (RFC 9110, 8.8.3), with its quotes.
    ETag(String),
    LastModified(String),
}

impl Validator {
    /// Of an answer; none where the server gives none that can be relied on.
    pub(crate) fn of(answer: &Answer) -> Option<Self> {
        let sound = |text: &&str| text.len() <= 256 && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if let Some(tag) = answer.field("etag").filter(sound).filter(|tag| tag.starts_with('"')) {
            return Some(Validator::ETag(tag.to_owned()));
        }
        answer.field("last-modified").filter(sound).map(|date| Validator::LastModified(date.to_owned()))
    }

    /// The header field that asks for this very file.
    pub(crate) fn condition(&self) -> (&'static str, &str) {
        match self {
            Validator::ETag(tag) => ("If-Match", tag),
            Validator::LastModified(date) => ("If-Unmodified-Since", date),
        }
    }

    /// Whether an answer comes from that file.
    pub(crate) fn is_of(&self, answer: &Answer) -> bool {
        match self {
            Validator::ETag(tag) => answer.field("etag") == Some(tag),
            Validator::LastModified(date) => answer.field("last-modified") == Some(date),
        }
    }
}

/// An image as this host knows it, and where. In a file it is lines, `key=value`, which an operator can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) image: Image,
    pub(crate) path: String,
    pub(crate) validator: Validator,
}

impl Pin {
    pub(crate) fn text(&self) -> String {
        let Pin { image, path, validator } = self;
        let (key, value) = match validator {
            Validator::ETag(tag) => ("etag", tag),
            Validator::LastModified(date) => ("last-modified", date),
        };
        format!("{FIRST_LINE}\n{}path={path}\n{key}={value}\n", lines(image))
    }

    /// None where it is not what [`text`](Self::text) wrote.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?;
        let validator = match (value(rest, "etag"), value(rest, "last-modified")) {
            (Some(tag), None) => Validator::ETag(tag.to_owned()),
            (None, Some(date)) => Validator::LastModified(date.to_owned()),
            _ => return None,
        };
        let path = value(rest, "path").filter(|path| is_path(path))?.to_owned();
        Some(Pin { image: image(rest)?, path, validator })
    }
}

/// An image as lines.
pub(crate) fn lines(image: &Image) -> String {
    let Image { name, size, sha256 } = image;
    format!("name={name}\nsize={size}\nsha256={sha256}\n")
}

pub(crate) fn image(text: &str) -> Option<Image> {
    let (name, sha256) = (value(text, "name")?.to_owned(), value(text, "sha256")?.to_owned());
    Some(Image { name, size: value(text, "size")?.parse().ok()?, sha256 })
}

pub(crate) fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
pub(crate) fn example() -> Pin {
    Pin {
        image: Image { name: "debian".into(), size: 1 << 20, sha256: "0".repeat(64) },
        path: "/debian.raw".into(),
        validator: Validator::ETag("\"5f-1\"".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let dated = Pin { validator: Validator::LastModified("Fri, 27 Nov 2026 10:00:00 GMT".into()), ..example() };
        for pin in [example(), dated] {
            assert_eq!(Pin::read(&pin.text()), Some(pin));
        }
        let text = example().text();
        for bad in
            ["", FIRST_LINE, &text.replace("etag", "e"), &text.replace("=/", "=/../"), &text.replace("e 1", "e 2")]
        {
            assert_eq!(Pin::read(bad), None, "{bad}");
        }
    }
}
