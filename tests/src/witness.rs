//! The witness guest: a boot sector that counts, in memory, on its disk and on the serial port, so that a test can tell
//! what a guest went through (promises.md, P1 to P3).
//!
//! ```text
//!   sector 0   the code                 sector 1   "fwit" │ which run │ counter     (32 bits each, little-endian)
//!
//!   begin: read sector 1, run += 1, say "fief-witness b RUN COUNTER"
//!   beat:  32 pages hold the counter ─▸ counter += 1 ─▸ pages ─▸ sector 1 ─▸ say "fief-witness w RUN COUNTER"
//!          (t: a page held another; e: the disk said no)
//! ```
//! A patient one that the disk says no to says so and tries the same write again, until the disk takes it. A careful one
//! does the same, and reads what it wrote before it says that it has (x: the disk gave it something else).
//!
//! A line is said once the write has returned. SeaBIOS knows no flush, so QEMU gives its guest a disk without a
//! write cache: a write that returned is one that was flushed.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::{Host, eventually};

use ear::Ear;

pub use history::{Kind, OnDisk, Sighting, check};

mod code;
mod ear;
mod history;

/// It beats 18 times a second; the machine may be busy with other things.
const BEATS: Duration = Duration::from_secs(60);
/// Of its disk, as `volume create` takes it.
const SIZE: &str = "1MiB";

/// What a witness does when its disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temper {
    StandsStill,
    TriesAgain,
    /// And reads each write back, whatever that takes.
    ReadsBack,
}

/// Between two times that one is listened to that moves: a log that goes with its domain is open by then.
const PACE: Duration = Duration::from_millis(5);

/// Who listens, and all that was heard.
struct Heard {
    begun: Instant,
    ears: Vec<Ear>,
    history: Vec<Sighting>,
}

impl Heard {
    fn listen(&mut self) {
        let at = self.begun.elapsed();
        self.ears.iter_mut().for_each(|ear| ear.listen(at, &mut self.history));
    }
}

/// A witness on a host, and all that was heard of it.
pub struct Witness {
    name: String,
    /// The hosts that it was on, by their namespaces; the last is where it is.
    way: Vec<String>,
    image: PathBuf,
    /// Where in that file the disk begins, in bytes.
    begins: u64,
    temper: Temper,
    heard: Arc<Mutex<Heard>>,
    /// As it was at the last look.
    history: Vec<Sighting>,
}

impl Witness {
    /// Makes the volume `default/NAME` and the domain NAME on it, off.
    #[track_caller]
    pub fn create(host: &Host, name: &str, options: &[&str]) -> Witness {
        let sector = host.root().join("witness.img");
        write(&sector);
        let volume = format!("default/{name}");
        let image = host.volume_with(&volume, SIZE, &sector);
        std::fs::remove_file(&sector).expect("the sector's file");
        Witness::define(host, name, &volume, &image, Temper::StandsStill, options)
    }

    /// Makes the domain NAME on a volume that is there, raw, in this file.
    #[track_caller]
    pub fn on(host: &Host, name: &str, volume: &str, image: &Path, temper: Temper, options: &[&str]) -> Witness {
        let mut file = File::options().write(true).open(image).expect("an image");
        file.write_all(&code::sector(temper)).and_then(|()| file.sync_all()).expect("room for the witness");
        Witness::define(host, name, volume, image, temper, options)
    }

    /// Makes the domain NAME on a volume that has a witness already, whose first byte lies there in this file.
    #[track_caller]
    pub fn booting(host: &Host, name: &str, volume: &str, image: &Path, begins: u64) -> Witness {
        let mut witness = Witness::define(host, name, volume, image, Temper::StandsStill, &[]);
        witness.begins = begins;
        witness
    }

    #[track_caller]
    fn define(host: &Host, name: &str, volume: &str, image: &Path, temper: Temper, options: &[&str]) -> Witness {
        let fixed = ["create", name, "--memory", "32MiB", "--accelerator", "tcg", "--disk", volume];
        host.fief(&[&fixed[..], options].concat());
        let heard = Heard { begun: Instant::now(), ears: vec![ear(host, name)], history: Vec::new() };
        Witness {
            name: name.to_owned(),
            way: vec![host.namespace().name().to_owned()],
            image: image.to_owned(),
            begins: 0,
            temper,
            heard: Arc::new(Mutex::new(heard)),
            history: Vec::new(),
        }
    }

    /// It is listened to on this host as well, from now on and all the while.
    pub fn is_heard_on(&mut self, host: &Host) {
        self.heard().ears.push(ear(host, &self.name));
        let heard = Arc::downgrade(&self.heard);
        std::thread::spawn(move || {
            while let Some(heard) = heard.upgrade() {
                heard.lock().expect("no ear panics").listen();
                drop(heard);
                std::thread::sleep(PACE);
            }
        });
    }

