//! Opens what a domain's hypervisor needs, so that QEMU itself opens no path of the host's: listening sockets,
//! firmware, kernel, images, taps. Each becomes a descriptor with a number that the arguments name.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::arguments::{CardPlan, DiskPlan, Plan, StartPlan, WayPlan, arguments};
use super::{QMP_SOCKET, SERIAL_SOCKET};
use crate::config::domain::Firmware;
use crate::config::policy::HostSettings;
use crate::error::{Context, Failure, Result};
use crate::gate::operation::HypervisorCommand;
use crate::hypervisor::{CardSource, ChosenAccelerator, FIRST_DESCRIPTOR, Launch, Prepared};
use crate::storage::Way;
use crate::sys::socket::listen_in;
use crate::types::Secret;

/// Where distributions put OVMF without Secure Boot: code, and the variables that a new domain starts with.
const FIRMWARE: [(&str, &str); 5] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
];

/// Makes everything ready for the gate's `HypervisorStart`. `folder` is the domain's, and exists; sockets are made
/// in it, and `nvram` at a domain's first start from UEFI.
///
/// # Errors
/// What could not be opened, with the package to install where firmware is missing; `Usage` where the definition asks
/// for what the machine does not have.
pub fn prepare(launch: Launch, folder: &Path, settings: &HostSettings) -> Result<Prepared> {
    let Launch { definition, places, id: _, accelerator, disks, served, cards, incoming, fetches } = launch;
    let mut handed = Handed::default();
    let socket = |name: &str| {
        listen_in(folder, name)
            .map(OwnedFd::from)
            .context(|| format!("cannot listen on {}", folder.join(name).display()))
    };
    let qmp = handed.over(socket(QMP_SOCKET)?);
    let serial = handed.over(socket(SERIAL_SOCKET)?);
    // Always, and in this place: a disk that is plugged in later finds it there too.
    let served = handed.over(served);
    debug_assert_eq!(served, SERVED_DESCRIPTOR);
    let start = match (&definition.boot.kernel, definition.boot.firmware) {
        (Some(kernel), _) => StartPlan::Kernel {
            kernel: handed.over(readable(kernel, "kernel")?),
            initrd: match &definition.boot.initrd {
                Some(initrd) => Some(handed.over(readable(initrd, "initrd")?)),
                None => None,
            },
        },
        (None, Firmware::Bios) => StartPlan::Bios,
        (None, Firmware::Uefi) => {
            let (code, template) = firmware()?;
            let code = File::open(&code).context(|| format!("cannot open the firmware {}", code.display()))?;
            let variables = variables(folder, &template)?;
            StartPlan::Uefi { code: handed.over(code.into()), variables: handed.over(variables.into()) }
        }
    };
    let speaks = disks.iter().any(|disk| disk.way.needs_host_network());
    let mut plans = Vec::with_capacity(disks.len());
    for (index, disk) in disks.into_iter().enumerate() {
        let read_only = disk.read_only;
        let (way, secret) = match disk.way {
            Way::Files(images) => {
                let mut chain = Vec::with_capacity(images.len());
                for (layer, (format, image)) in images.into_iter().enumerate() {
                    check_access(&image, layer > 0 || read_only).map_err(|failure| {
                        failure.while_doing(format!("cannot use disk {} of {}", index + 1, definition.name))
                    })?;
                    chain.push((format, handed.over(image)));
                }
                (WayPlan::Files(chain), None)
            }
            Way::Nfs(disk) => (WayPlan::Nfs(disk), None),
            Way::Nbd(disk) => (WayPlan::Nbd(disk), None),
            Way::Iscsi(disk) => {
                let secret = match &disk.login {
                    Some(login) => Some(handed.over(hidden(&login.password)?)),
                    None => None,
                };
                (WayPlan::Iscsi(disk), secret)
            }
            Way::Served(disk) => (WayPlan::Served { folder: served, disk }, None),
        };
        plans.push(DiskPlan { way, read_only, secret });
    }
    // A restricted card without forwards reaches nothing outside of QEMU, and so needs no network of the host's.
    let host_network = speaks
        || cards.iter().any(|card| match card {
            CardSource::Tap { .. } => false,
            CardSource::User { forwards, restricted, .. } => !restricted || !forwards.is_empty(),
        });
    let cards = cards
        .into_iter()
        .map(|card| match card {
            CardSource::Tap { descriptor, mtu } => CardPlan::Tap { descriptor: handed.over(descriptor), mtu },
            CardSource::User { network, forwards, restricted } => CardPlan::User { network, forwards, restricted },
        })
        .collect();
    let definition = &definition;
    let plan = Plan { definition, places: &places, accelerator, qmp, serial, disks: plans, cards, start, incoming };
    let arguments = arguments(&plan)?;
    let command = HypervisorCommand {
        program: settings.qemu.clone(),
        arguments,
        host_network,
        kvm: match accelerator {
            ChosenAccelerator::Kvm => true,
            ChosenAccelerator::Tcg => false,
        },
        userfaults: fetches,
        memory: definition.max_memory,
    };
    Ok(Prepared { command, descriptors: handed.descriptors })
}

