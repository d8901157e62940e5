//! A real NFS server, nfs-ganesha, in a network namespace of its own that is wired to the one that is to reach it.
//!
//! The export lies in memory (`/dev/shm`), a file system with holes, and is looked at from outside by its path. The server
//! can be killed, started again, frozen, and given little room.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::{Namespace, command, eventually};

/// Ganesha opens its port some seconds after its start, more where the machine is busy.
const STARTUP: Duration = Duration::from_secs(60);
/// `mount` and `umount` of a tmpfs.
const TOOL: Duration = Duration::from_secs(20);

/// Which versions a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// 4.1 and 4.2; needs no rpcbind.
    Four,
    ThreeAndFour,
    /// As an appliance that has no more.
    Three,
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exported {
    ToWrite,
    ToRead,
    /// The server has no exports.
    Nothing,
}

#[derive(Debug)]
pub struct Ganesha {
    // Dropped in this order: the processes are ended first, by hand.
    server: Option<Child>,
    namespace: Arc<Namespace>,
    lab: TempDir,
    address: String,
    versions: Versions,
    mounted: bool,
    squashed: bool,
    exported: Exported,
}

impl Ganesha {
    /// Started, exporting an empty folder, wired to `reached_from`.
    ///
    /// # Panics
    /// Where it does not come up; `cargo xtask setup test` installs it.
    #[track_caller]
    pub fn start(reached_from: &Namespace, versions: Versions) -> Ganesha {
        Ganesha::with_room(reached_from, versions, None)
    }

    /// The same; where `room` is given, the export has that many bytes.
    #[track_caller]
    pub fn with_room(reached_from: &Namespace, versions: Versions, room: Option<u64>) -> Ganesha {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = Arc::new(Namespace::new());
        // A wired link with an address: with loopback alone, ganesha finds no address to bind to.
        let address = format!("10.99.{number}.1");
        let peer = format!("10.99.{number}.2/24");
        namespace.wire(("nfs", &format!("{address}/24")), reached_from, (&format!("nfs{number}"), &peer));
        Ganesha::at(namespace, &address, versions, room)
    }

