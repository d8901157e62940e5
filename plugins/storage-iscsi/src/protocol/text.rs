//! Texts of `key=value` (RFC 7143, section 6.1), as login and discovery use them.

use super::Fault;

/// Longest text of one negotiation. An offer has a few hundred bytes; a portal may list many targets.
pub const LONGEST: usize = 256 << 10;
/// Longest key (section 6.1), in bytes.
const LONGEST_KEY: usize = 63;

/// Pairs in the order in which they stood; a key may come several times (SendTargets).
pub type Pairs = Vec<(String, String)>;

/// Each pair ends with a zero byte.
pub fn write(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in pairs {
        text.extend_from_slice(key.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
        text.push(0);
    }
    text
}

/// # Errors
/// Not UTF-8, a key that is empty or too long, a pair without `=`.
pub fn read(text: &[u8]) -> Result<Pairs, Fault> {
    let mut pairs = Vec::new();
    for pair in text.split(|&byte| byte == 0).filter(|pair| !pair.is_empty()) {
        let pair = std::str::from_utf8(pair).map_err(|_| Fault::Format("a text is not UTF-8"))?;
        let (key, value) = pair.split_once('=').ok_or(Fault::Format("a text has a key without a value"))?;
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(Fault::Format("a text has a key that is empty or too long"));
        }
        pairs.push((key.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

/// The value of the first pair of this key.
pub fn value<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// A text that comes in pieces: all but the last have the C bit (section 11.10.1).
#[derive(Debug, Default)]
pub struct Gathered {
    text: Vec<u8>,
}

impl Gathered {
    /// The pairs, once the last piece is there.
    ///
    /// # Errors
    /// As [`read`], and a text past [`LONGEST`].
    pub fn add(&mut self, piece: &[u8], more: bool) -> Result<Option<Pairs>, Fault> {
        if self.text.len() + piece.len() > LONGEST {
            return Err(Fault::Format("a text does not end"));
        }
        self.text.extend_from_slice(piece);
        if more {
            return Ok(None);
        }
        read(&std::mem::take(&mut self.text)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_read_as_they_were_written() {
        let text = write(&[("TargetName", "iqn.a"), ("TargetAddress", "10.0.0.1:3260,1"), ("Empty", "")]);
        let pairs = read(&text).unwrap();
        assert_eq!(value(&pairs, "TargetAddress"), Some("10.0.0.1:3260,1"));
        assert_eq!(value(&pairs, "Empty"), Some(""));
        assert_eq!(value(&pairs, "targetname"), None);
    }

    #[test]
    fn a_pair_may_lie_across_pieces() {
        let mut gathered = Gathered::default();
        assert_eq!(gathered.add(b"AuthMe", true).unwrap(), None);
        assert_eq!(gathered.add(b"thod=CHAP\0", false).unwrap().unwrap(), [("AuthMethod".into(), "CHAP".into())]);
    }

    #[test]
    fn a_text_without_end_is_refused() {
        let mut gathered = Gathered::default();
        let piece = vec![b'x'; 8192];
        assert!((0..=LONGEST / 8192).any(|_| gathered.add(&piece, true).is_err()));
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        for bad in [&b"novalue\0"[..], b"=x\0", b"\xff=x\0"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(format!("{}=x\0", "k".repeat(64)).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