/// Which descriptor the folder of served disks is in QEMU.
pub const SERVED_DESCRIPTOR: i32 = FIRST_DESCRIPTOR + 2;

/// A password in memory, for QEMU to read once.
fn hidden(password: &Secret) -> Result<OwnedFd> {
    let saying = || "cannot hand a password to the hypervisor".to_owned();
    let memory = rustix::fs::memfd_create("password", rustix::fs::MemfdFlags::CLOEXEC).context(saying)?;
    let mut memory = File::from(memory);
    memory.write_all(password.reveal()).context(saying)?;
    Ok(memory.into())
}

/// Descriptors in the order of their numbers.
#[derive(Default)]
struct Handed {
    descriptors: Vec<OwnedFd>,
}

impl Handed {
    /// Answers with the number that it will have in QEMU.
    fn over(&mut self, descriptor: OwnedFd) -> i32 {
        self.descriptors.push(descriptor);
        // Far below 2^31: descriptors are limited to thousands.
        FIRST_DESCRIPTOR + self.descriptors.len() as i32 - 1
    }
}

/// QEMU takes a descriptor from a set only where its access is the very one that the node wants.
fn check_access(image: &OwnedFd, read_only: bool) -> Result<()> {
    let access = rustix::fs::fcntl_getfl(image).context(|| "cannot ask an image's descriptor for its access".into())?;
    let wanted = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
    if access & OFlags::RWMODE == wanted {
        return Ok(());
    }
    Err(Failure::other(match read_only {
        true => "an image that is only read was opened for writing",
        false => "an image that is written was opened for reading only",
    }))
}

/// A file that QEMU opens again through `/proc/self/fd/N`, as its own user: the file itself where everyone may read it,
/// else a copy in memory.
fn readable(path: &Path, what: &str) -> Result<OwnedFd> {
    let saying = || format!("cannot open the {what} {}", path.display());
    let mut file = File::open(path).context(saying)?;
    let facts = file.metadata().context(saying)?;
    if !facts.is_file() {
        return Err(Failure::usage(format!("the {what} {} is not a file", path.display())));
    }
    if facts.mode() & 0o004 != 0 || !rustix::process::geteuid().is_root() {
        return Ok(file.into());
    }
    let copy = rustix::fs::memfd_create(what, rustix::fs::MemfdFlags::CLOEXEC).context(saying)?;
    let mut copy = File::from(copy);
    std::io::copy(&mut file, &mut copy).context(saying)?;
    Ok(copy.into())
}

/// Whether guests may boot by UEFI here.
pub fn has_uefi() -> bool {
    firmware().is_ok()
}

fn firmware() -> Result<(PathBuf, PathBuf)> {
    FIRMWARE
        .iter()
        .map(|(code, variables)| (PathBuf::from(code), PathBuf::from(variables)))
        .find(|(code, variables)| code.exists() && variables.exists())
        .ok_or_else(|| {
            Failure::not_found("there is no UEFI firmware on this host")
                .hint("install it (apt install ovmf), or boot from BIOS: [boot] firmware = \"bios\"")
        })
}

/// The domain's own UEFI variables, `nvram` in its folder: made from the template at its first start.
fn variables(folder: &Path, template: &Path) -> Result<File> {
    let path = folder.join("nvram");
    let saying = || format!("cannot make the UEFI variables {}", path.display());
    let open = || std::fs::OpenOptions::new().read(true).write(true).open(&path);
    match open() {
        Ok(file) => {
            let (have, want) = (file.metadata().context(saying)?.len(), template.metadata().context(saying)?.len());
            if have != want {
                return Err(Failure::conflict(format!(
                    "the UEFI variables {} are {have} bytes, and the firmware wants {want}",
                    path.display()
                ))
                .hint("move the file away; the domain then starts with fresh variables"));
            }
            return Ok(file);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context(|| format!("cannot open the UEFI variables {}", path.display())),
    }
    let bytes = std::fs::read(template).context(saying)?;
    let fresh = folder.join("nvram.new");
    let mut file =
        std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh).context(saying)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).context(saying)?;
    std::fs::rename(&fresh, &path).context(saying)?;
    open().context(saying)
}
