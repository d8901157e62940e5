//! External data representation (RFC 4506): big-endian words of four bytes, everything padded to them.
//!
//! What is decoded came from a server that may say anything. A length is held against what is there and against a bound
//! before anything is made of it, and nothing here calls itself.

/// Bytes that are not what they should be, and where that showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the server sent what is not NFS ({})", self.0)
    }
}

pub type Decoded<T> = Result<T, Malformed>;

/// Bytes from 1 to 3 that follow `length` bytes of data (RFC 4506, 3).
const fn padding(length: usize) -> usize {
    (4 - length % 4) % 4
}

#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub fn with_room(bytes: usize) -> Self {
        Encoder { bytes: Vec::with_capacity(bytes) }
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub fn boolean(&mut self, value: bool) {
        self.u32(value.into());
    }

    /// Opaque data of a length that both sides know (RFC 4506, 4.9).
    pub fn fixed(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        self.bytes.extend_from_slice(&[0; 3][..padding(data.len())]);
    }

    /// Opaque data, or a string, with its length in front (RFC 4506, 4.10 and 4.11).
    ///
    /// What is sent is bounded by names, handles and requests that fit into memory: far from 4 GiB.
    pub fn opaque(&mut self, data: &[u8]) {
        self.u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
        self.fixed(data);
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes over a word that was written before.
    pub fn set_u32(&mut self, at: usize, value: u32) {
        if let Some(word) = self.bytes.get_mut(at..at + 4) {
            word.copy_from_slice(&value.to_be_bytes());
        }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Decoder { rest: bytes }
    }

    fn take(&mut self, length: usize, what: &'static str) -> Decoded<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed(what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn u32(&mut self) -> Decoded<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Decoded<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        self.take(N, "it ends too soon")?.try_into().map_err(|_| Malformed("it ends too soon"))
    }

    /// 0 or 1 and nothing else (RFC 4506, 4.4).
    pub fn boolean(&mut self) -> Decoded<bool> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("neither true nor false")),
        }
    }

    pub fn fixed<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let data = self.array()?;
        self.take(padding(N), "padding is missing")?;
        Ok(data)
    }

    /// Opaque data of at most `most` bytes.
    pub fn opaque(&mut self, most: usize) -> Decoded<&'a [u8]> {
        let length = self.u32()? as usize;
        if length > most {
            return Err(Malformed("longer than it may be"));
        }
        let data = self.take(length, "it ends too soon")?;
        self.take(padding(length), "padding is missing")?;
        Ok(data)
    }

    /// How many entries follow, each of at least `least` bytes: never more than there is room for.
    pub fn count(&mut self, least: usize) -> Decoded<usize> {
        let count = self.u32()? as usize;
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(Malformed("more entries than there are bytes")),
        }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_big_endian_and_padded() {
        let mut encoder = Encoder::default();
        encoder.u32(1);
        encoder.u64(2);
        encoder.opaque(b"abcde");
        encoder.fixed(&[7; 8]);
        let bytes = encoder.into_bytes();
        assert_eq!(bytes, *b"\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x05abcde\0\0\0\x07\x07\x07\x07\x07\x07\x07\x07");
    }

    #[test]
    fn a_length_is_believed_only_as_far_as_there_are_bytes() {
        assert!(Decoder::new(&[0xff; 8]).opaque(usize::MAX).is_err());
        assert!(Decoder::new(&[0, 0, 0, 9, 1, 2, 3, 4]).opaque(8).is_err());
        assert!(Decoder::new(&[0, 0, 0, 1, 1]).opaque(8).is_err(), "padding is missing");
        assert!(Decoder::new(&[0xff; 8]).count(4).is_err());
        assert!(Decoder::new(&[0, 0, 0, 2]).boolean().is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(words in any::<Vec<u32>>(), data in any::<Vec<u8>>(), long in any::<u64>()) {
            let mut encoder = Encoder::default();
            words.iter().for_each(|word| encoder.u32(*word));
            encoder.opaque(&data);
            encoder.u64(long);
            let bytes = encoder.into_bytes();
            prop_assert_eq!(bytes.len() % 4, 0);
            let mut decoder = Decoder::new(&bytes);
            for word in words {
                prop_assert_eq!(decoder.u32().unwrap(), word);
            }
            prop_assert_eq!(decoder.opaque(data.len()).unwrap(), &data[..]);
            prop_assert_eq!(decoder.u64().unwrap(), long);
            prop_assert!(decoder.rest().is_empty());
        }

        #[test]
        fn no_bytes_are_read_past(bytes in any::<Vec<u8>>(), most in 0usize..64) {
            let mut decoder = Decoder::new(&bytes);
            while decoder.opaque(most).is_ok() && !decoder.rest().is_empty() {}
        }
    }
}
