//! The peer: libvirt's daemon, started in namespaces of the bench's own, with empty folders at its places.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Doing, Result, command, output, quietly};

const FOLDERS: &[&str] = &["/run", "/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt"];
/// It answers within two seconds on an idle machine.
const UP: Duration = Duration::from_secs(60);

pub(super) struct Libvirt {
    daemon: Child,
}

impl Libvirt {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        for place in FOLDERS {
            fs::create_dir_all(place)?;
            quietly(&mut command("mount", ["-t", "tmpfs", "tmpfs", place]))?;
        }
        // It looks its own user up before it reads which one it is to take; a package that is not needed here makes that one.
        known("/etc/passwd", "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin")?;
        known("/etc/group", "libvirt-qemu:x:64055:")?;
        known("/etc/group", "kvm:x:64056:")?;
        fs::write("/etc/libvirt/libvirtd.conf", "auth_unix_rw = \"none\"\n")?;
        // No log daemon, no cgroups, no labels: the machine may have none of them, and it is quicker without.
        let qemu = "stdio_handler = \"file\"\nsecurity_driver = \"none\"\ncgroup_controllers = []\n\
                    user = \"root\"\ngroup = \"root\"\n";
        fs::write("/etc/libvirt/qemu.conf", qemu)?;
        let log = fs::File::create(folder.join("libvirtd.log"))?;
        let mut daemon = command("libvirtd", ["--config", "/etc/libvirt/libvirtd.conf"]);
        let daemon = daemon.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut libvirt = Libvirt { daemon: daemon.spawn().doing(|| "cannot start libvirtd".into())? };
        let until = Instant::now() + UP;
        while libvirt.virsh(&["version"]).is_err() {
            let ended = libvirt.daemon.try_wait()?.is_some();
            if ended || Instant::now() > until {
                let said = fs::read_to_string(folder.join("libvirtd.log")).unwrap_or_default();
                drop(libvirt.end());
                return Err(format!("libvirtd does not answer\n{said}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(libvirt)
    }

    pub(super) fn virsh(&self, words: &[&str]) -> Result<()> {
        quietly(command("virsh", ["--quiet", "--connect", "qemu:///system"]).args(words))
    }

    pub(super) fn define_guest(&self, name: &str, disk: &Path) -> Result<()> {
        let file = disk.with_extension("xml");
        fs::write(&file, definition(name, disk))?;
        self.virsh(&["define", &file.to_string_lossy()])
    }

    pub(super) fn define_many(&self, many: usize, disk: &Path, folder: &Path) -> Result<()> {
        (0..many).try_for_each(|number| {
            let file = folder.join("many.xml");
            fs::write(&file, definition(&format!("many{number}"), disk))?;
            self.virsh(&["define", &file.to_string_lossy()])
        })
    }

    pub(super) fn end(mut self) -> Result<()> {
        // Off or not: the guest must not outlive its daemon.
        drop(output(command("virsh", ["--quiet", "--connect", "qemu:///system"]).args(["destroy", "bench"])));
        quietly(&mut command("kill", [self.daemon.id().to_string()]))?;
        self.daemon.wait()?;
        Ok(())
    }
}

/// What fief's guest has: a serial port and one disk on a `pc` machine.
fn definition(name: &str, disk: &Path) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>\
         <emulator>/usr/bin/qemu-system-x86_64</emulator>\
         <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>\
         <target dev='vda' bus='virtio'/></disk><serial type='null'/>\
         <rng model='virtio'><backend model='builtin'/></rng></devices></domain>\n",
        disk.display()
    )
}

/// Puts a line into a file of the machine's, for this mount namespace alone, where the file has none of that name.
fn known(file: &str, line: &str) -> Result<()> {
    let text = fs::read_to_string(file).doing(|| format!("cannot read {file}"))?;
    let name = line.split_inclusive(':').next().unwrap_or(line);
    if text.lines().any(|known| known.starts_with(name)) {
        return Ok(());
    }
    let copy = Path::new("/run").join(format!("{}-{}", file.replace('/', "-"), name.trim_end_matches(':')));
    fs::write(&copy, format!("{}\n{line}\n", text.trim_end()))?;
    quietly(command("mount", ["--bind"]).arg(&copy).arg(file))
}
