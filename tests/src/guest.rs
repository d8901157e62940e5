//! What boots: the witness guest and the Debian disk that `cargo xtask setup --for test` makes, and what they say.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use std::io::Read;
use std::process::{Child, Stdio};

use crate::Host;
use crate::host::target;

/// A witness guest boots in 2 s on an idle machine; here each test may share two processors with a compiler.
pub const SPEAKS: Duration = Duration::from_secs(90);

fn made(name: &str) -> PathBuf {
    let path = target().join("guest").join(name);
    assert!(path.exists(), "{} is not there; `cargo xtask setup --for test` makes it", path.display());
    path
}

pub fn kernel() -> PathBuf {
    made("vmlinuz")
}

pub fn initramfs() -> PathBuf {
    made("initramfs.cpio")
}

/// Boots from BIOS and from UEFI to a login on the serial console; `root` has no password.
pub fn debian() -> PathBuf {
    made("debian.img")
}

/// A disk with fio on it, and all that it needs: `/ld.so --library-path /lib /fio`.
///
/// # Panics
/// Where it is not there: `cargo xtask storage` makes it.
pub fn fio() -> PathBuf {
    made("fio.img")
}

/// Size of [`debian`], as `volume create` takes it.
pub const DEBIAN_SIZE: &str = "648MiB";

/// A running guest, heard through `fief logs --follow`.
pub struct Guest<'a> {
    host: &'a Host,
    name: String,
    follower: Child,
    heard: Arc<(Mutex<String>, Condvar)>,
}

impl<'a> Guest<'a> {
    /// Follows the console of a domain of this name from its first line.
    pub fn of(host: &'a Host, name: &str) -> Guest<'a> {
        let mut command = host.command(&["logs", name, "--console", "--follow"]);
        let mut follower =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("fief logs can be started");
        let mut stdout = follower.stdout.take().expect("a pipe");
        let heard = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let sink = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut piece) {
                let (text, news) = &*sink;
                text.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&piece[..length]));
                news.notify_all();
            }
        });
        Guest { host, name: name.to_owned(), follower, heard }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for a line that holds `part`, from the start of the console on; gives that line.
    ///
    /// # Panics
    /// Where it does not come within [`SPEAKS`]; shows what came.
    #[track_caller]
    pub fn says(&self, part: &str) -> String {
        self.says_after(0, part).1
    }

    /// The same from a place on, given back by an earlier call; gives the place after the line as well.
    #[track_caller]
    pub fn says_after(&self, place: usize, part: &str) -> (usize, String) {
        let until = Instant::now() + SPEAKS;
        let (text, news) = &*self.heard;
        let mut text = text.lock().expect("no reader panics");
        loop {
            if let Some(found) = text.get(place..).and_then(|rest| rest.find(part)) {
                let at = place + found;
                // The whole line, once all of it is there.
                if let Some(end) = text[at..].find('\n') {
                    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                    return (at + end, text[start..at + end].trim().to_owned());
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} did not say {part:?} but:\n{}", self.name, *text);
            text = news.wait_timeout(text, left).expect("no reader panics").0;
        }
    }

    /// The address that it got by DHCP.
    #[track_caller]
    pub fn address(&self) -> String {
        let line = self.says("fief-guest: address ");
        line.split_whitespace().nth(2).expect("an address").to_owned()
    }

    pub fn host(&self) -> &Host {
        self.host
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        let _ = self.follower.kill();
        let _ = self.follower.wait();
    }
}
