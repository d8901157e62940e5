//! Real QEMU, by way of the gate: guests of one boot sector under software emulation.

mod served;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;

use super::boot_sector::{Then, image};
use super::qmp::{Monitor, RunState};
use super::{SERIAL_SOCKET, last_words, prepare};
use crate::config::domain::*;
use crate::config::policy::Policy;
use crate::error::{Failure, Result};
use crate::gate::operation::{ImageFormat, ProcessId};
use crate::gate::{Actor, Gate, Ledger, Mode, Operation, Outcome};
use crate::hypervisor::{CardSource, ChosenAccelerator, Event, Launch, Places};
use crate::layout::Layout;
use crate::storage::{BlockSource, Way};
use crate::sys::process::{self, Exit};
use crate::sys::socket::connect_in;
use crate::types::{ByteSize, Spoofing};

const SOON: Duration = Duration::from_secs(20);

/// A domain in a root of its own; whatever still runs at the test's end is ended.
pub(crate) struct Bench {
    root: tempfile::TempDir,
    gate: Gate,
    ledger: Ledger,
    definition: DomainDefinition,
    disks: Vec<BlockSource>,
    cards: Vec<CardSource>,
    accelerator: ChosenAccelerator,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let undone = self.gate.undo(&mut self.ledger);
        if !std::thread::panicking() {
            undone.unwrap();
        }
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Bench::with(Policy::default())
    }

    fn with(policy: Policy) -> Self {
        let root = tempfile::tempdir().unwrap();
        let gate = Gate::new(Layout::new(root.path()), Arc::new(policy), Mode::Perform);
        std::fs::create_dir_all(root.path().join("domains/node1")).unwrap();
        let ledger = Ledger::open(&root.path().join("domains/node1/ledger.jsonl")).unwrap();
        let boot =
            Boot { firmware: Firmware::Bios, order: vec![BootDevice::Disk], kernel: None, initrd: None, cmdline: None };
        let definition = DomainDefinition {
            name: "node1".parse().unwrap(),
            uuid: uuid::Uuid::new_v4(),
            memory: ByteSize::from_mib(32),
            max_memory: ByteSize::from_mib(32),
            vcpus: 1,
            accelerator: Accelerator::Tcg,
            machine: None,
            cpu: None,
            on_poweroff: Action::Destroy,
            on_reboot: Action::Restart,
            on_crash: Action::Preserve,
            on_storage_error: None,
            debug_exit: false,
            protected: false,
            description: None,
            empty_drives: 0,
            generation_id: uuid::Uuid::from_u128(7),
            autostart: None,
            boot,
            disks: Vec::new(),
            cards: Vec::new(),
            graphics: Graphics { kind: GraphicsKind::None },
        };
        let (disks, cards) = (Vec::new(), Vec::new());
        Bench { root, gate, ledger, definition, disks, cards, accelerator: ChosenAccelerator::Tcg }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().join("domains/node1")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A raw disk with these contents.
    pub(crate) fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.root.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    pub(crate) fn add_disk(&mut self, device: DiskDevice, chain: Vec<(ImageFormat, OwnedFd)>, read_only: bool) {
        let volume = format!("default/node{}", self.disks.len() + 1).parse().unwrap();
        self.definition.disks.push(Disk { volume, device, bus: DiskBus::Virtio, read_only });
        self.disks.push(BlockSource { way: Way::Files(chain), read_only });
    }

    fn boots(mut self, text: &str, then: Then) -> Self {
        let path = self.file("boot.raw", &image(text, then));
        let disk = vec![(ImageFormat::Raw, writable(&path))];
        self.add_disk(DiskDevice::Disk, disk, false);
        self
    }

    pub(crate) fn start(&mut self) -> Result<ProcessId> {
        let folder = Operation::ServedFolder { domain: self.definition.name.clone() };
        let mut made = self.gate.perform(&Actor::Operator, &mut self.ledger, folder, Vec::new())?.descriptors;
        let launch = Launch {
            incoming: false,
            fetches: false,
            served: made.remove(0),
            places: Places::new(&self.definition),
            definition: self.definition.clone(),
            id: 7,
            accelerator: self.accelerator,
            disks: std::mem::take(&mut self.disks),
            cards: std::mem::take(&mut self.cards),
        };
        let prepared = prepare(launch, &self.folder(), &self.gate.policy().host)?;
        let operation =
            Operation::HypervisorStart { domain: self.definition.name.clone(), id: 7, command: prepared.command };
        let done = self.gate.perform(&Actor::Operator, &mut self.ledger, operation, prepared.descriptors)?;
        match done.outcome {
            Outcome::Process { process } => Ok(process),
            other => Err(Failure::other(format!("{other:?}"))),
        }
    }

    pub(crate) async fn connect(&self) -> (Monitor, Receiver<Event>) {
        Monitor::connect(&self.folder()).await.unwrap()
    }

    fn serial(&self) -> UnixStream {
        let stream = connect_in(&self.folder(), SERIAL_SOCKET).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }
}

