//! Volumes that plugins serve, beside nbdkit, the same code built native, and QEMU's own NFS and iSCSI drivers.
//!
//! In a round both sides do the same work, one after the other, on the same data, which lies in memory.

mod load;
mod native;
mod row;
mod served;
mod servers;

use std::fs::File;
use std::path::Path;

use super::fief::Fief;
use crate::command::Result;
pub(crate) use load::Pace;
use load::{Device, Done, loads};
use row::Bars;
pub(crate) use row::Row;
use served::Served;

/// Rounds of each pair.
pub(super) const ROUNDS: usize = 7;
/// Length of each device: more than the processor's caches, little enough to be written once before.
const SIZE: u64 = 1 << 30;

const FILE: Bars = Bars::new([1.3, 1.0, 0.9], [2.0, 1.5, 1.1]);
const NATIVE: Bars = Bars::new([0.75, 0.75, 0.75], [0.9, 0.9, 0.9]);
const BY_HAND: Bars = Bars::new([0.97; 3], [1.0; 3]);
const NETWORK: Bars = Bars::new([0.6, 0.8, 0.6], [1.0, 1.2, 1.0]);

/// The table of volumes, with its heading.
pub(super) fn table(rows: &[Row]) -> String {
    let lines: String = rows.iter().map(Row::line).collect();
    format!(
        "| work | beside | load | fief, 1/s | peer, 1/s | fief, CPU µs each, client + server | peer, CPU µs each | figure | floor | aim | |\n\
         | --- | --- | --- | --: | --: | --: | --: | --: | --: | --: | --- |\n{lines}"
    )
}

/// What was measured of volumes.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) rows: Vec<Row>,
    /// The stall of a client whose server is killed, and the memory of a server.
    pub(super) figures: Vec<super::Figure>,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Volumes {
    All,
    File,
    Nfs,
    Iscsi,
}

/// How the rows are measured.
#[derive(Clone, Copy)]
struct Bench<'a> {
    fief: &'a Fief,
    /// Where the data lies.
    memory: &'a Path,
    root: &'a Path,
    pace: Pace,
}

pub(super) fn measure(fief: &Fief, root: &Path, which: Volumes, pace: Pace) -> Result<Measured> {
    let folder = root.join("memory");
    servers::memory(&folder)?;
    servers::address()?;
    let bench = Bench { fief, memory: &folder, root, pace };
    let mut measured = Measured::default();
    if matches!(which, Volumes::All | Volumes::File) {
        measured.rows.extend(bench.files()?);
        measured.figures = served::killed_and_weighed(fief, &folder, pace)?;
    }
    if matches!(which, Volumes::All | Volumes::Nfs) {
        measured.rows.extend(bench.nfs()?);
    }
    if matches!(which, Volumes::All | Volumes::Iscsi) {
        measured.rows.extend(bench.iscsi()?);
    }
    Ok(measured)
}

/// Both sides, with the processes whose work counts.
struct Side<'a> {
    device: Device,
    servers: &'a [u32],
}

impl<'a> Side<'a> {
    fn of(socket: &Path, servers: &'a [u32]) -> Self {
        Side { device: Device::Fio(uri(socket)), servers }
    }
}

/// A file of random-looking bytes, all of it written. One that is there stays whose it is.
fn filled(path: &Path) -> Result<()> {
    let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
    let block: Vec<u8> = (0..1_u32 << 18).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
    for _ in 0..SIZE / block.len() as u64 {
        std::io::Write::write_all(&mut file, &block)?;
    }
    Ok(())
}

fn uri(socket: &Path) -> String {
    format!("nbd+unix:///?socket={}", socket.display())
}

/// Takes away what [`measure`] mounted, so that the bench's folder can go.
pub(super) fn unmount(root: &Path) -> Result<()> {
    let folder = root.join("memory");
    let mounted = std::fs::read_to_string("/proc/mounts")?.contains(&*folder.to_string_lossy());
    if mounted { crate::command::quietly(crate::command::command("umount", ["--lazy"]).arg(folder)) } else { Ok(()) }
}

