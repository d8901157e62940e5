//! A fake of an object store: a map behind as much of HTTP and S3 as the plugin uses, whose answers can go wrong. It checks no
//! signatures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// What goes wrong, for requests that write unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It does as it is told, and ends the connection in place of an answer.
    LosesAnswers {
        times: u32,
    },
    /// It does nothing, and says this.
    Says {
        status: u16,
        times: u32,
    },
    /// It does as it is told; half of the answer's head comes.
    IsSilentFor {
        times: u32,
    },
    /// It says no to all of a method but the first ones.
    Refuses {
        method: &'static str,
        after: u32,
    },
    HasNoBucket,
}

#[derive(Default)]
struct State {
    /// Bytes, and which version they are.
    objects: BTreeMap<String, (Vec<u8>, u64)>,
    next: u64,
    trouble: Option<Trouble>,
    asked: BTreeMap<String, usize>,
}

pub struct FakeStore {
    state: Arc<Mutex<State>>,
    address: String,
}

struct Asked {
    method: String,
    path: String,
    query: String,
    fields: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Answered {
    status: u16,
    etag: Option<u64>,
    range: Option<String>,
    body: Vec<u8>,
}

impl FakeStore {
    /// It ends with the test's process.
    pub fn start() -> FakeStore {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || serve(&state, &stream));
            }
        });
        FakeStore { state, address }
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn is_in(&self, trouble: Trouble) {
        self.state().trouble = Some(trouble);
    }

    pub fn is_well(&self) {
        self.state().trouble = None;
    }

    pub fn objects(&self) -> usize {
        self.state().objects.len()
    }

    /// How often it was asked so.
    pub fn count(&self, method: &str) -> usize {
        self.state().asked.get(method).copied().unwrap_or_default()
    }
}

fn serve(state: &Mutex<State>, stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader) {
        let mut state = state.lock().unwrap();
        *state.asked.entry(asked.method.clone()).or_default() += 1;
        let writes = asked.method == "PUT";
        let trouble = state.trouble;
        let left = |times: u32| times.checked_sub(1).filter(|_| writes);
        let (answered, cut) = match trouble {
            Some(Trouble::LosesAnswers { times }) if left(times).is_some() => {
                state.trouble = left(times).map(|times| Trouble::LosesAnswers { times });
                (state.perform(&asked), Some(0))
            }
            Some(Trouble::IsSilentFor { times }) if left(times).is_some() => {
                state.trouble = left(times).map(|times| Trouble::IsSilentFor { times });
                (state.perform(&asked), Some(10))
            }
            Some(Trouble::Says { status, times }) if left(times).is_some() => {
                state.trouble = left(times).map(|times| Trouble::Says { status, times });
                (said(status, "Trouble"), None)
            }
            Some(Trouble::Refuses { method, after: 0 }) if method == asked.method => (said(403, "AccessDenied"), None),
            Some(Trouble::Refuses { method, after }) if method == asked.method => {
                state.trouble = Some(Trouble::Refuses { method, after: after - 1 });
                (state.perform(&asked), None)
            }
            Some(Trouble::HasNoBucket) => (said(404, "NoSuchBucket"), None),
            _ => (state.perform(&asked), None),
        };
        drop(state);
        let bytes = bytes(&answered);
        let whole = cut.is_none();
        let sent = &bytes[..cut.unwrap_or(bytes.len())];
        if (&*stream).write_all(sent).is_err() || !whole {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Asked> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0).map(|_| line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut fields = BTreeMap::new();
    while let Some((name, value)) = line()?.split_once(": ") {
        fields.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    assert!(fields["authorization"].starts_with("AWS4-HMAC-SHA256 Credential=me/"), "unsigned");
    let length = fields.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, path: path.to_owned(), query: query.to_owned(), fields, body })
}

fn said(status: u16, code: &str) -> Answered {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>").into_bytes();
    Answered { status, etag: None, range: None, body }
}

impl State {
    fn perform(&mut self, asked: &Asked) -> Answered {
        let plain = |status, etag| Answered { status, etag, range: None, body: Vec::new() };
        let Some(key) = asked.path.strip_prefix("/vms/").map(str::to_owned) else { return self.list(&asked.query) };
        let there = self.objects.get(&key);
        match asked.method.as_str() {
            "GET" => {
                let Some((bytes, version)) = there else { return said(404, "NoSuchKey") };
                let Some(range) = asked.fields.get("range") else {
                    return Answered { status: 200, etag: Some(*version), range: None, body: bytes.clone() };
                };
                let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                let range = format!("bytes {first}-{last}/{}", bytes.len());
                Answered { status: 206, etag: Some(*version), range: Some(range), body: bytes[first..=last].to_vec() }
            }
            "PUT" => {
                let tag = there.map(|(_, version)| format!("\"{version}\""));
                let fits = match (asked.fields.get("if-match"), asked.fields.get("if-none-match")) {
                    (Some(wanted), _) => tag.as_ref() == Some(wanted),
                    (None, Some(_)) => tag.is_none(),
                    (None, None) => true,
                };
                if !fits {
                    return said(412, "PreconditionFailed");
                }
                self.next += 1;
                self.objects.insert(key, (asked.body.clone(), self.next));
                plain(200, Some(self.next))
            }
            "DELETE" => {
                self.objects.remove(&key);
                plain(204, None)
            }
            other => panic!("it was asked to {other}"),
        }
    }

    /// In pages of five.
    fn list(&self, query: &str) -> Answered {
        let value = |key: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            found.map(|text| text.replace("%2F", "/"))
        };
        let (prefix, from) = (value("prefix").unwrap(), value("continuation-token").unwrap_or_default());
        let all = self.objects.keys().filter(|key| key.starts_with(&prefix) && **key > from);
        let page: Vec<&String> = all.clone().take(5).collect();
        let mut body = String::from("<ListBucketResult>");
        if all.count() > 5 {
            let _ = write!(
                body,
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>",
                page[4]
            );
        }
        let mut folders: Vec<&str> = Vec::new();
        for key in page {
            match (value("delimiter"), key[prefix.len()..].find('/')) {
                (Some(_), Some(slash)) => folders.push(&key[..=prefix.len() + slash]),
                _ => drop(write!(body, "<Contents><Key>{key}</Key></Contents>")),
            }
        }
        folders.dedup();
        for folder in folders {
            let _ = write!(body, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
        }
        body.push_str("</ListBucketResult>");
        Answered { status: 200, etag: None, range: None, body: body.into_bytes() }
    }
}

fn bytes(answered: &Answered) -> Vec<u8> {
    let Answered { status, etag, range, body } = answered;
    let mut head = format!("HTTP/1.1 {status} As it is\r\nContent-Length: {}\r\n", body.len());
    if let Some(etag) = etag {
        let _ = write!(head, "ETag: \"{etag}\"\r\n");
    }
    if let Some(range) = range {
        let _ = write!(head, "Content-Range: {range}\r\n");
    }
    if *status == 204 {
        head = format!("HTTP/1.1 {status} As it is\r\n");
    }
    head.push_str("\r\n");
    [head.into_bytes(), body.clone()].concat()
}
