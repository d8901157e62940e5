//! Volumes that plugins serve, beside nbdkit, the same code built native, and QEMU's own NFS and iSCSI drivers.
//!
//! In a round both sides do the same work, one after the other, on the same data, which lies in memory.

mod load;
mod row;
mod served;
mod servers;

use std::fs::File;
use std::path::Path;

use super::fief::Fief;
use crate::command::Result;
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
const NETWORK: Bars = Bars::new([0.6, 0.8, 0.6], [1.0, 1.2, 1.0]);

/// The table of volumes, with its heading.
pub(super) fn table(rows: &[Row]) -> String {
    let lines: String = rows.iter().map(Row::line).collect();
    format!(
        "| work | beside | load | fief, 1/s | peer, 1/s | fief, CPU µs each | peer, CPU µs each | figure | floor | aim | |\n\
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

pub(super) fn measure(fief: &Fief, root: &Path) -> Result<Measured> {
    let folder = root.join("memory");
    servers::memory(&folder)?;
    servers::address()?;
    let mut rows = files(fief, &folder, root)?;
    rows.extend(nfs(fief, &folder, root)?);
    rows.extend(iscsi(fief, &folder, root)?);
    let figures = served::killed_and_weighed(fief, &folder)?;
    Ok(Measured { rows, figures })
}

/// Both sides, with the processes whose work counts.
struct Side<'a> {
    device: Device,
    servers: &'a [u32],
}

fn pairs(
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
        for _ in 0..ROUNDS {
            done.0.push(load.run(&ours.device, ours.servers)?);
            done.1.push(load.run(&theirs.device, theirs.servers)?);
        }
        let row = Row::new(words, load, (&done.0, &done.1), bars);
        print!("{}", row.line());
        rows.push(row);
    }
    Ok(rows)
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

/// A local file through the plugin, beside nbdkit, then beside the same code without a sandbox.
fn files(fief: &Fief, memory: &Path, root: &Path) -> Result<Vec<Row>> {
    fief.quietly(&[
        "pool",
        "create",
        "served",
        "--kind",
        "file",
        "--set",
        "directory=memory",
        "--set",
        "transport=served",
    ])?;
    fief.quietly(&["volume", "create", "served/file", "--size", &format!("{}MiB", SIZE >> 20), "--format", "raw"])?;
    let (ours, theirs) = (memory.join("file"), memory.join("nbdkit.img"));
    filled(&ours)?;
    filled(&theirs)?;
    let sockets = [root.join("nbdkit.sock"), root.join("native.sock")];
    let nbdkit = servers::nbdkit(&theirs, &sockets[0], root)?;
    let native = servers::native(memory, "nbdkit.img", &sockets[1], root)?;
    let served = Served::start(fief, "served/file", root)?;
    let processes = served.processes()?;
    let side = |socket: &Path, servers| Side { device: Device::Fio(uri(socket)), servers };
    let fief = side(&served.socket, &processes);
    let theirs = [[nbdkit.id()], [native.id()]];
    let words = ("a file through a plugin", "`nbdkit file`");
    let mut rows = pairs(words, 32, &fief, &side(&sockets[0], &theirs[0]), &FILE)?;
    let words = ("the same", "the plugin's code, native");
    rows.extend(pairs(words, 32, &fief, &side(&sockets[1], &theirs[1]), &NATIVE)?);
    drop(served);
    std::fs::remove_file(memory.join("nbdkit.img"))?;
    Ok(rows)
}

/// An image on nfs-ganesha, beside QEMU's NFS driver on another image of the same export.
fn nfs(fief: &Fief, memory: &Path, root: &Path) -> Result<Vec<Row>> {
    let export = memory.join("export");
    std::fs::create_dir(&export)?;
    let _servers = servers::ganesha(&export, root)?;
    fief.pool("nfs", &["server=127.0.0.1", &format!("share={}", export.display()), "transport=served"])?;
    fief.quietly(&["volume", "create", "nfs/ours", "--size", &format!("{}MiB", SIZE >> 20), "--format", "raw"])?;
    filled(&export.join("ours"))?;
    filled(&export.join("theirs"))?;
    let peer = format!("nfs://127.0.0.1{}/theirs", export.display());
    let rows = beside_qemu(fief, "nfs/ours", ("NFS", "QEMU's libnfs driver"), peer, root)?;
    std::fs::remove_dir_all(&export)?;
    Ok(rows)
}

/// A logical unit of a tuned tgtd, beside QEMU's iSCSI driver on another: fief's is reserved, and would refuse it.
fn iscsi(fief: &Fief, memory: &Path, root: &Path) -> Result<Vec<Row>> {
    let (ours, theirs) = (memory.join("unit1.img"), memory.join("unit2.img"));
    filled(&ours)?;
    filled(&theirs)?;
    let _server = servers::tgt([&ours, &theirs], root)?;
    let peer = format!("iscsi://127.0.0.1:{}/{}/2", servers::ISCSI_PORT, servers::TARGET);
    fief.pool("iscsi", &["portal=127.0.0.1", &format!("target={}", servers::TARGET), "transport=served"])?;
    beside_qemu(fief, "iscsi/lun1", ("iSCSI", "QEMU's libiscsi driver"), peer, root)
}

fn beside_qemu(
    fief: &Fief,
    volume: &str,
    words: (&'static str, &'static str),
    peer: String,
    root: &Path,
) -> Result<Vec<Row>> {
    let served = Served::start(fief, volume, root)?;
    let processes = served.processes()?;
    let ours = Side { device: Device::Qemu(uri(&served.socket)), servers: &processes };
    pairs(words, 16, &ours, &Side { device: Device::Qemu(peer), servers: &[] }, &NETWORK)
}