impl Bench<'_> {
    fn pairs(
        self,
        words: (&'static str, &'static str),
        deep: u32,
        ours: &Side<'_>,
        theirs: &Side<'_>,
        bars: &Bars,
    ) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for load in loads(deep) {
            println!("{} beside {}: {}, depth {}", words.0, words.1, load.word, load.depth);
            let mut done: (Vec<Done>, Vec<Done>) = Default::default();
            for round in 0..self.pace.rounds() {
                // Who comes first changes: the second finds the processor's caches as the first left them.
                for first in [round % 2 == 0, round % 2 != 0] {
                    let (side, done) = if first { (ours, &mut done.0) } else { (theirs, &mut done.1) };
                    done.push(load.run(&side.device, side.servers, self.pace)?);
                }
            }
            let row = Row::new(words, load, (&done.0, &done.1), bars);
            print!("{}", row.line());
            rows.push(row);
        }
        Ok(rows)
    }

    /// A local file through the plugin: lent, then called for, beside nbdkit; then beside the same code without a sandbox.
    fn files(self) -> Result<Vec<Row>> {
        let Bench { fief, memory, root, pace: _ } = self;
        let settings = ["--kind", "file", "--set", "directory=memory", "--set", "transport=served"];
        fief.quietly(&[&["pool", "create", "served"], &settings[..]].concat())?;
        fief.quietly(&[&["pool", "create", "called"], &settings[..], &["--set", "lend=false"]].concat())?;
        fief.quietly(&["volume", "create", "served/file", "--size", &format!("{}MiB", SIZE >> 20), "--format", "raw"])?;
        let (ours, theirs) = (memory.join("file"), memory.join("nbdkit.img"));
        filled(&ours)?;
        filled(&theirs)?;
        let sockets = [root.join("nbdkit.sock"), root.join("native.sock")];
        let nbdkit = servers::nbdkit(&theirs, &sockets[0], root)?;
        let native = servers::native(memory, "nbdkit.img", &sockets[1], root)?;
        let theirs = [[nbdkit.id()], [native.id()]];
        let mut rows = Vec::new();
        // The same file in two pools: one whose plugin lends it to the host, one whose plugin is called each time.
        let lent = (("a file through a plugin, lent", "`nbdkit file`"), 0, &FILE);
        let called = (("a file through a plugin, each request a call", "`nbdkit file`"), 0, &FILE);
        let native = (("the same", "the plugin's code, native"), 1, &NATIVE);
        for (volume, pairs) in [("served/file", &[lent][..]), ("called/file", &[called, native])] {
            let served = Served::start(fief, volume, root)?;
            let processes = served.processes()?;
            let ours = Side::of(&served.socket, &processes);
            for (words, peer, bars) in pairs {
                rows.extend(self.pairs(*words, 32, &ours, &Side::of(&sockets[*peer], &theirs[*peer]), bars)?);
            }
        }
        std::fs::remove_file(memory.join("nbdkit.img"))?;
        Ok(rows)
    }

    /// An image on nfs-ganesha, beside QEMU's NFS driver on another image of the same export.
    fn nfs(self) -> Result<Vec<Row>> {
        let Bench { fief, memory, root, pace: _ } = self;
        let export = memory.join("export");
        std::fs::create_dir(&export)?;
        let _servers = servers::ganesha(&export, root)?;
        let share = format!("share={}", export.display());
        let settings = ["server=127.0.0.1", &share];
        fief.pool("nfs", &[&settings[..], &["transport=served"]].concat())?;
        fief.quietly(&["volume", "create", "nfs/ours", "--size", &format!("{}MiB", SIZE >> 20), "--format", "raw"])?;
        filled(&export.join("ours"))?;
        filled(&export.join("theirs"))?;
        let peer = format!("nfs://127.0.0.1{}/theirs", export.display());
        let mut rows = self.beside_qemu("nfs/ours", ("NFS", "QEMU's libnfs driver"), &peer)?;
        rows.extend(self.beside_hand("nfs/ours", &settings, ("NFS, native", "QEMU's libnfs driver by hand"), &peer)?);
        std::fs::remove_dir_all(&export)?;
        Ok(rows)
    }

    /// A logical unit of a tuned tgtd, beside QEMU's iSCSI driver on another: fief's is reserved, and would refuse it.
    fn iscsi(self) -> Result<Vec<Row>> {
        let Bench { fief, memory, root, pace: _ } = self;
        let (ours, theirs) = (memory.join("unit1.img"), memory.join("unit2.img"));
        filled(&ours)?;
        filled(&theirs)?;
        let _server = servers::tgt([&ours, &theirs], root)?;
        let peer = format!("iscsi://127.0.0.1:{}/{}/2", servers::ISCSI_PORT, servers::TARGET);
        let target = format!("target={}", servers::TARGET);
        let settings = ["portal=127.0.0.1", &target];
        fief.pool("iscsi", &[&settings[..], &["transport=served"]].concat())?;
        let mut rows = self.beside_qemu("iscsi/lun1", ("iSCSI", "QEMU's libiscsi driver"), &peer)?;
        rows.extend(self.beside_hand(
            "iscsi/lun1",
            &settings,
            ("iSCSI, native", "QEMU's libiscsi driver by hand"),
            &peer,
        )?);
        Ok(rows)
    }

    /// Served by fief, reached through QEMU's NBD driver.
    fn beside_qemu(self, volume: &str, words: (&'static str, &'static str), peer: &str) -> Result<Vec<Row>> {
        let served = Served::start(self.fief, volume, self.root)?;
        let processes = served.processes()?;
        let ours = Side { device: Device::Qemu(uri(&served.socket)), servers: &processes };
        let theirs = Side { device: Device::Qemu(peer.to_owned()), servers: &[] };
        self.pairs(words, 16, &ours, &theirs, &NETWORK)
    }

    /// The nodes that fief makes for a native disk, beside the plain address, both in `qemu-img bench`.
    fn beside_hand(
        self,
        volume: &str,
        settings: &[&str],
        words: (&'static str, &'static str),
        peer: &str,
    ) -> Result<Vec<Row>> {
        let ours = Side { device: Device::Qemu(native::node(self.fief, volume, settings)?), servers: &[] };
        let theirs = Side { device: Device::Qemu(peer.to_owned()), servers: &[] };
        self.pairs(words, 16, &ours, &theirs, &BY_HAND)
    }
}
