//! Memory into a file and back beside QEMU's own monitor, and copies of disks beside `cp` and `qemu-img`.
//!
//! What fief calls done is on disk, so the peers' times end with a `sync` of what they wrote.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::fief::Fief;
use super::figure::{Figure, Kind};
use super::hand::{Hand, gone};
use super::{median, timed};
use crate::command::{Doing, Result, command, quietly};

/// Rounds of each pair: each moves half a gigabyte.
pub(super) const ROUNDS: usize = 7;
/// Memory of the guest that is saved, in MiB. All of it but a little is filled, and with more than zeroes.
const MEMORY: u32 = 512;
/// Filling takes a second under software emulation.
const FILLED_WITHIN: Duration = Duration::from_secs(60);

pub(super) fn measure(fief: &Fief, root: &Path) -> Result<Vec<Figure>> {
    let mut figures = memory(fief, root)?;
    figures.extend(disks(fief)?);
    Ok(figures)
}

fn memory(fief: &Fief, root: &Path) -> Result<Vec<Figure>> {
    let sector = root.join("filling.img");
    let mut disk = filling().to_vec();
    disk.resize(1 << 20, 0);
    fs::write(&sector, &disk)?;
    let memory = format!("{MEMORY}MiB");
    fief.quietly(&["volume", "create", "default/filling", "--size", "1MiB", "--format", "raw"])?;
    fs::write(fief.image("filling")?, &disk)?;
    fief.quietly(&["create", "filling", "--memory", &memory, "--accelerator", "tcg", "--disk", "default/filling"])?;
    fief.start("filling")?;
    fief.until_said("filling", "f", FILLED_WITHIN)?;
    let by_hand = ByHand::like(fief.hypervisor()?, &sector, root)?;

    let (ours, theirs) = (root.join("fief.state"), root.join("hand.state"));
    let file = ours.to_string_lossy();
    let mut times: [Vec<Duration>; 4] = Default::default();
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}: save and restore");
        times[0].push(timed(|| fief.quietly(&["save", "filling", &file]))?);
        times[1].push(timed(|| fief.quietly(&["restore", &file]))?);
        fs::remove_file(&ours)?;
        by_hand.start_filled()?;
        times[2].push(timed(|| by_hand.save(&theirs))?);
        times[3].push(timed(|| by_hand.restore(&theirs))?);
        by_hand.hand.stop()?;
        fs::remove_file(&theirs)?;
    }
    fief.stop("filling")?;
    let [save, restore, hand_save, hand_restore] = times.map(|times| median(&times));
    Ok(vec![
        Figure::new(
            &format!("`fief save`, {memory}, until the domain is off"),
            "`migrate` by hand into a file, `sync`, `quit`",
            save,
            hand_save,
            Kind::Ratio(1.25),
        ),
        Figure::new(
            "`fief restore` until the guest is let go",
            "the same QEMU by hand, `-incoming` from the file",
            restore,
            hand_restore,
            Kind::Ratio(1.25),
        ),
    ])
}

/// A disk of 2 GiB with 200 MiB of data in eight places.
fn disks(fief: &Fief) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (format, beside) in [("raw", "`cp --reflink=auto`, `sync`"), ("qcow2", "`qemu-img convert`, `sync`")] {
        let source = format!("source-{format}");
        let volume = format!("default/{source}");
        fief.quietly(&["volume", "create", &volume, "--size", "2GiB", "--format", format])?;
        let image = fief.image(&source)?;
        let writes = (0..8).flat_map(|place| ["-c".to_owned(), format!("write -q -P 165 {}M 25M", place * 256)]);
        quietly(command("qemu-io", ["-f", format]).args(writes).arg(&image))?;
        fief.quietly(&["create", &source, "--memory", "64MiB", "--disk", &volume])?;
        let by_hand = image.with_file_name("hand.copy");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            println!("round {round} of {ROUNDS}: clone, {format}");
            ours.push(timed(|| fief.quietly(&["clone", &source, "copy"]))?);
            fief.quietly(&["delete", "copy", "--volumes", "--yes"])?;
            theirs.push(timed(|| {
                match format {
                    "raw" => quietly(command("cp", ["--reflink=auto"]).args([&image, &by_hand]))?,
                    _ => {
                        quietly(command("qemu-img", ["convert", "-f", format, "-O", format]).args([&image, &by_hand]))?
                    }
                }
                quietly(&mut command("sync", [&by_hand]))
            })?);
            fs::remove_file(&by_hand)?;
        }
        let work = format!("`fief clone`, a {format} disk of 2 GiB with 200 MiB in it");
        figures.push(Figure::new(&work, beside, median(&ours), median(&theirs), Kind::Ratio(1.25)));
    }
    Ok(figures)
}

/// The guest of fief's own with a monitor and a console that the bench reaches.
struct ByHand {
    hand: Hand,
    monitor: PathBuf,
    console: PathBuf,
}

