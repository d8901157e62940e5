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
//! A patient one that the disk says no to says so and tries the same write again, until the disk takes it.
//!
//! A line is said once the write has returned. SeaBIOS knows no flush, so QEMU gives its guest a disk without a
//! write cache: a write that returned is one that was flushed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{Host, eventually};

use history::parse;
pub use history::{Kind, OnDisk, Sighting, check};

mod history;

/// Loaded at 0x7c00 (BIOS boot specification 1.01, 6.5.1); the disk by int 13h extensions (EDD-3, 4.3).
#[rustfmt::skip]
const CODE: &[u8] = &[
    0xfa, // cli
    0x31, 0xc0, // xor ax,ax
    0x8e, 0xd8, // mov ds,ax
    0x8e, 0xc0, // mov es,ax
    0x8e, 0xd0, // mov ss,ax
    0xbc, 0x00, 0x7c, // mov sp,0x7c00
    0xfb, // sti
    0xfc, // cld
    0x88, 0x16, 0x32, 0x7d, // mov [drive],dl
    0xb4, 0x42, // mov ah,0x42
    0xe8, 0x8a, 0x00, // call disk
    0x66, 0x81, 0x3e, 0x00, 0x80, 0x66, 0x77, 0x69, 0x74, // cmp ds:0x8000,0x74697766
    0x74, 0x15, // je known
    0xbf, 0x00, 0x80, // mov di,0x8000
    0xb9, 0x80, 0x00, // mov cx,0x80
    0x66, 0x31, 0xc0, // xor eax,eax
    0x66, 0xf3, 0xab, // rep stos es:[di],eax
    0x66, 0xc7, 0x06, 0x00, 0x80, 0x66, 0x77, 0x69, 0x74, // mov ds:0x8000,0x74697766
    // known: one more run
    0x66, 0xff, 0x06, 0x04, 0x80, // inc ds:0x8004
    0xb0, 0x62, // mov al,0x62
    0xe8, 0x7b, 0x00, // call line
    0xe8, 0x23, 0x00, // call fill
    // beat: every page holds the counter; one more; onto the disk; then said
    0xe8, 0x3a, 0x00, // call check
    0x66, 0xff, 0x06, 0x08, 0x80, // inc ds:0x8008
    0xe8, 0x18, 0x00, // call fill
    0xb4, 0x43, // mov ah,0x43
    0xe8, 0x4d, 0x00, // call disk
    0xb0, 0x77, // mov al,0x77
    0xe8, 0x63, 0x00, // call line
    0x66, 0xa1, 0x6c, 0x04, // mov eax,ds:0x46c
    // wait: the BIOS counts 18.2 times a second (0x46c)
    0xf4, // hlt
    0x66, 0x3b, 0x06, 0x6c, 0x04, // cmp eax,ds:0x46c
    0x74, 0xf8, // je wait
    0xeb, 0xdd, // jmp beat
    // fill: 32 pages from 0x10000 on
    0xbb, 0x00, 0x10, // mov bx,0x1000
    0x8e, 0xc3, // mov es,bx
    0x66, 0xa1, 0x08, 0x80, // mov eax,ds:0x8008
    0x26, 0x66, 0xa3, 0x00, 0x00, // mov es:0x0,eax
    0x81, 0xc3, 0x00, 0x01, // add bx,0x100
    0x81, 0xfb, 0x00, 0x30, // cmp bx,0x3000
    0x72, 0xeb, // jb fill
    0xeb, 0x1d, // jmp back
    // check: none of them may hold another
    0xbb, 0x00, 0x10, // mov bx,0x1000
    0x8e, 0xc3, // mov es,bx
    0x66, 0xa1, 0x08, 0x80, // mov eax,ds:0x8008
    0x26, 0x66, 0x39, 0x06, 0x00, 0x00, // cmp es:0x0,eax
    0xb0, 0x74, // mov al,0x74
    0x75, 0x1f, // jne bad
    0x81, 0xc3, 0x00, 0x01, // add bx,0x100
    0x81, 0xfb, 0x00, 0x30, // cmp bx,0x3000
    0x72, 0xe6, // jb check
    // back:
    0x16, // push ss
    0x07, // pop es
    0xc3, // ret
    // disk: int 13h, ah = 0x42 reads, 0x43 writes the sector of the packet
    0x30, 0xc0, // xor al,al
    0x8a, 0x16, 0x32, 0x7d, // mov dl,[drive]
    0xbe, 0x22, 0x7d, // mov si,packet
    0xcd, 0x13, // int 0x13
    0x73, 0x04, // jae disk
    0xb0, 0x65, // mov al,0x65
    0xeb, 0x01, // jmp bad
    0xc3, // ret
    // bad: says so, and stands still
    0x16, // push ss
    0x07, // pop es
    0xe8, 0x04, 0x00, // call line
    0xfa, // cli
    0xf4, // hlt
    0xeb, 0xfc, // jmp bad
    // line: "fief-witness " al " " run " " counter
    0x50, // push ax
    0xbe, 0x14, 0x7d, // mov si,text
    0xac, // lods al,ds:[si]
    0x84, 0xc0, // test al,al
    0x74, 0x05, // je line
    0xe8, 0x3d, 0x00, // call put
    0xeb, 0xf6, // jmp line
    0x58, // pop ax
    0xe8, 0x37, 0x00, // call put
    0x66, 0x8b, 0x1e, 0x04, 0x80, // mov ebx,ds:0x8004
    0xe8, 0x11, 0x00, // call hex
    0x66, 0x8b, 0x1e, 0x08, 0x80, // mov ebx,ds:0x8008
    0xe8, 0x09, 0x00, // call hex
    0xb0, 0x0d, // mov al,0xd
    0xe8, 0x22, 0x00, // call put
    0xb0, 0x0a, // mov al,0xa
    0xeb, 0x1e, // jmp put
    // hex: a blank and ebx
    0xb0, 0x20, // mov al,0x20
    0xe8, 0x19, 0x00, // call put
    0xb9, 0x08, 0x00, // mov cx,0x8
    0x66, 0xc1, 0xc3, 0x04, // rol ebx,0x4
    0x88, 0xd8, // mov al,bl
    0x24, 0x0f, // and al,0xf
    0x04, 0x30, // add al,0x30
    0x3c, 0x39, // cmp al,0x39
    0x76, 0x02, // jbe hex
    0x04, 0x27, // add al,0x27
    0xe8, 0x03, 0x00, // call put
    0xe2, 0xeb, // loop hex
    0xc3, // ret
    // put: al onto the first serial port
    0x50, // push ax
    0xba, 0xfd, 0x03, // mov dx,0x3fd
    0xec, // in al,dx
    0xa8, 0x20, // test al,0x20
    0x74, 0xfb, // je put
    0x58, // pop ax
    0xba, 0xf8, 0x03, // mov dx,0x3f8
    0xee, // out dx,al
    0xc3, // ret
    // text
    b'f', b'i', b'e', b'f', b'-', b'w', b'i', b't', b'n', b'e', b's', b's', b' ', 0,
    // packet: its length, 1 sector, 0000:8000, sector 1
    16, 0, 1, 0, 0x00, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    // drive
    0,
];

