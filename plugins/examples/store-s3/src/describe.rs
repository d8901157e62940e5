//! How a volume lies in a bucket. Pure.
//!
//! ```text
//!   NAME/volume        what it is, as lines
//!   NAME/0000000017    its chunk 17, whole; one that is absent is zeroes
//! ```

/// The object that says what a volume is.
pub(crate) const FILE: &str = "volume";
const FIRST_LINE: &str = "fief-s3 1";

/// What is said of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// In bytes.
    pub(crate) size: u64,
    /// Bytes of a chunk.
    pub(crate) chunk: u32,
    /// Its deletion has begun: it is no volume any more.
    pub(crate) deleting: bool,
}

impl About {
    pub(crate) fn text(&self) -> String {
        let About { size, chunk, deleting } = self;
        format!("{FIRST_LINE}\nsize={size}\nchunk={chunk}\ndeleting={deleting}\n")
    }

    /// None where it is not what [`text`](Self::text) wrote.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let (size, chunk) = (value("size")?.parse::<u64>().ok()?, value("chunk")?.parse().ok()?);
        let sound = is_chunk(chunk) && size > 0 && size % 512 == 0 && size <= LARGEST;
        sound.then_some(About { size, chunk, deleting: value("deleting")? == "true" })
    }
}

/// The largest volume, in bytes.
pub(crate) const LARGEST: u64 = 16 << 40;

/// What a chunk can be: several are in memory for each stream, and all have to fit the 64 MiB of an instance.
pub(crate) fn is_chunk(bytes: u32) -> bool {
    bytes.is_power_of_two() && ((64 << 10)..=(1 << 20)).contains(&bytes)
}

pub(crate) fn file(volume: &str) -> String {
    format!("{volume}/{FILE}")
}

pub(crate) fn chunk(volume: &str, number: u64) -> String {
    format!("{volume}/{number:010}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let about = About { size: 1 << 30, chunk: 1 << 20, deleting: false };
        let text = about.text();
        assert_eq!(About::read(text.as_bytes()), Some(about));
        let wrong = [("824", "825"), ("chunk=1", "chunk=3"), ("s3 1", "s3 2"), ("deleting", "d"), ("size=", "size=-")];
        for (from, to) in wrong {
            assert_eq!(About::read(text.replacen(from, to, 1).as_bytes()), None, "{to}");
        }
    }
}
