//! The guest's serial console: a bounded log, and whoever is looking on.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{broadcast, mpsc};

use crate::error::{Context, Result};

/// The log is cut in two at this many bytes: `console.log` and the older `console.log.1`.
pub const LOG_MAX: u64 = 1 << 20;
/// What someone who looks on sees first: about a screen.
const REPLAY: usize = 4 << 10;
/// Pieces of output that wait for a slow onlooker; one who falls further behind loses the oldest.
const BACKLOG: usize = 256;
/// Pieces of input that wait for the guest.
const INPUT_BACKLOG: usize = 64;

#[derive(Debug)]
pub struct Console {
    log: Log,
    recent: Vec<u8>,
    output: broadcast::Sender<Vec<u8>>,
    input: mpsc::Sender<Vec<u8>>,
}

impl Console {
    /// `serial` is the hypervisor's socket; the read half comes back for the supervisor's loop.
    pub fn new(folder: &Path, serial: UnixStream) -> Result<(Console, OwnedReadHalf)> {
        let (reader, mut writer) = serial.into_split();
        let (output, _) = broadcast::channel(BACKLOG);
        let (input, mut typed) = mpsc::channel::<Vec<u8>>(INPUT_BACKLOG);
        tokio::spawn(async move {
            while let Some(bytes) = typed.recv().await {
                if writer.write_all(&bytes).await.is_err() {
                    break;
                }
            }
        });
        let log = Log::open(&folder.join("console.log"))?;
        Ok((Console { log, recent: Vec::new(), output, input }, reader))
    }

    /// Takes what the guest said.
    pub fn said(&mut self, bytes: &[u8]) {
        if let Err(failure) = self.log.write(bytes) {
            // A full disk must not stop the guest, nor those who look on.
            tracing::warn!(%failure, "the console log could not be written");
        }
        self.recent.extend_from_slice(bytes);
        if self.recent.len() > REPLAY {
            self.recent.drain(..self.recent.len() - REPLAY);
        }
        // Nobody looks on: fine.
        let _ = self.output.send(bytes.to_vec());
    }

    /// Lets a client look on and type until it goes.
    pub fn attach(&self, stream: UnixStream) {
        let recent = self.recent.clone();
        let mut output = self.output.subscribe();
        let input = self.input.clone();
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            if writer.write_all(&recent).await.is_err() {
                return;
            }
            let mut buffer = [0; 1024];
            let mut typing = true;
            loop {
                tokio::select! {
                    said = output.recv() => match said {
                        Ok(bytes) => if writer.write_all(&bytes).await.is_err() { break },
                        Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => break,
                    },
                    typed = reader.read(&mut buffer), if typing => match typed {
                        // A client may close its half and go on looking.
                        Ok(0) => typing = false,
                        Ok(length) => if input.send(buffer[..length].to_vec()).await.is_err() { break },
                        Err(_) => break,
                    },
                }
            }
        });
    }
}

/// A log of at most twice [`LOG_MAX`] bytes.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Log {
    fn open(path: &Path) -> Result<Log> {
        let saying = || format!("cannot open {}", path.display());
        let file = File::options().append(true).create(true).mode(0o600).open(path).context(saying)?;
        let length = file.metadata().context(saying)?.len();
        Ok(Log { path: path.to_owned(), file, length })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.length + bytes.len() as u64 > LOG_MAX {
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            std::fs::rename(&self.path, older).context(|| format!("cannot turn {}", self.path.display()))?;
            *self = Log::open(&self.path)?;
        }
        self.file.write_all(bytes).context(|| format!("cannot write {}", self.path.display()))?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_never_stops_talking_fills_two_files_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(&folder.path().join("console.log")).unwrap();
        for _ in 0..50 {
            log.write(&[b'x'; 100 << 10]).unwrap();
        }
        let total: u64 =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!((LOG_MAX..=2 * LOG_MAX).contains(&total), "{total} bytes");
    }

    #[tokio::test]
    async fn who_attaches_late_sees_the_last_screen_and_can_type() {
        let folder = tempfile::tempdir().unwrap();
        let (serial, mut guest) = UnixStream::pair().unwrap();
        let (mut console, _reader) = Console::new(folder.path(), serial).unwrap();
        console.said(b"login: ");
        let (client, mut person) = UnixStream::pair().unwrap();
        console.attach(client);
        let mut seen = [0; 7];
        person.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"login: ");
        person.write_all(b"root\n").await.unwrap();
        let mut typed = [0; 5];
        guest.read_exact(&mut typed).await.unwrap();
        assert_eq!(&typed, b"root\n");
    }
}
