//! The file itself: written front to back, read with every length held against the file's own.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Header;
use crate::error::{Context, Failure, Kind, Result};

const MAGIC: &[u8; 16] = b"fief saved state";
const END: &[u8; 16] = b"end of the state";
/// Version of the format. An earlier fief refuses a later one.
const FORMAT: u32 = 1;
/// Longest header, in bytes: a definition is at most 1 MiB (config/reader), and is most of it.
const HEADER_MAX: u32 = 4 << 20;
/// Most UEFI variables, in bytes: OVMF's largest store is 4 MiB.
const NVRAM_MAX: u64 = 16 << 20;
/// Magic, format, length of the header.
const HEAD: u64 = 16 + 4 + 4;
/// Length of the stream, sum, end.
const TRAILER: u64 = 8 + 32 + 16;
/// What is read and written at once, in bytes: as much as a pipe holds.
const PIECE: usize = 1 << 20;

/// A sum that runs along.
#[derive(Debug, Clone, Default)]
pub struct Sum(Sha256);

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn done(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Writes a new file under a name beside the one that it will have.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    sum: Sum,
}

impl Writer {
    /// Makes `path`, readable by its owner alone (it holds a guest's memory), and writes all that comes before the stream.
    pub fn create(path: &Path, header: &Header, nvram: &[u8]) -> Result<Self> {
        let saying = || format!("cannot write {}", path.display());
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(path).map_err(|error| no_room(error, path))?;
        let mut writer = Writer { file, path: path.to_owned(), sum: Sum::default() };
        let json = serde_json::to_vec(header).context(saying)?;
        let length = u32::try_from(json.len()).ok().filter(|length| *length <= HEADER_MAX);
        let length = length.ok_or_else(|| Failure::other("the definition is too long to be saved"))?;
        writer.put(MAGIC)?;
        writer.put(&FORMAT.to_le_bytes())?;
        writer.put(&length.to_le_bytes())?;
        writer.put(&json)?;
        writer.put(nvram)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.sum.add(bytes);
        self.file.write_all(bytes).map_err(|error| no_room(error, &self.path))
    }

    /// Takes the stream to its end, writes the sum, and syncs the file. Gives the length of the stream.
    pub fn finish(mut self, stream: &mut impl Read) -> Result<u64> {
        let path = self.path.clone();
        let mut piece = vec![0; PIECE];
        let mut length = 0;
        loop {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => {
                    self.put(&piece[..count])?;
                    length += count as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context(|| "cannot read the hypervisor's stream".to_owned()),
            }
        }
        self.put(&u64::to_le_bytes(length))?;
        let sum = std::mem::take(&mut self.sum).done();
        let mut file = self.file;
        let written = file.write_all(&sum).and_then(|()| file.write_all(END)).and_then(|()| file.sync_all());
        written.map_err(|error| no_room(error, &path))?;
        Ok(length)
    }
}

fn no_room(error: std::io::Error, path: &Path) -> Failure {
    let message = format!("cannot write {}", path.display());
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::FileTooLarge => {
            Failure::new(Kind::NoRoom, message).because(error).hint("make room there, or name a file elsewhere")
        }
        _ => Failure::other(message).because(error),
    }
}

/// A file whose lengths fit; its sum is checked as its stream is read.
#[derive(Debug)]
pub struct Opened {
    pub header: Header,
    path: PathBuf,
    file: File,
    /// Where the stream begins, and its length.
    stream: (u64, u64),
    sum: [u8; 32],
}

