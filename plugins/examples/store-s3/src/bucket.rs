//! Objects of a bucket: what is asked, and what its answers mean.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use fief_sdk::{Error, Result, Retry};
use plain_http::{Answer, Ask, Request, host};

use crate::Settings;
use crate::sign::{Key, encode};

/// Most bytes of an answer that is a list or an error.
const MOST_WORDS: usize = 4 << 20;
/// Seconds after which a signature is thought to be too old, where the server says so (AWS: 900).
const OLD: u64 = 60;
/// Most pages of a list: 1000 keys each.
const MOST_PAGES: usize = 10_000;

/// What an object has to be for a `put` to replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Was {
    /// Whatever it is.
    Any,
    Absent,
    /// By its ETag.
    Tagged(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// With the ETag that it has now, where the server says it.
    Done(Option<String>),
    /// It was something else, and stays.
    Differs,
    /// It was being written to in this moment.
    Busy,
}

#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) etag: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// Without the prefix of the pool.
    pub(crate) keys: Vec<String>,
    pub(crate) folders: Vec<String>,
    next: Option<String>,
}

pub(crate) struct Bucket<A> {
    server: A,
    host: String,
    bucket: String,
    prefix: String,
    key: Key,
    conditional: bool,
}

impl<A: Ask> Bucket<A> {
    /// # Errors
    /// `invalid`: a setting; `denied`, `not-found`: the secret.
    pub(crate) fn new(server: A, settings: &Settings) -> Result<Self> {
        let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if settings.bucket.is_empty() || !word(&settings.bucket) {
            return Err(Error::invalid("setting bucket: it is letters, digits and -_."));
        }
        let prefix = settings.prefix.clone().unwrap_or_default();
        if !prefix.split('/').all(|part| word(part) && part != "." && part != "..") {
            return Err(Error::invalid("setting prefix: it is letters, digits and -_. between slashes"));
        }
        Ok(Bucket {
            server,
            host: host(&settings.server, settings.port),
            bucket: settings.bucket.clone(),
            prefix: if prefix.is_empty() { prefix } else { format!("{}/", prefix.trim_matches('/')) },
            key: Key::new(&settings.key_id, &settings.secret, &settings.region)?,
            conditional: settings.conditional,
        })
    }

    pub(crate) fn server(&self) -> &A {
        &self.server
    }

