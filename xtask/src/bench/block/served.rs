//! Volumes as fief serves them: by `fief volume serve` beside a peer, and in a running domain whose sandbox is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use super::super::fief::Fief;
use super::super::figure::Figure;
use super::super::process_with;
use crate::command::{Result, command, quietly};

const BEGINS_WITHIN: Duration = Duration::from_secs(30);

/// `fief volume serve`, until it is dropped.
pub(super) struct Served {
    command: Child,
    pub(super) socket: PathBuf,
}

impl Served {
    pub(super) fn start(fief: &Fief, volume: &str, root: &Path) -> Result<Self> {
        let socket = root.join(format!("{}.sock", volume.replace('/', "-")));
        let words = ["volume", "serve", volume, "--socket", &socket.to_string_lossy()];
        let served = Served { command: fief.spawn(&words)?, socket };
        let end = Instant::now() + BEGINS_WITHIN;
        while !served.socket.exists() {
            if Instant::now() > end {
                return Err(format!("{volume} was not served").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(served)
    }

    /// The command, and its sandbox.
    pub(super) fn processes(&self) -> Result<Vec<u32>> {
        Ok([vec![self.command.id()], children(self.command.id())?].concat())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // SIGTERM, so that it lets go of the volume; it may have ended.
        drop(quietly(&mut command("kill", ["-TERM", &self.command.id().to_string()])));
        drop(self.command.wait());
    }
}

fn children(process: u32) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let listed = fs::read_to_string(thread?.path().join("children"))?;
        all.extend(listed.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    Ok(all)
}

/// How long a guest that writes all the time stands still where its sandbox is killed, and what that sandbox weighs
/// with 32 requests in flight.
pub(super) fn killed_and_weighed(fief: &Fief, root: &Path, pace: super::Pace) -> Result<Vec<Figure>> {
    fief.quietly(&["volume", "create", "served/writer", "--size", "64MiB", "--format", "raw"])?;
    let mut disk = writing().to_vec();
    disk.resize(64 << 20, 0);
    fs::write(root.join("writer"), disk)?;
    fief.quietly(&["create", "writer", "--memory", "64MiB", "--accelerator", "tcg", "--disk", "served/writer"])?;
    fief.start("writer")?;
    let supervisor = process_with("supervise", fief.root())?;
    let console = fief.root().join("domains/writer/console.log");
    let mut stalls = Vec::new();
    for _ in 0..pace.rounds() {
        longest(&console, Duration::from_millis(500));
        for sandbox in sandboxes(supervisor)? {
            quietly(&mut command("kill", ["-KILL", &sandbox.to_string()]))?;
        }
        stalls.push(longest(&console, Duration::from_secs(4)));
    }
    if fs::read_to_string(&console)?.contains('E') {
        return Err("the guest was told of an error".into());
    }
    fief.stop("writer")?;
    let served = Served::start(fief, "served/file", root)?;
    let load = super::load::loads(32)[3];
    let device = super::Device::Fio(super::uri(&served.socket));
    let weighed = std::thread::scope(|scope| -> Result<u64> {
        let busy = scope.spawn(|| load.run(&device, &[], pace).map(drop).map_err(|error| error.to_string()));
        let mut most = 0;
        while !busy.is_finished() {
            for process in served.processes()?.into_iter().skip(1) {
                most = most.max(super::super::fief::resident(process).unwrap_or(0));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        busy.join().map_err(|_| "the load panicked")??;
        Ok(most)
    })?;
    let stall = stalls.iter().max().copied().unwrap_or_default();
    Ok(vec![
        Figure::alone("longest stall of a guest whose serving sandbox is killed", stall, Duration::from_millis(1200)),
        Figure::memory("resident memory of a serving sandbox, 32 requests in flight", weighed, 40 * 1024),
    ])
}

fn sandboxes(supervisor: u32) -> Result<Vec<u32>> {
    let is_sandbox = |process: &u32| {
        fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|words| words.starts_with(b"fief\0sandbox"))
    };
    Ok(children(supervisor)?.into_iter().filter(is_sandbox).collect())
}

/// The longest time, within `watched`, in which the file stayed as it was.
fn longest(file: &Path, watched: Duration) -> Duration {
    let length = || fs::metadata(file).map_or(0, |metadata| metadata.len());
    let (begun, mut changed, mut last, mut longest) = (Instant::now(), Instant::now(), length(), Duration::ZERO);
    while begun.elapsed() < watched {
        std::thread::sleep(Duration::from_millis(2));
        let now = length();
        if now != last {
            longest = longest.max(changed.elapsed());
            (changed, last) = (Instant::now(), now);
        }
    }
    longest.max(changed.elapsed())
}

/// A boot sector that writes the disk's second sector again and again by the firmware's own means, and says `.` after
/// each, or `E` where that failed.
fn writing() -> [u8; 512] {
    let mut sector = [0; 512];
    let code: &[u8] = &[
        0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, //  xor ax, ax; mov ds, ax; mov es, ax
        0x8e, 0xd0, 0xbc, 0x00, 0x7c, //        mov ss, ax; mov sp, 0x7c00
        0xb8, 0x01, 0x03, //             again: mov ax, 0x0301      write one sector
        0xbb, 0x00, 0x7e, //                    mov bx, 0x7e00
        0xb9, 0x02, 0x00, //                    mov cx, 2           the second
        0xba, 0x80, 0x00, //                    mov dx, 0x80
        0xcd, 0x13, //                          int 0x13
        0xb0, 0x2e, //                          mov al, '.'
        0x73, 0x02, //                          jnc said
        0xb0, 0x45, //                          mov al, 'E'
        0xba, 0xf8, 0x03, 0xee, //        said: mov dx, 0x3f8; out dx, al
        0xeb, 0xe6, //                          jmp again
    ];
    sector[..code.len()].copy_from_slice(code);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}