    /// In a namespace that has this address on a link, from wherever that is reached.
    #[track_caller]
    pub fn at(namespace: Arc<Namespace>, address: &str, versions: Versions, room: Option<u64>) -> Ganesha {
        let address = address.to_owned();
        let lab = tempfile::Builder::new().prefix("fief-nfs-").tempdir_in("/dev/shm").expect("a folder for a server");
        for folder in ["export", "recovery", "run"] {
            fs::create_dir(lab.path().join(folder)).expect("a folder of the server's");
        }
        let (server, mounted, squashed, exported) = (None, false, false, Exported::ToWrite);
        let mut server = Ganesha { server, namespace, lab, address, versions, mounted, squashed, exported };
        if let Some(room) = room {
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &format!("size={room}"), "tmpfs"]).arg(server.export());
            command::run(&mut mount, TOOL).expect_code(0);
            server.mounted = true;
        }
        server.restart();
        server
    }

    /// The server's address, as the namespace that it is wired to sees it.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn port(&self) -> u16 {
        2049
    }

    pub fn socket(&self) -> std::net::SocketAddr {
        format!("{}:{}", self.address, self.port()).parse().expect("an address and a port")
    }

    /// The port of the mount protocol (v3).
    pub fn mount_port(&self) -> u16 {
        20048
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The exported folder, from outside.
    pub fn export(&self) -> PathBuf {
        self.lab.path().join("export")
    }

    /// The same under the name that clients use, of v3 and of v4 alike.
    pub fn share(&self) -> String {
        self.export().to_string_lossy().into_owned()
    }

    /// `key=value` of a pool's settings that say where this server is.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings =
            vec![("server", self.address.clone()), ("port", self.port().to_string()), ("share", self.share())];
        if self.versions != Versions::Four {
            settings.push(("mount-port", self.mount_port().to_string()));
        }
        settings
    }

    /// Starts it again, after [`Ganesha::kill`] or at first; waits until it answers.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.server.is_none(), "the server runs already");
        let file = |name: &str| self.lab.path().join(name);
        fs::write(file("ganesha.conf"), self.configuration()).expect("a configuration");
        let log = file("ganesha.log");
        let _ = fs::remove_file(&log);
        let ganesha = format!(
            "exec ganesha.nfsd -F -f {conf} -L {log} -p {pid} -N NIV_EVENT",
            conf = file("ganesha.conf").display(),
            log = log.display(),
            pid = file("run/ganesha.pid").display()
        );
        let script = match self.versions {
            Versions::Four => ganesha,
            // v3 registers with rpcbind, whose own files lie below /run: a mount namespace keeps them apart.
            Versions::ThreeAndFour | Versions::Three => format!(
                "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir /run/rpcbind && {{ rpcbind -w -f & }} \
                 && until [ -S /run/rpcbind.sock ]; do sleep 0.05; done; {ganesha}"
            ),
        };
        let mut command = self.namespace.command("unshare");
        command.args(["-m", "sh", "-c", &script]);
        // A group of its own: one signal reaches the server and its rpcbind.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("nfs-ganesha is installed");
        let said = || fs::read_to_string(&log).unwrap_or_default();
        eventually("the NFS server answers", STARTUP, || {
            let ended = child.try_wait().expect("a child that we started");
            assert!(ended.is_none(), "ganesha ended ({ended:?}):\n{}", said());
            said().contains("NFS SERVER INITIALIZED").then_some(())
        });
        self.server = Some(child);
    }

    /// Ends it as a crash of its machine does: what it had not put on stable storage is its file system's to lose.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.server.take() {
            signal(&child, Signal::KILL);
            let _ = child.wait();
        }
    }

    /// Stands still until [`Ganesha::thaw`]; its connections stay.
    pub fn freeze(&self) {
        self.server.iter().for_each(|child| signal(child, Signal::STOP));
    }

    pub fn thaw(&self) {
        self.server.iter().for_each(|child| signal(child, Signal::CONT));
    }

    /// From the next [`Ganesha::restart`] on, this is exported.
    pub fn export_as(&mut self, exported: Exported) {
        self.exported = exported;
    }

    /// From the next [`Ganesha::restart`] on, root's writes are those of nobody.
    pub fn squash(&mut self, squashed: bool) {
        self.squashed = squashed;
    }

    /// The last lines of its log, for a test that failed.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.lab.path().join("ganesha.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn configuration(&self) -> String {
        let versions = match self.versions {
            Versions::Four => "4",
            Versions::ThreeAndFour => "3,4",
            Versions::Three => "3",
        };
        let squash = if self.squashed { "All_Squash" } else { "No_Root_Squash" };
        let export = |access: &str| {
            format!(
                "EXPORT {{ Export_Id = 77; Path = {path}; Pseudo = {path}; Access_Type = {access}; Squash = {squash};
  SecType = sys; Protocols = {versions}; Transports = TCP; FSAL {{ Name = VFS; }} }}",
                path = self.export().display(),
            )
        };
        let export = match self.exported {
            Exported::ToWrite => export("RW"),
            Exported::ToRead => export("RO"),
            Exported::Nothing => String::new(),
        };
        format!(
            "NFS_CORE_PARAM {{ Bind_addr = {address}; NFS_Port = {port}; MNT_Port = {mount}; NLM_Port = 12051;
  Rquota_Port = 12052; Protocols = {versions}; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }}
NFSV4 {{ Grace_Period = 6; Lease_Lifetime = 6; Minor_Versions = 0,1,2; RecoveryRoot = {recovery};
  Only_Numeric_Owners = true; }}
{export}
LOG {{ Default_Log_Level = EVENT; }}
",
            address = self.address,
            port = self.port(),
            mount = self.mount_port(),
            recovery = self.lab.path().join("recovery").display(),
        )
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}

impl Drop for Ganesha {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the NFS server's log\n{}", self.log());
        }
        self.thaw();
        self.kill();
        if self.mounted {
            unmount(&self.export());
        }
    }
}

/// Detached at once, so that a descriptor of a killed process that is still on its way out does not hold it.
fn unmount(path: &Path) {
    let _ = Command::new("umount").arg("--lazy").arg(path).status();
}