pub(crate) fn writable(path: &std::path::Path) -> OwnedFd {
    File::options().read(true).write(true).open(path).unwrap().into()
}

fn readable(path: &std::path::Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

/// Reads until `text` has come; panics at the deadline, with what came.
async fn hear(stream: UnixStream, text: &'static str) -> UnixStream {
    tokio::task::spawn_blocking(move || {
        let mut stream = stream;
        let (mut heard, mut piece, until) = (Vec::new(), [0; 512], Instant::now() + SOON);
        while !String::from_utf8_lossy(&heard).contains(text) {
            assert!(Instant::now() < until, "heard only {:?}", String::from_utf8_lossy(&heard));
            let count = stream.read(&mut piece).unwrap_or(0);
            assert!(count > 0, "the line ended after {:?}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&piece[..count]);
        }
        stream
    })
    .await
    .unwrap()
}

async fn event(events: &mut Receiver<Event>) -> Event {
    tokio::time::timeout(SOON, events.recv()).await.expect("no event came").expect("the events ended")
}

async fn end(process: ProcessId) -> Exit {
    tokio::time::timeout(SOON, process::exited(process)).await.expect("it still runs").unwrap()
}

#[tokio::test]
async fn a_guest_starts_paused_prints_once_let_go_and_quits() {
    let mut bench = Bench::new().boots("fief here\r\n", Then::Halt);
    let process = bench.start().unwrap();
    let (monitor, mut events) = bench.connect().await;
    assert!(monitor.version().await.unwrap().major >= 7);
    assert_eq!(monitor.status().await.unwrap(), RunState::Prelaunch);
    let serial = bench.serial();
    monitor.resume().await.unwrap();
    assert_eq!(event(&mut events).await, Event::Resumed);
    hear(serial, "fief here").await;
    monitor.pause().await.unwrap();
    assert_eq!(event(&mut events).await, Event::Paused);
    assert_eq!(monitor.status().await.unwrap(), RunState::Paused);
    monitor.quit().await.unwrap();
    assert_eq!(end(process).await, Exit::Code(0));
    assert_eq!(event(&mut events).await, Event::Closed);
}

#[tokio::test]
async fn a_second_supervisor_takes_the_monitor_and_the_console_up_again() {
    let mut bench = Bench::new().boots("", Then::Echo);
    bench.start().unwrap();
    let (monitor, events) = bench.connect().await;
    monitor.resume().await.unwrap();
    drop((monitor, events));
    drop(bench.serial());
    let (monitor, _events) = bench.connect().await;
    assert_eq!(monitor.status().await.unwrap(), RunState::Running);
    let mut serial = bench.serial();
    // The guest may not listen yet: what comes before it does is lost, as on a wire.
    let mut typist = serial.try_clone().unwrap();
    let typing = tokio::spawn(async move {
        while typist.write_all(b"knock").is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    serial = hear(serial, "knock").await;
    typing.abort();
    drop(serial);
}

#[tokio::test]
async fn the_process_holds_nothing_that_a_guest_could_use() {
    let mut bench = Bench::new().boots("", Then::Halt);
    let process = bench.start().unwrap();
    let (monitor, _events) = bench.connect().await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len() + 1..].split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("Seccomp"), "2");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid)).unwrap();
    assert!(
        limits.lines().any(|l| l.split_whitespace().take(6).eq(["Max", "core", "file", "size", "0", "0"])),
        "{limits}"
    );
    if rustix::process::geteuid().is_root() {
        assert_eq!(field("Uid"), "1900000007 1900000007 1900000007 1900000007");
        assert_eq!(field("Gid"), "1900000007 1900000007 1900000007 1900000007");
        assert_eq!((field("Groups").as_str(), field("CapEff").as_str()), ("", "0000000000000000"));
        assert_eq!((field("CapPrm").as_str(), field("CapInh").as_str()), ("0000000000000000", "0000000000000000"));
        for space in ["mnt", "net", "ipc"] {
            let of = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/{space}")).unwrap();
            assert_ne!(of(&process.pid.to_string()), of("self"), "{space} is shared");
        }
        let mut nodes: Vec<String> = std::fs::read_dir(format!("/proc/{}/root/dev", process.pid))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        nodes.sort();
        assert_eq!(nodes, ["full", "null", "random", "urandom", "zero"]);
        let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", process.pid)).unwrap();
        let writable =
            |line: &&str| line.split(' ').nth(3).is_some_and(|options| options.split(',').any(|o| o == "rw"));
        assert_eq!(mounts.lines().find(writable), None, "a mount can be written to");
    }
    // Standard streams, sockets and images: no pipe, no terminal, nothing of the parent's.
    for entry in std::fs::read_dir(format!("/proc/{}/fd", process.pid)).unwrap() {
        let Ok(target) = std::fs::read_link(entry.unwrap().path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        let known = ["/dev/null", "socket:", "anon_inode:", "/memfd:", "hypervisor.log", "boot.raw", "/node1/served"];
        assert!(known.iter().any(|part| target.contains(part)), "{target} is open");
    }
    monitor.quit().await.unwrap();
    end(process).await;
}

#[tokio::test]
async fn a_chain_of_images_and_a_disc_are_read_through_their_descriptors() {
    let mut bench = Bench::new();
    bench.file("base.raw", &image("from below\r\n", Then::Halt));
    let top = bench.root.path().join("top.qcow2");
    let made = std::process::Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/nowhere/that/exists", "-u"])
        .arg(&top)
        .arg("1M")
        .status()
        .unwrap();
    assert!(made.success());
    let base = bench.root.path().join("base.raw");
    // Nobody but root may open them: QEMU has to get by with what it was handed.
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o600)).unwrap();
    let chain = vec![(ImageFormat::Qcow2, writable(&top)), (ImageFormat::Raw, readable(&base))];
    bench.add_disk(DiskDevice::Disk, chain, false);
    let disc = bench.file("disc.iso", &vec![0; 1 << 20]);
    bench.add_disk(DiskDevice::Cdrom, vec![(ImageFormat::Raw, readable(&disc))], true);
    bench.add_disk(DiskDevice::Disk, vec![(ImageFormat::Raw, readable(&base))], true);
    bench.start().unwrap();
    let (monitor, _events) = bench.connect().await;
    let serial = bench.serial();
    monitor.resume().await.unwrap();
    hear(serial, "from below").await;
}

