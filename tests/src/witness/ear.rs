//! A console log as it is written: appended to, cut in two, begun anew, taken away with its domain.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::history::{Sighting, parse};

pub(super) struct Ear {
    host: String,
    path: PathBuf,
    /// The file that was there the last time, whatever became of its name; and how much of it was read.
    file: Option<File>,
    read: u64,
    rest: String,
}

impl Ear {
    pub(super) fn at(host: &str, path: PathBuf) -> Ear {
        Ear { host: host.to_owned(), path, file: None, read: 0, rest: String::new() }
    }

    /// Adds what was said since.
    pub(super) fn listen(&mut self, at: Duration, history: &mut Vec<Sighting>) {
        loop {
            self.hear(at, history);
            let held = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|facts| facts.ino());
            let named = std::fs::metadata(&self.path).ok().map(|facts| facts.ino());
            if named == held {
                return;
            }
            // To its end once more, since it may have been written to before it lost its name.
            self.hear(at, history);
            (self.file, self.read) = (File::open(&self.path).ok(), 0);
            self.rest.clear();
            if self.file.is_none() {
                return;
            }
        }
    }

    fn hear(&mut self, at: Duration, history: &mut Vec<Sighting>) {
        let Some(file) = &mut self.file else { return };
        if file.metadata().is_ok_and(|facts| facts.len() < self.read) {
            // It was cut in two, and begins anew.
            self.read = 0;
        }
        let mut new = Vec::new();
        if file.seek(SeekFrom::Start(self.read)).is_ok() && file.read_to_end(&mut new).is_ok() {
            self.read += new.len() as u64;
            self.rest.push_str(&String::from_utf8_lossy(&new));
        }
        while let Some(end) = self.rest.find('\n') {
            let line: String = self.rest.drain(..=end).collect();
            if let Some((kind, run, counter)) = parse(&line) {
                history.push(Sighting { host: self.host.clone(), at, kind, run, counter });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn nothing_is_missed_of_a_log_that_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let (mut ear, mut history) = (Ear::at("a", path.clone()), Vec::new());
        let mut listen = || {
            ear.listen(Duration::ZERO, &mut history);
            history.len()
        };
        assert_eq!(listen(), 0);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"fief-witness b 00000001 00000000\r\nfief-witness w 00000001 000").unwrap();
        assert_eq!(listen(), 1);
        file.write_all(b"00001\r\nfief-witness w 00000001 00000002\r\n").unwrap();
        // Said in the moment before it went.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "fief-witness w 00000001 00000007\r\n").unwrap();
        assert_eq!(listen(), 4);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(listen(), 4);
        std::fs::write(&path, "fief-witness w 00000001 00000009\r\n").unwrap();
        assert_eq!(listen(), 5);
        std::fs::write(&path, "fief-witness w 00000001 0000000a\r\n").unwrap();
        assert_eq!(history.last().unwrap().counter, 9);
    }
}