    /// From now on it may be on this host, one on which it is heard; and no more where it was before.
    pub fn may_be_on(&mut self, host: &Host) {
        self.way.push(host.namespace().name().to_owned());
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("no ear panics")
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that its disk is in.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Its disk is another file now: a raw image.
    pub fn lies_at(&mut self, image: &Path) {
        self.lies_within(image, 0);
    }

    /// What it writes lies in this file, its first byte there.
    pub fn lies_within(&mut self, image: &Path, begins: u64) {
        image.clone_into(&mut self.image);
        self.begins = begins;
    }

    /// Hears what was said since; gives all that was heard so far.
    pub fn look(&mut self) -> &[Sighting] {
        let mut heard = self.heard();
        heard.listen();
        let new = heard.history[self.history.len()..].to_vec();
        drop(heard);
        self.history.extend(new);
        &self.history
    }

    /// How long nothing was heard of it the last time that it came to another host.
    pub fn pause(&mut self) -> Option<Duration> {
        history::pause(self.look())
    }

    /// What is on the disk now, whether or not anybody heard of it; zeros where it never ran.
    pub fn on_disk(&self) -> OnDisk {
        let mut sector = [0; 12];
        let file = File::open(&self.image).expect("the witness's disk");
        file.read_exact_at(&mut sector, self.begins + 512).expect("its second sector");
        let word = |at: usize| u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]);
        let known = &sector[..4] == b"fwit";
        OnDisk { run: if known { word(4) } else { 0 }, counter: if known { word(8) } else { 0 } }
    }

    /// Waits until it has written `more` times from now on, whoever watches over it.
    #[track_caller]
    pub fn goes_on(&self, more: u32) {
        self.goes_on_within(more, BEATS);
    }

    /// The same, where it may take longer.
    #[track_caller]
    pub fn goes_on_within(&self, more: u32, deadline: Duration) {
        let from = self.on_disk();
        let what = format!("{} writes {more} times more than {from:?}", self.name);
        eventually(&what, deadline, || (self.on_disk().counter >= from.counter + more).then_some(()));
    }

    /// Waits until its console was heard `more` times from now on.
    #[track_caller]
    pub fn is_heard(&mut self, more: usize) {
        let from = self.look().len();
        let what = format!("{} is heard", self.name);
        eventually(&what, BEATS, || (self.look().len() >= from + more).then_some(()));
    }

    /// # Panics
    /// Where it went through something that must never be.
    #[track_caller]
    pub fn is_sound(&mut self) {
        // The disk is read after the log, so that it can only be further on.
        self.look();
        let mut history = self.history.clone();
        match self.temper {
            Temper::StandsStill => {}
            Temper::TriesAgain | Temper::ReadsBack => history.retain(|seen| seen.kind != Kind::Failed),
        }
        let way: Vec<&str> = self.way.iter().map(String::as_str).collect();
        if let Err(violation) = check(&history, &way, Some(self.on_disk())) {
            let last = &self.history[self.history.len().saturating_sub(10)..];
            panic!("{}: {violation}\nits last words: {last:#?}", self.name);
        }
    }
}

fn ear(host: &Host, name: &str) -> Ear {
    Ear::at(host.namespace().name(), host.root().join("domains").join(name).join("console.log"))
}

/// A disk that starts with it.
pub fn write(path: &Path) {
    let mut file = File::create(path).expect("a file for the witness");
    file.write_all(&code::sector(Temper::StandsStill)).expect("room for the witness");
    file.set_len(1 << 20).expect("room for the witness");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_runs_it_and_a_second_run_goes_on_from_its_disk() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk.img");
        write(&disk);
        let mut last = 0;
        for (run, temper) in [(1, Temper::StandsStill), (2, Temper::ReadsBack)] {
            File::options().write(true).open(&disk).unwrap().write_all(&code::sector(temper)).unwrap();
            let serial = folder.path().join(format!("serial{run}"));
            let mut qemu = std::process::Command::new("qemu-system-x86_64");
            qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg", "-serial"]);
            qemu.arg(format!("file:{}", serial.display()));
            qemu.arg("-drive").arg(format!("file={},format=raw,if=virtio", disk.display()));
            let mut child = qemu.spawn().unwrap();
            let heard = || -> Vec<(Kind, u32, u32)> {
                std::fs::read_to_string(&serial).unwrap_or_default().lines().filter_map(history::parse).collect()
            };
            eventually("the witness counts", BEATS, || (heard().len() > 5).then_some(()));
            child.kill().unwrap();
            child.wait().unwrap();
            let heard = heard();
            assert_eq!((heard[0].0, heard[0].1), (Kind::Began, run));
            assert!(heard[0].2 >= last, "{heard:?} after {last}");
            assert!(heard[1..].iter().all(|word| word.0 == Kind::Wrote), "{heard:?}");
            last = heard[heard.len() - 1].2;
        }
    }
}