impl ByHand {
    fn like(words: Vec<String>, disk: &Path, root: &Path) -> Result<Self> {
        let (monitor, console) = (root.join("hand.qmp"), root.join("hand.console"));
        let hand = Hand::like(words, disk, root)?
            .with("null,id=qmp", format!("socket,id=qmp,server=on,wait=off,path={}", monitor.display()))
            .with("null,id=serial0", format!("file,id=serial0,path={}", console.display()));
        Ok(ByHand { hand, monitor, console })
    }

    fn start_filled(&self) -> Result<()> {
        fs::write(&self.console, "")?;
        self.hand.start()?;
        let until = Instant::now() + FILLED_WITHIN;
        while fs::metadata(&self.console)?.len() == 0 {
            if Instant::now() > until {
                return Err("the guest by hand did not fill its memory".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn save(&self, file: &Path) -> Result<()> {
        let pid = self.hand.pid()?;
        let mut monitor = Monitor::connect(&self.monitor)?;
        monitor.execute(r#"{"execute": "migrate-set-parameters", "arguments": {"max-bandwidth": 1099511627776}}"#)?;
        monitor.execute(r#"{"execute": "stop"}"#)?;
        let uri = format!("exec:cat > {}", file.display());
        monitor.execute(&format!(r#"{{"execute": "migrate", "arguments": {{"uri": "{uri}"}}}}"#))?;
        while !monitor.execute(r#"{"execute": "query-migrate"}"#)?.contains(r#""status": "completed""#) {
            std::thread::sleep(Duration::from_millis(5));
        }
        quietly(&mut command("sync", [file]))?;
        monitor.execute(r#"{"execute": "quit"}"#)?;
        gone(&pid);
        Ok(())
    }

    fn restore(&self, file: &Path) -> Result<()> {
        self.hand.start_with(&["-incoming".to_owned(), format!("exec:cat {}", file.display())])?;
        let mut monitor = Monitor::connect(&self.monitor)?;
        // It comes back as it was saved: standing still.
        while monitor.execute(r#"{"execute": "query-status"}"#)?.contains(r#""status": "inmigrate""#) {
            std::thread::sleep(Duration::from_millis(5));
        }
        monitor.execute(r#"{"execute": "cont"}"#).map(drop)
    }
}

/// QEMU's monitor, as plain as it can be spoken to.
struct Monitor {
    lines: BufReader<UnixStream>,
}

impl Monitor {
    fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path).doing(|| format!("cannot connect to {}", path.display()))?;
        let mut monitor = Monitor { lines: BufReader::new(stream) };
        monitor.execute(r#"{"execute": "qmp_capabilities"}"#)?;
        Ok(monitor)
    }

    fn execute(&mut self, line: &str) -> Result<String> {
        writeln!(self.lines.get_mut(), "{line}")?;
        loop {
            let mut said = String::new();
            if self.lines.read_line(&mut said)? == 0 {
                return Err("the monitor by hand ended".into());
            }
            if said.contains("\"error\": {") {
                return Err(said.into());
            }
            if said.contains("\"return\":") {
                return Ok(said);
            }
        }
    }
}

/// A boot sector that fills the memory from 2 MiB on, says `f`, and halts.
fn filling() -> [u8; 512] {
    let mut sector = [0; 512];
    let code: &[u8] = &[
        0xfa, //                               cli
        0x31, 0xc0, 0x8e, 0xd8, //             xor ax, ax; mov ds, ax
        0x0f, 0x01, 0x16, 0x20, 0x7d, //       lgdt [0x7d20]
        0x0f, 0x20, 0xc0, 0x0c, 0x01, //       mov eax, cr0; or al, 1
        0x0f, 0x22, 0xc0, //                   mov cr0, eax
        0xea, 0x17, 0x7c, 0x08, 0x00, //       jmp 8:0x7c17
        0x66, 0xb8, 0x10, 0x00, //             mov ax, 16           from here on 32 bits
        0x8e, 0xd8, 0x8e, 0xc0, //             mov ds, ax; mov es, ax
        0xbf, 0x00, 0x00, 0x20, 0x00, //       mov edi, 2 MiB
        0x8b, 0x0d, 0x30, 0x7d, 0x00, 0x00, // mov ecx, [0x7d30]    how many words
        0xb8, 0x5a, 0x5a, 0x5a, 0x5a, //       mov eax, 0x5a5a5a5a
        0xf3, 0xab, //                         rep stosd
        0x66, 0xba, 0xf8, 0x03, //             mov dx, 0x3f8
        0xb0, 0x66, 0xee, 0xb0, 0x0a, 0xee, // mov al, 'f'; out dx, al; mov al, 10; out dx, al
        0xf4, 0xeb, 0xfd, //                   hlt; jmp to it
    ];
    sector[..code.len()].copy_from_slice(code);
    // Flat segments: none, code, data.
    sector[0x108..0x110].copy_from_slice(&[0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0]);
    sector[0x110..0x118].copy_from_slice(&[0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0]);
    sector[0x120..0x126].copy_from_slice(&[0x17, 0, 0x00, 0x7d, 0, 0]);
    sector[0x130..0x134].copy_from_slice(&((MEMORY - 4) << 18).to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}