/// It beats 18 times a second; the machine may be busy with other things.
const BEATS: Duration = Duration::from_secs(60);
/// Of its disk, as `volume create` takes it.
const SIZE: &str = "1MiB";

/// What a witness does when its disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temper {
    StandsStill,
    TriesAgain,
}

/// A witness on a host, and all that was heard of it.
pub struct Witness {
    host: String,
    name: String,
    log: PathBuf,
    image: PathBuf,
    temper: Temper,
    read: u64,
    rest: String,
    begun: Instant,
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
        file.write_all(&sector(temper)).and_then(|()| file.sync_all()).expect("room for the witness");
        Witness::define(host, name, volume, image, temper, options)
    }

    #[track_caller]
    fn define(host: &Host, name: &str, volume: &str, image: &Path, temper: Temper, options: &[&str]) -> Witness {
        let fixed = ["create", name, "--memory", "32MiB", "--accelerator", "tcg", "--disk", volume];
        host.fief(&[&fixed[..], options].concat());
        Witness {
            host: host.namespace().name().to_owned(),
            name: name.to_owned(),
            log: host.root().join("domains").join(name).join("console.log"),
            image: image.to_owned(),
            temper,
            read: 0,
            rest: String::new(),
            begun: Instant::now(),
            history: Vec::new(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its disk is another file now: a raw image.
    pub fn lies_at(&mut self, image: &Path) {
        image.clone_into(&mut self.image);
    }

    /// Hears what was said since; gives all that was heard so far.
    pub fn look(&mut self) -> &[Sighting] {
        let Ok(mut file) = File::open(&self.log) else { return &self.history };
        if file.metadata().is_ok_and(|facts| facts.len() < self.read) {
            // It was cut in two, and begins anew.
            self.read = 0;
        }
        let mut new = Vec::new();
        if file.seek(SeekFrom::Start(self.read)).is_ok() && file.read_to_end(&mut new).is_ok() {
            self.read += new.len() as u64;
            self.rest.push_str(&String::from_utf8_lossy(&new));
        }
        let at = self.begun.elapsed();
        while let Some(end) = self.rest.find('\n') {
            let line: String = self.rest.drain(..=end).collect();
            if let Some((kind, run, counter)) = parse(&line) {
                self.history.push(Sighting { host: self.host.clone(), at, kind, run, counter });
            }
        }
        &self.history
    }

    /// What is on the disk now, whether or not anybody heard of it; zeros where it never ran.
    pub fn on_disk(&self) -> OnDisk {
        let mut sector = [0; 12];
        let file = File::open(&self.image).expect("the witness's disk");
        file.read_exact_at(&mut sector, 512).expect("its second sector");
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
        if self.temper == Temper::TriesAgain {
            history.retain(|seen| seen.kind != Kind::Failed);
        }
        if let Err(violation) = check(&history, Some(self.on_disk())) {
            let last = &self.history[self.history.len().saturating_sub(10)..];
            panic!("{}: {violation}\nits last words: {last:#?}", self.name);
        }
    }
}

/// A disk that starts with it.
pub fn write(path: &Path) {
    let mut file = File::create(path).expect("a file for the witness");
    file.write_all(&sector(Temper::StandsStill)).expect("room for the witness");
    file.set_len(1 << 20).expect("room for the witness");
}

/// Its first sector.
fn sector(temper: Temper) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..CODE.len()].copy_from_slice(CODE);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    if temper == Temper::TriesAgain {
        let find = |code: &[u8]| CODE.windows(code.len()).position(|part| part == code).expect("a part of the code");
        // "mov al,'e'; jmp bad" of `disk`, which begins 13 bytes before; `line`.
        let failed = find(&[0xb0, 0x65, 0xeb, 0x01]);
        let (disk, line, more) = (failed - 13, find(&[0x50, 0xbe]), CODE.len());
        // A displacement counts from the byte after it.
        let to = |target: usize, after: usize| {
            u16::try_from((target + 0x1_0000 - after) & 0xffff).expect("16 bits").to_le_bytes()
        };
        let mut put = |at: usize, code: &[u8]| sector[at..at + code.len()].copy_from_slice(code);
        let jump = to(more, failed + 3);
        put(failed, &[0xe9, jump[0], jump[1], 0x90]); // jmp more; nop
        let (call, again) = (to(line, more + 5), to(disk, more + 16));
        // mov al,'e'; call line; hlt
        put(more, &[0xb0, 0x65, 0xe8, call[0], call[1], 0xf4]);
        // mov byte [packet+2],1; mov ah,0x43; jmp disk: a write that failed left there how many sectors it wrote.
        put(more + 6, &[0xc6, 0x06, 0x24, 0x7d, 1, 0xb4, 0x43, 0xe9, again[0], again[1]]);
    }
    sector
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
        for run in 1..3 {
            let serial = folder.path().join(format!("serial{run}"));
            let mut qemu = std::process::Command::new("qemu-system-x86_64");
            qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg", "-serial"]);
            qemu.arg(format!("file:{}", serial.display()));
            qemu.arg("-drive").arg(format!("file={},format=raw,if=virtio", disk.display()));
            let mut child = qemu.spawn().unwrap();
            let heard = || -> Vec<(Kind, u32, u32)> {
                std::fs::read_to_string(&serial).unwrap_or_default().lines().filter_map(parse).collect()
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
