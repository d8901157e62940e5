//! What is asked.

use std::fmt::Write as _;
use std::rc::Rc;

/// A request; the same one may be sent several times.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: &'static str,
    /// Path and query, as they go over the wire.
    pub target: String,
    fields: Vec<(&'static str, String)>,
    pub body: Rc<Vec<u8>>,
}

impl Request {
    /// `host` is [`host`]; `target` begins with a slash and has been encoded.
    pub fn new(method: &'static str, host: &str, target: impl Into<String>) -> Self {
        let fields = vec![("Host", host.to_owned()), ("Accept-Encoding", "identity".to_owned())];
        Request { method, target: target.into(), fields, body: Rc::default() }
    }

    /// One more header field. The value is a line: what a server said is checked before it is said to one.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: Rc<Vec<u8>>) -> Self {
        self.body = body;
        self
    }

    /// `length` bytes from `offset` on.
    #[must_use]
    pub fn range(self, offset: u64, length: u32) -> Self {
        let last = offset + u64::from(length.max(1)) - 1;
        self.field("Range", format!("bytes={offset}-{last}"))
    }

    /// All before the body.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            debug_assert!(!value.contains(['\r', '\n']), "a field is one line");
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !self.body.is_empty() || matches!(self.method, "PUT" | "POST") {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// The field `Host` of a server at this name or address.
pub fn host(server: &str, port: u16) -> String {
    let server = if server.contains(':') { format!("[{server}]") } else { server.to_owned() };
    if port == 80 { server } else { format!("{server}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_as_the_standard_has_it() {
        let request = Request::new("GET", &host("::1", 8080), "/a").range(512, 512).field("If-Match", "\"x\"");
        let text = String::from_utf8(request.head()).unwrap();
        assert_eq!(
            text,
            "GET /a HTTP/1.1\r\nHost: [::1]:8080\r\nAccept-Encoding: identity\r\nRange: bytes=512-1023\r\nIf-Match: \"x\"\r\n\r\n"
        );
        let put = Request::new("PUT", "h", "/a").body(Rc::new(vec![1; 3])).head();
        assert!(put.ends_with(b"Content-Length: 3\r\n\r\n"));
    }
}