#[test]
fn an_image_opened_for_the_wrong_access_is_refused_before_the_start() {
    let mut bench = Bench::new();
    let path = bench.file("boot.raw", &[0; 512]);
    bench.add_disk(DiskDevice::Disk, vec![(ImageFormat::Raw, readable(&path))], false);
    assert!(bench.start().unwrap_err().to_string().contains("cannot use disk 1 of node1"));
}

#[tokio::test]
async fn a_display_is_served_to_a_client_that_was_handed_over() {
    let mut bench = Bench::new().boots("", Then::Halt);
    bench.definition.graphics.kind = GraphicsKind::Vnc;
    bench.start().unwrap();
    let (monitor, _events) = bench.connect().await;
    for _ in 0..2 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(SOON)).unwrap();
        monitor.add_vnc_client(theirs.into()).await.unwrap();
        hear(ours, "RFB 003.00").await;
    }
    let shot = bench.root.path().join("shot.png");
    monitor.screendump(File::create(&shot).unwrap().into()).await.unwrap();
    assert_eq!(std::fs::read(&shot).unwrap()[..4], *b"\x89PNG");
}

#[tokio::test]
async fn undoing_a_start_leaves_nothing() {
    let mut bench = Bench::new().boots("", Then::Halt);
    let process = bench.start().unwrap();
    let (_monitor, mut events) = bench.connect().await;
    bench.gate.undo(&mut bench.ledger).unwrap();
    assert!(!process::alive(process));
    assert_eq!(process::start_time(process.pid).filter(|start| *start == process.start_time), None, "a zombie is left");
    assert_eq!(event(&mut events).await, Event::Closed);
    let left: Vec<_> = std::fs::read_dir(bench.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["hypervisor.log"]);
    bench.gate.undo(&mut bench.ledger).unwrap();
}