    async fn ask(
        &self,
        method: &'static str,
        key: &str,
        fields: &[(&'static str, String)],
        most: usize,
    ) -> Result<Answer> {
        let path = format!("/{}/{}", self.bucket, encode(&format!("{}{key}", self.prefix), true));
        self.send(method, &path, "", fields, Rc::default(), most).await
    }

    async fn send(
        &self,
        method: &'static str,
        path: &str,
        query: &str,
        fields: &[(&'static str, String)],
        body: Rc<Vec<u8>>,
        most: usize,
    ) -> Result<Answer> {
        loop {
            let began = now();
            let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
            let signed = self.key.sign(method, &self.host, path, query, &body, began);
            let request = Request::new(method, &self.host, target).body(body.clone());
            let request =
                fields.iter().cloned().chain(signed).fold(request, |request, (name, value)| request.field(name, value));
            let answer = self.server.ask(&request, most.max(MOST_WORDS)).await?;
            // It waited for the server longer than a signature lasts.
            if answer.status == 403 && now().saturating_sub(began) >= OLD {
                continue;
            }
            return Ok(answer);
        }
    }

    /// None where there is none. `range`: from where on, and how many bytes.
    pub(crate) async fn get(&self, key: &str, range: Option<(u64, u32)>, most: usize) -> Result<Option<Object>> {
        let field =
            range.map(|(offset, length)| ("Range", format!("bytes={offset}-{}", offset + u64::from(length) - 1)));
        let answer = self.ask("GET", key, field.as_slice(), most).await?;
        let sound = match (answer.status, range) {
            (200, None) => answer.body.len() <= most,
            (206, Some((offset, length))) => {
                answer.range().is_some_and(|(first, many, _)| (first, many) == (offset, length.into()))
                    && answer.body.len() == length as usize
            }
            (404, _) if code(&answer) == Some("NoSuchKey") => return Ok(None),
            _ => return Err(refused(&answer, key)),
        };
        match sound {
            true => Ok(Some(Object { etag: answer.field("etag").map(str::to_owned), bytes: answer.body })),
            false => Err(Error::io(format!("the server gave something else than was asked for of object {key}"))),
        }
    }

    pub(crate) async fn put(&self, key: &str, bytes: Rc<Vec<u8>>, was: &Was) -> Result<Put> {
        let field = match was {
            Was::Any => None,
            Was::Absent => Some(("If-None-Match", "*".to_owned())),
            Was::Tagged(tag) => Some(("If-Match", tag.clone())),
        };
        let field = field.filter(|_| self.conditional);
        let path = format!("/{}/{}", self.bucket, encode(&format!("{}{key}", self.prefix), true));
        let answer = self.send("PUT", &path, "", field.as_slice(), bytes, 0).await?;
        match answer.status {
            200 | 201 | 204 => Ok(Put::Done(answer.field("etag").map(str::to_owned))),
            409 => Ok(Put::Busy),
            412 => Ok(Put::Differs),
            404 if code(&answer) == Some("NoSuchKey") => Ok(Put::Differs),
            _ => Err(refused(&answer, key)),
        }
    }

    /// One that is absent is gone already.
    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        let answer = self.ask("DELETE", key, &[], 0).await?;
        match answer.status {
            200 | 204 => Ok(()),
            404 if code(&answer) == Some("NoSuchKey") => Ok(()),
            _ => Err(refused(&answer, key)),
        }
    }

    /// All that begins with `prefix`; with `folders`, what goes on past the next slash counts once.
    pub(crate) async fn list(&self, prefix: &str, folders: bool) -> Result<Page> {
        let mut all = Page::default();
        for _ in 0..MOST_PAGES {
            let page = self.page(prefix, folders, all.next.take().as_deref()).await?;
            all.keys.extend(page.keys);
            all.folders.extend(page.folders);
            all.next = page.next;
            if all.next.is_none() {
                // Some servers say a folder on each page that has something of it.
                all.folders.dedup();
                return Ok(all);
            }
        }
        Err(Error::exhausted("the bucket has more objects here than this plugin lists"))
    }

    /// The first keys that begin with `prefix`: up to a thousand.
    pub(crate) async fn some(&self, prefix: &str) -> Result<Page> {
        self.page(prefix, false, None).await
    }

    async fn page(&self, prefix: &str, folders: bool, next: Option<&str>) -> Result<Page> {
        let whole = format!("{}{prefix}", self.prefix);
        let mut query = Vec::new();
        query.extend(next.map(|token| format!("continuation-token={}", encode(token, false))));
        query.extend(folders.then(|| "delimiter=%2F".to_owned()));
        query.push("list-type=2".into());
        query.push(format!("prefix={}", encode(&whole, false)));
        let path = format!("/{}", self.bucket);
        let answer = self.send("GET", &path, &query.join("&"), &[], Rc::default(), MOST_WORDS).await?;
        if answer.status != 200 {
            return Err(refused(&answer, "of the pool"));
        }
        read_page(&answer.body, &self.prefix)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `ListObjectsV2`. Keys that do not begin with the pool's prefix are none of ours.
fn read_page(body: &[u8], prefix: &str) -> Result<Page> {
    let wrong = |why: String| Error::corrupt(format!("the server's list of objects is none: {why}"));
    let text = std::str::from_utf8(body).map_err(|error| wrong(error.to_string()))?;
    let document = roxmltree::Document::parse(text).map_err(|error| wrong(error.to_string()))?;
    let root = document.root_element();
    if root.tag_name().name() != "ListBucketResult" {
        return Err(wrong(format!("it is a {}", root.tag_name().name())));
    }
    let inside = |outer: &str, inner: &str| {
        let outer = root.children().filter(move |node| node.tag_name().name() == outer);
        let found = outer.flat_map(|node| node.children()).filter(move |node| node.tag_name().name() == inner);
        found.filter_map(|node| node.text()?.strip_prefix(prefix).map(str::to_owned)).collect()
    };
    let word = |name: &str| root.children().find(|node| node.tag_name().name() == name).and_then(|node| node.text());
    let next = match word("IsTruncated") {
        Some("true") => {
            Some(word("NextContinuationToken").ok_or_else(|| wrong("it ends in the middle".into()))?.to_owned())
        }
        _ => None,
    };
    Ok(Page { keys: inside("Contents", "Key"), folders: inside("CommonPrefixes", "Prefix"), next })
}

/// `<Code>` of an error.
fn code(answer: &Answer) -> Option<&str> {
    let text = std::str::from_utf8(&answer.body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code).filter(|code| code.len() <= 64)
}

fn refused(answer: &Answer, key: &str) -> Error {
    let said = match code(answer) {
        Some(code) => format!("object {key}: the server says {code}"),
        None => format!("object {key}: the server says {}", answer.status),
    };
    match (answer.status, code(answer)) {
        (_, Some("NoSuchBucket")) => Error::not_found(said),
        (_, Some("RequestTimeTooSkewed")) => Error::denied(format!("{said}: is this host's clock right?")),
        (401 | 403, _) => Error::denied(format!("{said} (see key-id and the secret of the pool)")),
        (404, _) => Error::not_found(said),
        (501, _) => Error::unsupported(said),
        (507, _) => Error::exhausted(said),
        (429 | 500..=599, _) => Error::unreachable(said).retry(Retry::AfterMs(2_000)),
        _ => Error::io(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_what_is_none_is_refused() {
        let text = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <IsTruncated>true</IsTruncated><NextContinuationToken>t=1</NextContinuationToken>\
            <Contents><Key>p/a/1</Key><Size>5</Size></Contents><Contents><Key>other</Key></Contents>\
            <CommonPrefixes><Prefix>p/b&amp;/</Prefix></CommonPrefixes></ListBucketResult>";
        let page = Page { keys: vec!["a/1".into()], folders: vec!["b&/".into()], next: Some("t=1".into()) };
        assert_eq!(read_page(text.as_bytes(), "p/").unwrap(), page);
        let endless = text.replace("<NextContinuationToken>t=1</NextContinuationToken>", "");
        for bad in ["", "<a/>", "<ListBucketResult>", endless.as_str()] {
            assert!(read_page(bad.as_bytes(), "p/").is_err(), "{bad}");
        }
    }
}
