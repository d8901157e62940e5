//! The real servers: nbdkit, nfs-ganesha and tgt, each in the foreground, ended when dropped. They live in the bench's
//! own network namespace; what they keep lies in memory, so that a disk's pace is not what is measured.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Doing, Result, command, output, quietly};

/// A server that has not begun by then does not.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);
pub(super) const NFS_PORT: u16 = 2049;
pub(super) const ISCSI_PORT: u16 = 3260;
pub(super) const TARGET: &str = "iqn.2026-01.example:bench";

pub(super) struct Server(Child);

impl Server {
    fn start(mut program: Command, log: &Path) -> Result<Self> {
        let log = File::create(log).doing(|| format!("cannot make {}", log.display()))?;
        program.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Server(program.spawn().doing(|| format!("cannot start {}", program.get_program().to_string_lossy()))?))
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; a bench has nobody to tell.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn until(what: &str, mut begun: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + BEGINS_WITHIN;
    while !begun() {
        if Instant::now() > end {
            return Err(format!("{what} did not begin within {} s", BEGINS_WITHIN.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// `nbdkit file`, on a socket.
pub(super) fn nbdkit(file: &Path, socket: &Path, root: &Path) -> Result<Server> {
    let mut nbdkit = command("nbdkit", ["--foreground", "--unix"]);
    nbdkit.arg(socket).arg("file").arg(file);
    let server = Server::start(nbdkit, &root.join("nbdkit.log"))?;
    until("nbdkit", || socket.exists())?;
    Ok(server)
}

/// The plugin's own code without a sandbox (tests/examples/serve_native.rs).
pub(super) fn native(directory: &Path, volume: &str, socket: &Path, root: &Path) -> Result<Server> {
    let example = crate::place::target().join("release/examples/serve_native");
    let mut native = command(&example.to_string_lossy(), [directory]);
    native.arg(volume).arg(socket);
    let server = Server::start(native, &root.join("native.log"))?;
    until("the native plugin", || socket.exists())?;
    Ok(server)
}

/// A folder in memory.
pub(super) fn memory(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    quietly(command("mount", ["-t", "tmpfs", "-o", "size=6g", "tmpfs"]).arg(folder))
}

/// An address that is no loopback: nfs-ganesha does not begin where there is none (getaddrinfo(3), AI_ADDRCONFIG).
pub(super) fn address() -> Result<()> {
    quietly(&mut command("ip", ["link", "add", "bench0", "type", "veth", "peer", "name", "bench1"]))?;
    quietly(&mut command("ip", ["address", "add", "10.99.0.1/24", "dev", "bench0"]))?;
    quietly(&mut command("ip", ["link", "set", "bench0", "up"]))?;
    quietly(&mut command("ip", ["link", "set", "bench1", "up"]))
}

/// rpcbind, which QEMU's NFS driver asks for the ports, and nfs-ganesha with NFSv3 and v4 of `export`.
pub(super) fn ganesha(export: &Path, root: &Path) -> Result<[Server; 2]> {
    quietly(&mut command("mount", ["-t", "tmpfs", "tmpfs", "/run"]))?;
    fs::create_dir_all("/run/rpcbind")?;
    let rpcbind = Server::start(command("rpcbind", ["-w", "-f"]), &root.join("rpcbind.log"))?;
    until("rpcbind", || Path::new("/run/rpcbind.sock").exists())?;
    let (settings, log) = (root.join("ganesha.conf"), root.join("ganesha.log"));
    let (recovery, export) = (root.join("ganesha"), export.display());
    fs::create_dir_all(&recovery)?;
    let text = format!(
        "NFS_CORE_PARAM {{ Bind_addr = 127.0.0.1; NFS_Port = {NFS_PORT}; MNT_Port = 20048; NLM_Port = 20049;\n  \
         Rquota_Port = 20050; Protocols = 3,4; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }}\n\
         NFSV4 {{ Grace_Period = 10; Lease_Lifetime = 10; Minor_Versions = 0,1,2; RecoveryRoot = {recovery};\n  \
         Only_Numeric_Owners = true; }}\n\
         EXPORT {{ Export_Id = 77; Path = {export}; Pseudo = {export}; Access_Type = RW; Squash = No_Root_Squash;\n  \
         SecType = sys; Protocols = 3,4; Transports = TCP; FSAL {{ Name = VFS; }} }}\n\
         LOG {{ Default_Log_Level = EVENT; }}\n",
        recovery = recovery.display(),
    );
    fs::write(&settings, text)?;
    let mut ganesha = command("ganesha.nfsd", ["-F", "-N", "NIV_EVENT", "-f"]);
    ganesha.arg(&settings).arg("-L").arg(&log).arg("-p").arg(root.join("ganesha.pid"));
    let server = Server::start(ganesha, &root.join("ganesha.out"))?;
    until("nfs-ganesha", || fs::read_to_string(&log).is_ok_and(|said| said.contains("NFS SERVER INITIALIZED")))?;
    // The export is writable once the time in which clients may reclaim what they had is over.
    std::thread::sleep(Duration::from_secs(11));
    Ok([rpcbind, server])
}

/// tgtd with logical units 1 and 2, its limits as wide as clients like them.
pub(super) fn tgt(images: [&Path; 2], root: &Path) -> Result<Server> {
    let control = root.join("tgt.sock");
    let mut tgtd = command("tgtd", ["-f", "-C", "7", "--iscsi"]);
    tgtd.arg(format!("portal=127.0.0.1:{ISCSI_PORT}")).env("TGT_IPC_SOCKET", &control);
    let server = Server::start(tgtd, &root.join("tgtd.log"))?;
    let admin = |words: &str| {
        let mut tgtadm = command("tgtadm", ["-C", "7", "--lld", "iscsi"]);
        tgtadm.args(words.split_whitespace()).env("TGT_IPC_SOCKET", &control);
        tgtadm
    };
    until("tgtd", || output(&mut admin("--op show --mode sys")).is_ok_and(|shown| shown.status.success()))?;
    quietly(&mut admin(&format!("--op new --mode target --tid 1 -T {TARGET}")))?;
    for (lun, image) in (1..).zip(images) {
        let unit = format!("--mode logicalunit --tid 1 --lun {lun}");
        quietly(&mut admin(&format!("--op new {unit} --bstype rdwr -b {}", image.display())))?;
        quietly(&mut admin(&format!("--op update {unit} --params thin_provisioning=1")))?;
    }
    quietly(&mut admin("--op bind --mode target --tid 1 -I ALL"))?;
    for (key, value) in [
        ("MaxRecvDataSegmentLength", "262144"),
        ("FirstBurstLength", "262144"),
        ("MaxBurstLength", "1048576"),
        ("InitialR2T", "No"),
        ("ImmediateData", "Yes"),
        ("MaxOutstandingR2T", "8"),
    ] {
        quietly(&mut admin(&format!("--op update --mode target --tid 1 --name {key} --value {value}")))?;
    }
    Ok(server)
}