#[tokio::test]
async fn a_start_that_was_cut_off_is_found_by_its_mark() {
    let mut bench = Bench::new().boots("", Then::Halt);
    let process = bench.start().unwrap();
    let path = bench.folder().join("ledger.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, _outcome) = text.trim_end().rsplit_once('\n').unwrap();
    std::fs::write(&path, format!("{before}\n")).unwrap();
    bench.ledger = Ledger::open(&path).unwrap();
    assert_eq!(bench.ledger.entries().last().unwrap().outcome, None);
    bench.gate.undo(&mut bench.ledger).unwrap();
    assert!(!process::alive(process));
    assert!(bench.ledger.is_empty());
}

#[tokio::test]
async fn the_guest_s_exit_code_is_the_process_s() {
    let mut bench = Bench::new().boots("", Then::Exit(0x15));
    bench.definition.debug_exit = true;
    let process = bench.start().unwrap();
    let (monitor, _events) = bench.connect().await;
    monitor.resume().await.unwrap();
    assert_eq!(end(process).await, Exit::Code(0x2b));
}

#[tokio::test]
async fn a_power_off_is_told_and_ends_the_process_unless_it_is_preserved() {
    let mut bench = Bench::new().boots("", Then::PowerOff);
    let process = bench.start().unwrap();
    let (monitor, mut events) = bench.connect().await;
    monitor.resume().await.unwrap();
    assert_eq!(event(&mut events).await, Event::Resumed);
    assert_eq!(event(&mut events).await, Event::PoweredOff);
    assert_eq!(end(process).await, Exit::Code(0));

    let mut bench = Bench::new().boots("", Then::PowerOff);
    bench.definition.on_poweroff = Action::Preserve;
    let process = bench.start().unwrap();
    let (monitor, mut events) = bench.connect().await;
    monitor.resume().await.unwrap();
    assert_eq!(event(&mut events).await, Event::Resumed);
    assert_eq!(event(&mut events).await, Event::PoweredOff);
    assert_eq!(event(&mut events).await, Event::Paused);
    assert_eq!(monitor.status().await.unwrap(), RunState::Shutdown);
    monitor.quit().await.unwrap();
    assert_eq!(end(process).await, Exit::Code(0));
}

#[tokio::test]
async fn a_reboot_goes_on_in_place_or_ends_as_defined() {
    let mut bench = Bench::new().boots("again ", Then::Reset);
    bench.start().unwrap();
    let (monitor, mut events) = bench.connect().await;
    let serial = bench.serial();
    monitor.resume().await.unwrap();
    hear(serial, "again again").await;
    assert_eq!(event(&mut events).await, Event::Resumed);
    assert_eq!(event(&mut events).await, Event::Rebooted);

    let mut bench = Bench::new().boots("", Then::Reset);
    bench.definition.on_reboot = Action::Destroy;
    let process = bench.start().unwrap();
    let (monitor, mut events) = bench.connect().await;
    monitor.resume().await.unwrap();
    assert_eq!(event(&mut events).await, Event::Resumed);
    assert_eq!(event(&mut events).await, Event::Rebooted);
    assert_eq!(end(process).await, Exit::Code(0));
}

#[tokio::test]
async fn a_panic_pauses_the_guest_until_it_is_reset() {
    let mut bench = Bench::new().boots("oops ", Then::Panic);
    bench.start().unwrap();
    let (monitor, mut events) = bench.connect().await;
    let serial = bench.serial();
    monitor.resume().await.unwrap();
    assert_eq!(event(&mut events).await, Event::Resumed);
    assert_eq!(event(&mut events).await, Event::Panicked);
    assert_eq!(event(&mut events).await, Event::Paused);
    assert_eq!(monitor.status().await.unwrap(), RunState::GuestPanicked);
    monitor.reset().await.unwrap();
    monitor.resume().await.unwrap();
    hear(serial, "oops oops").await;
}

#[tokio::test]
async fn the_cause_of_a_failed_start_is_in_qemu_s_words() {
    let mut bench = Bench::new().boots("", Then::Halt);
    bench.definition.cpu = Some("abacus".into());
    bench.start().unwrap();
    let failure = Monitor::connect(&bench.folder()).await.unwrap_err();
    assert!(failure.causes.iter().any(|cause| cause.contains("abacus")), "{failure:?}");
    assert!(last_words(&bench.folder()).iter().any(|line| line.contains("abacus")));
}

#[test]
fn a_missing_qemu_is_named_with_what_to_install() {
    let mut policy = Policy::default();
    policy.host.qemu = "/nowhere/qemu".into();
    let mut bench = Bench::with(policy).boots("", Then::Halt);
    let failure = bench.start().unwrap_err();
    assert!(failure.to_string().contains("/nowhere/qemu"), "{failure}");
    assert!(failure.hint.unwrap().contains("apt install"));
    // What was made before goes as well.
    bench.gate.undo(&mut bench.ledger).unwrap();
    assert!(bench.ledger.is_empty() && !bench.folder().join("served").exists());
}

#[tokio::test]
async fn uefi_starts_with_variables_of_its_own() {
    let mut bench = Bench::new().boots("", Then::Halt);
    bench.definition.boot.firmware = Firmware::Uefi;
    bench.definition.memory = ByteSize::from_mib(128);
    bench.definition.max_memory = ByteSize::from_mib(128);
    bench.start().unwrap();
    let (monitor, _events) = bench.connect().await;
    let serial = bench.serial();
    monitor.resume().await.unwrap();
    hear(serial, "BdsDxe").await;
    let nvram = bench.folder().join("nvram");
    assert_eq!(nvram.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_kernel_that_only_root_may_read_is_started() {
    let mut bench = Bench::new();
    // Not a kernel at all, but QEMU reads it before it says so.
    let path = bench.file("vmlinuz", b"only root may read this");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    bench.definition.boot.kernel = Some(path);
    bench.start().unwrap();
    let failure = Monitor::connect(&bench.folder()).await.unwrap_err();
    assert!(failure.causes.iter().any(|cause| cause.contains("invalid kernel header")), "{failure:?}");
}

#[tokio::test]
async fn user_mode_cards_forward_from_the_host() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut bench = Bench::new().boots("", Then::Halt);
    let forward = crate::sandbox::protocol::Forward {
        protocol: crate::sandbox::protocol::Protocol::Tcp,
        host_address: "127.0.0.1".into(),
        host_port: port,
        guest_port: 22,
    };
    let network: crate::types::NetworkName = "user".parse().unwrap();
    for (n, model, forwards) in [(1, CardModel::Virtio, vec![forward]), (2, CardModel::E1000, Vec::new())] {
        let mac = crate::types::MacAddress::for_guest([0, 0, n]);
        bench.definition.cards.push(Card {
            network: network.clone(),
            mac,
            model,
            address: None,
            spoofing: Spoofing::Denied,
            bandwidth: None,
        });
        bench.cards.push(CardSource::User { network: Some("10.0.3.0/24".into()), forwards, restricted: true });
    }
    bench.start().unwrap();
    let (monitor, _events) = bench.connect().await;
    assert_eq!(monitor.status().await.unwrap(), RunState::Prelaunch);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
}

#[tokio::test]
async fn a_boot_sector_prints_on_kvm() {
    if File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return;
    }
    let mut bench = Bench::new().boots("fief on kvm\r\n", Then::Halt);
    bench.accelerator = ChosenAccelerator::Kvm;
    bench.definition.cpu = Some("qemu64,+pni".into());
    bench.start().unwrap();
    let (monitor, _events) = bench.connect().await;
    let serial = bench.serial();
    monitor.resume().await.unwrap();
    hear(serial, "fief on kvm").await;
}