impl Opened {
    /// # Errors
    /// `NotFound` where there is no file; `Usage` where it is none of ours, is cut off, or is a later fief's.
    pub fn open(path: &Path) -> Result<Self> {
        let saying = || format!("cannot read {}", path.display());
        let no_state = |cause: &str| {
            let mut failure = Failure::usage(format!("{} is not a saved domain that can be restored", path.display()));
            failure.causes.push(cause.to_owned());
            failure.hint("name a file that `fief save` wrote, whole: nothing was changed")
        };
        let mut file = File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::not_found(format!("there is no file {}", path.display()))
                .hint("check the path; `fief save` wrote it where it was told to"),
            _ => Failure::other(saying()).because(error),
        })?;
        let facts = file.metadata().context(saying)?;
        if !facts.is_file() {
            return Err(no_state("it is no regular file"));
        }
        let whole = facts.len();
        if whole < HEAD + TRAILER {
            return Err(no_state(&format!("it ends at byte {whole}, before a state could")));
        }
        let mut head = [0; HEAD as usize];
        file.read_exact(&mut head).context(saying)?;
        let (magic, rest) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(no_state("it does not begin as one, at byte 0"));
        }
        let number = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let (format, length) = (number(0), number(4));
        if format != FORMAT {
            let cause = format!("at byte {}: its format is {format}, and this fief knows {FORMAT}", MAGIC.len());
            return Err(match format > FORMAT {
                true => no_state(&cause).hint("a later fief wrote it: restore it with that one"),
                false => no_state(&cause),
            });
        }
        let room = whole - HEAD - TRAILER;
        if length > HEADER_MAX || u64::from(length) > room {
            return Err(no_state(&format!("at byte {HEAD}: its header of {length} bytes does not end")));
        }
        let mut json = vec![0; length as usize];
        file.read_exact(&mut json).context(saying)?;
        let header: Header = serde_json::from_slice(&json)
            .map_err(|error| no_state(&format!("at byte {HEAD}: its header cannot be read: {error}")))?;
        let room = room - u64::from(length);
        if header.nvram > NVRAM_MAX || header.nvram > room {
            let at = HEAD + u64::from(length);
            return Err(no_state(&format!("at byte {at}: its UEFI variables do not end")));
        }
        let mut trailer = [0; TRAILER as usize];
        file.seek(SeekFrom::Start(whole - TRAILER)).and_then(|_| file.read_exact(&mut trailer)).context(saying)?;
        let (length, rest) = trailer.split_at(8);
        let (sum, end) = rest.split_at(32);
        if end != END {
            return Err(no_state(&format!("its end is missing, at byte {}", whole - END.len() as u64)));
        }
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        if length != room - header.nvram {
            let at = whole - TRAILER;
            return Err(no_state(&format!("at byte {at}: its lengths do not fit one another")));
        }
        let stream = (whole - TRAILER - length, length);
        let sum = sum.try_into().unwrap_or_default();
        Ok(Opened { header, path: path.to_owned(), file, stream, sum })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The UEFI variables that the domain had; empty where it has none.
    pub fn nvram(&mut self) -> Result<Vec<u8>> {
        let saying = || format!("cannot read {}", self.path.display());
        let mut bytes = vec![0; usize::try_from(self.header.nvram).unwrap_or_default()];
        self.file.seek(SeekFrom::Start(self.stream.0 - self.header.nvram)).context(saying)?;
        self.file.read_exact(&mut bytes).context(saying)?;
        Ok(bytes)
    }

    /// Holds the whole file against its sum, ahead of a change that is made because of it.
    pub fn verify(self) -> Result<()> {
        self.stream(&mut std::io::sink())
    }

    /// Writes the stream to `target`, and holds the whole file against its sum.
    ///
    /// # Errors
    /// Where the sum does not fit: the guest must then not be let go.
    pub fn stream(mut self, target: &mut impl Write) -> Result<()> {
        let saying = || format!("cannot read {}", self.path.display());
        self.file.seek(SeekFrom::Start(0)).context(saying)?;
        let mut sum = Sum::default();
        let mut piece = vec![0; PIECE];
        // The trailer's own length is under the sum, and not of the stream.
        let parts = [(self.stream.0, false), (self.stream.1, true), (8, false)];
        for (mut left, handed_on) in parts {
            while left > 0 {
                let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                self.file.read_exact(&mut piece[..want]).context(saying)?;
                sum.add(&piece[..want]);
                if handed_on {
                    target
                        .write_all(&piece[..want])
                        .context(|| "the hypervisor did not take the state to its end".to_owned())?;
                }
                left -= want as u64;
            }
        }
        if sum.done() != self.sum {
            let until = self.stream.0 + self.stream.1 + 8;
            return Err(Failure::usage(format!("{} is damaged: its sum does not fit", self.path.display()))
                .because(std::io::Error::other(format!("somewhere in the {until} bytes that stand before the sum")))
                .hint("nothing was started; take another copy of the file, or start the domain afresh"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::{ChosenAccelerator, HARDWARE};

    fn header() -> Header {
        Header {
            fief: "0.1.0".into(),
            attempt: uuid::Uuid::from_u128(1),
            saved: jiff::Timestamp::UNIX_EPOCH,
            hypervisor: "7.2.22".into(),
            machine: "pc-q35-7.2".into(),
            cpu: "max".into(),
            accelerator: ChosenAccelerator::Tcg,
            host_cpu: None,
            hardware: HARDWARE,
            places: None,
            runs: 3,
            paused: false,
            nvram: 5,
            definition: "name = \"node1\"\n".into(),
        }
    }

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("node1.state");
        let writer = Writer::create(&path, &header(), b"nvram").unwrap();
        assert_eq!(writer.finish(&mut &b"a guest's memory"[..]).unwrap(), 16);
        path
    }

    fn read(path: &Path) -> Result<Vec<u8>> {
        let mut stream = Vec::new();
        Opened::open(path)?.stream(&mut stream)?;
        Ok(stream)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let mut opened = Opened::open(&path).unwrap();
        assert_eq!(opened.header, header());
        assert_eq!(opened.nvram().unwrap(), b"nvram");
        assert_eq!(read(&path).unwrap(), b"a guest's memory");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Writer::create(&path, &header(), &[]).is_err(), "it was written over");
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let failure = read(&path).unwrap_err();
            assert_eq!(failure.kind, Kind::Usage, "cut at {cut}");
            assert!(failure.to_string().contains("byte"), "no place: {failure}");
        }
    }

    #[test]
    fn a_bit_that_flipped_anywhere_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(read(&path).unwrap_err().kind, Kind::Usage, "flipped at {at}");
        }
    }

    #[test]
    fn one_of_a_later_fief_is_refused_at_its_place_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&(FORMAT + 1).to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let failure = read(&path).unwrap_err();
        assert!(failure.to_string().contains("at byte 16: its format is 2"), "{failure}");
        assert!(failure.hint.unwrap().contains("later fief"));
    }

    #[test]
    fn what_is_no_state_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let kind = |path: &Path| Opened::open(path).unwrap_err().kind;
        assert_eq!(kind(&path), Kind::NotFound);
        std::fs::write(&path, vec![b'x'; 4096]).unwrap();
        assert_eq!(kind(&path), Kind::Usage);
        assert_eq!(kind(folder.path()), Kind::Usage);
    }
}
