//! By libvirt: a daemon on each host, with files of its own at its places, and `virsh migrate --live` between them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fief_tests::pair::{At, Net, Side, TARGET, address};
use fief_tests::{Pair, command, eventually};
use tempfile::TempDir;

use super::guest::MEMORY;
use super::ticks::{Ticks, until_heard};
use super::{LUN, Took, reached, timed};

const SOON: Duration = Duration::from_secs(120);
/// Where the guest's words go, on each host in that host's own /run.
const SERIAL: &str = "/run/bench.serial";

/// What the daemons find at their places. No log daemon, no cgroups, no labels: the machine may have none of them, and it is
/// quicker without. It looks its own user up before it reads which one it is to take.
const PREPARE: &str = r#"set -e
hostname "$1"
for place in /run /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt; do
    mkdir -p $place
    mount -t tmpfs tmpfs $place
done
cp /etc/passwd /etc/group /run/
grep -q ^libvirt-qemu: /run/passwd || echo libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin >> /run/passwd
grep -q ^libvirt-qemu: /run/group || echo libvirt-qemu:x:64055: >> /run/group
grep -q ^kvm: /run/group || echo kvm:x:64056: >> /run/group
mount --bind /run/passwd /etc/passwd
mount --bind /run/group /etc/group
cat > /etc/libvirt/libvirtd.conf <<CONF
auth_unix_rw = "none"
unix_sock_dir = "$2"
host_uuid = "$3"
CONF
cat > /etc/libvirt/qemu.conf <<CONF
stdio_handler = "file"
security_driver = "none"
cgroup_controllers = []
user = "root"
group = "root"
CONF
exec libvirtd --config /etc/libvirt/libvirtd.conf
"#;

pub struct Two {
    folder: TempDir,
    daemons: [Child; 2],
}

impl Two {
    pub fn start(pair: &Pair) -> Two {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("bench.xml");
        std::fs::write(&file, definition()).expect("a definition");
        let daemons = Side::BOTH.map(|side| {
            let sockets = folder.path().join(side.name());
            std::fs::create_dir(&sockets).expect("a folder for sockets");
            let uuid = format!("6f1e3d6a-0000-4000-8000-00000000000{}", side as usize + 1);
            let log = std::fs::File::create(sockets.join("log")).expect("a log");
            let mut daemon = pair[side].namespace().command("unshare");
            daemon.args(["--mount", "--uts", "--propagation", "private", "bash", "-c", PREPARE, "bash"]);
            daemon.arg(side.name()).arg(&sockets).arg(uuid).stdin(Stdio::null());
            daemon.stdout(log.try_clone().expect("a descriptor")).stderr(log);
            daemon.spawn().expect("libvirtd")
        });
        let two = Two { folder, daemons };
        for side in Side::BOTH {
            eventually("libvirtd answers", SOON, || (two.ask(side, &["version"]).code == Some(0)).then_some(()));
        }
        two
    }

    fn uri(&self, side: Side) -> String {
        format!("qemu+unix:///system?socket={}", self.folder.path().join(side.name()).join("libvirt-sock").display())
    }

    fn ask(&self, side: Side, words: &[&str]) -> command::Said {
        let mut virsh = Command::new("virsh");
        command::run(virsh.args(["--quiet", "--connect", &self.uri(side)]).args(words), SOON)
    }

    fn virsh(&self, side: Side, words: &[&str]) {
        self.ask(side, words).expect_code(0);
    }

    /// As the bench sees what the daemon's guest says.
    fn serial(&self, side: Side) -> PathBuf {
        let root = Path::new("/proc").join(self.daemons[side as usize].id().to_string()).join("root");
        root.join(SERIAL.trim_start_matches('/'))
    }

    pub fn moves(&self, from: Side) -> Took {
        let to = from.other();
        self.virsh(from, &["create", &self.folder.path().join("bench.xml").to_string_lossy()]);
        until_heard(&self.serial(from));
        // The file there may be that of an earlier round, which a new guest begins anew.
        let _ = std::fs::remove_file(self.serial(to));
        let ticks = Ticks::listen(self.serial(from), self.serial(to));
        let by = format!("tcp://{}", reached(to));
        let total = timed(|| self.virsh(from, &["migrate", "--live", "bench", &self.uri(to), "--migrateuri", &by]));
        let pause = ticks.pause();
        self.virsh(to, &["destroy", "bench"]);
        Took { total, pause }
    }
}

impl Drop for Two {
    fn drop(&mut self) {
        for side in Side::BOTH {
            // Off or not: the guest must not outlive its daemon.
            self.ask(side, &["destroy", "bench"]);
        }
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// What fief's guest has: a serial port and one disk on a `pc` machine.
fn definition() -> String {
    format!(
        "<domain type='qemu'><name>bench</name><memory unit='MiB'>{MEMORY}</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>\
         <emulator>/usr/bin/qemu-system-x86_64</emulator>\
         <disk type='network' device='disk'><driver name='qemu' type='raw' cache='none'/>\
         <source protocol='iscsi' name='{TARGET}/{LUN}'><host name='{portal}' port='3260'/></source>\
         <target dev='vda' bus='virtio'/></disk><serial type='file'><source path='{SERIAL}'/></serial>\
         <rng model='virtio'><backend model='builtin'/></rng></devices></domain>\n",
        portal = address(Net::Storage, At::Storage),
    )
}
