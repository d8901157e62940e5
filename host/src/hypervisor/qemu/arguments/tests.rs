use std::fmt::Write;

use super::*;
use crate::config::domain::{Boot, Card, CardModel, Disk, DiskBus, DiskDevice, Firmware, Graphics};
use crate::sandbox::protocol::Protocol;
use crate::types::{MacAddress, Spoofing};

fn definition() -> DomainDefinition {
    DomainDefinition {
        name: "node1".parse().unwrap(),
        uuid: uuid::Uuid::from_u128(0x1234),
        memory: ByteSize::from_mib(512),
        max_memory: ByteSize::from_mib(512),
        vcpus: 2,
        accelerator: crate::config::domain::Accelerator::Auto,
        machine: None,
        cpu: None,
        on_poweroff: Action::Destroy,
        on_reboot: Action::Restart,
        on_crash: Action::Restart,
        debug_exit: false,
        protected: false,
        generation_id: uuid::Uuid::from_u128(7),
        autostart: None,
        boot: Boot {
            firmware: Firmware::Bios,
            order: vec![BootDevice::Disk, BootDevice::Cdrom, BootDevice::Network],
            kernel: None,
            initrd: None,
            cmdline: None,
        },
        disks: Vec::new(),
        cards: Vec::new(),
        graphics: Graphics { kind: GraphicsKind::None },
    }
}

fn disk(device: DiskDevice, bus: DiskBus) -> Disk {
    Disk { volume: "default/node1".parse().unwrap(), device, bus, read_only: false }
}

fn card(model: CardModel, last: u8) -> Card {
    Card {
        network: "lab".parse().unwrap(),
        mac: MacAddress::for_guest([0, 0, last]),
        model,
        address: None,
        spoofing: Spoofing::Denied,
        bandwidth: None,
    }
}

fn writable(chain: &[(ImageFormat, i32)]) -> DiskPlan {
    DiskPlan { chain: chain.to_vec(), read_only: false }
}

fn plan(definition: &DomainDefinition) -> Plan<'_> {
    Plan {
        incoming: false,
        definition,
        accelerator: ChosenAccelerator::Tcg,
        qmp: 10,
        serial: 11,
        disks: Vec::new(),
        cards: Vec::new(),
        start: StartPlan::Bios,
    }
}

/// One option a line, as a person would read it.
fn shown(plan: &Plan<'_>) -> String {
    let mut text = String::new();
    for argument in arguments(plan).unwrap() {
        let option = argument.starts_with('-');
        write!(text, "{}{argument}", if option { "\n" } else { " " }).unwrap();
    }
    text.trim_start().to_owned()
}

#[test]
fn a_disk_boots_from_bios() {
    let mut definition = definition();
    definition.disks = vec![disk(DiskDevice::Disk, DiskBus::Virtio)];
    definition.cards = vec![card(CardModel::Virtio, 1)];
    let mut plan = plan(&definition);
    plan.disks = vec![writable(&[(ImageFormat::Qcow2, 12), (ImageFormat::Raw, 13)])];
    plan.cards = vec![CardPlan::Tap { descriptor: 14, mtu: Some(1400) }];
    insta::assert_snapshot!(shown(&plan));
}

#[test]
fn a_disk_boots_from_uefi_on_kvm() {
    let mut definition = definition();
    definition.boot.firmware = Firmware::Uefi;
    definition.disks = vec![disk(DiskDevice::Disk, DiskBus::Sata), disk(DiskDevice::Cdrom, DiskBus::Virtio)];
    definition.graphics.kind = GraphicsKind::Vnc;
    definition.debug_exit = true;
    let mut plan = plan(&definition);
    plan.accelerator = ChosenAccelerator::Kvm;
    plan.start = StartPlan::Uefi { code: 12, variables: 13 };
    plan.disks =
        vec![writable(&[(ImageFormat::Raw, 14)]), DiskPlan { chain: vec![(ImageFormat::Raw, 15)], read_only: true }];
    insta::assert_snapshot!(shown(&plan));
}

#[test]
fn a_kernel_is_started_directly() {
    let mut definition = definition();
    definition.boot.kernel = Some("/boot/vmlinuz".into());
    definition.boot.cmdline = Some("console=ttyS0 x=a,b".into());
    definition.cpu = Some("qemu64,+pni".into());
    definition.memory = ByteSize::from_bytes((64 << 20) + 4096);
    definition.cards = vec![card(CardModel::E1000, 1)];
    let mut plan = plan(&definition);
    plan.start = StartPlan::Kernel { kernel: 12, initrd: Some(13) };
    let forward =
        Forward { protocol: Protocol::Tcp, host_address: "127.0.0.1".into(), host_port: 2222, guest_port: 22 };
    plan.cards =
        vec![CardPlan::User { network: Some("10.0.3.0/24".into()), forwards: vec![forward], restricted: true }];
    insta::assert_snapshot!(shown(&plan));
}

/// The value after each `option`, those of JSON read.
fn values(plan: &Plan<'_>, option: &str) -> Vec<Value> {
    let arguments = arguments(plan).unwrap();
    let value = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into());
    arguments.windows(2).filter(|pair| pair[0] == option).map(|pair| value(&pair[1])).collect()
}

#[test]
fn devices_stay_where_they_are_when_others_come() {
    let mut definition = definition();
    definition.cards = (0..20).map(|n| card(CardModel::Virtio, n)).collect();
    definition.disks = (0..10).map(|_| disk(DiskDevice::Disk, DiskBus::Virtio)).collect();
    let taps = |count: i32| (0..count).map(|n| CardPlan::Tap { descriptor: 40 + n, mtu: None }).collect::<Vec<_>>();
    let mut many = plan(&definition);
    many.cards = taps(20);
    many.disks = (0..10).map(|n| writable(&[(ImageFormat::Raw, 20 + n)])).collect();
    let address = |plan: &Plan<'_>, id: &str| {
        let device = values(plan, "-device").into_iter().find(|d| d["id"] == id).unwrap();
        (device["addr"].as_str().unwrap().to_owned(), device["multifunction"] == true)
    };
    assert_eq!(address(&many, "card0-device"), ("0x10.0x0".into(), true));
    assert_eq!(address(&many, "card7-device"), ("0x17.0x0".into(), true));
    assert_eq!(address(&many, "card19-device"), ("0x13.0x2".into(), false));
    assert_eq!(address(&many, "disk9-device"), ("0x9.0x1".into(), false));
    assert_eq!(address(&many, "disk2-device"), ("0xa.0x0".into(), false));
    let mut all: Vec<_> =
        values(&many, "-device").iter().filter_map(|d| d["addr"].as_str().map(String::from)).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "two devices share a place");

    definition.cards.truncate(1);
    definition.disks.clear();
    let mut few = plan(&definition);
    few.cards = taps(1);
    assert_eq!(address(&few, "card0-device"), ("0x10.0x0".into(), false));
}

#[test]
fn sata_disks_beyond_the_sixth_get_a_controller() {
    let mut definition = definition();
    definition.disks = (0..8).map(|_| disk(DiskDevice::Disk, DiskBus::Sata)).collect();
    let mut plan = plan(&definition);
    plan.disks = (0..8).map(|n| writable(&[(ImageFormat::Raw, 12 + n)])).collect();
    let devices = values(&plan, "-device");
    let bus = |id: &str| devices.iter().find(|d| d["id"] == id).unwrap()["bus"].clone();
    assert_eq!([bus("disk5-device"), bus("disk6-device"), bus("disk7-device")], ["ide.5", "sata1.0", "sata1.1"]);
    assert_eq!(devices.iter().filter(|d| d["driver"] == "ich9-ahci").count(), 1);
}

#[test]
fn what_the_machine_cannot_have_is_refused() {
    let mut definition = definition();
    definition.disks = vec![disk(DiskDevice::Disk, DiskBus::Sata)];
    let mut read_only = plan(&definition);
    read_only.disks = vec![DiskPlan { chain: vec![(ImageFormat::Raw, 12)], read_only: true }];
    let failure = arguments(&read_only).unwrap_err();
    assert_eq!(failure.kind, crate::error::Kind::Usage);
    assert!(failure.hint.is_some());

    definition.disks.clear();
    definition.cards = (0..65).map(|n| card(CardModel::Virtio, n)).collect();
    let mut crowded = plan(&definition);
    crowded.cards = (0..65).map(|n| CardPlan::Tap { descriptor: 12 + n, mtu: None }).collect();
    assert_eq!(arguments(&crowded).unwrap_err().kind, crate::error::Kind::Usage);

    definition.cards.truncate(1);
    let mut forwarding = plan(&definition);
    let forward =
        Forward { protocol: Protocol::Tcp, host_address: "127.0.0.1:1-:1,x".into(), host_port: 1, guest_port: 1 };
    forwarding.cards = vec![CardPlan::User { network: None, forwards: vec![forward], restricted: false }];
    assert_eq!(arguments(&forwarding).unwrap_err().kind, crate::error::Kind::Usage);
}

#[test]
fn the_boot_order_ranks_kinds_first_and_places_second() {
    let mut definition = definition();
    definition.boot.order = vec![BootDevice::Network, BootDevice::Disk];
    definition.disks = vec![
        disk(DiskDevice::Cdrom, DiskBus::Sata),
        disk(DiskDevice::Disk, DiskBus::Virtio),
        disk(DiskDevice::Disk, DiskBus::Virtio),
    ];
    definition.cards = vec![card(CardModel::Virtio, 1)];
    let mut plan = plan(&definition);
    plan.disks = (0..3).map(|n| writable(&[(ImageFormat::Raw, 12 + n)])).collect();
    plan.cards = vec![CardPlan::Tap { descriptor: 15, mtu: None }];
    let mut ranked: Vec<(u64, String)> = values(&plan, "-device")
        .iter()
        .filter_map(|d| Some((d["bootindex"].as_u64()?, d["id"].as_str()?.to_owned())))
        .collect();
    ranked.sort();
    let order: Vec<&str> = ranked.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(order, ["card0-device", "disk1-device", "disk2-device"]);
}

#[test]
fn what_the_guest_does_at_its_end_follows_the_definition() {
    let mut definition = definition();
    for (poweroff, reboot, wanted) in [
        (Action::Destroy, Action::Restart, "reboot=reset,shutdown=poweroff,panic=pause"),
        (Action::Restart, Action::Destroy, "reboot=shutdown,shutdown=poweroff,panic=pause"),
        (Action::Preserve, Action::Restart, "reboot=reset,shutdown=pause,panic=pause"),
        (Action::Destroy, Action::Preserve, "reboot=shutdown,shutdown=pause,panic=pause"),
    ] {
        (definition.on_poweroff, definition.on_reboot) = (poweroff, reboot);
        assert_eq!(values(&plan(&definition), "-action"), [wanted]);
    }
}

#[test]
fn a_block_node_tells_its_disk() {
    assert_eq!(disk_of_node("disk12"), Some(12));
    assert_eq!(disk_of_node("disk1-below1"), Some(1));
    assert_eq!(disk_of_node("firmware-code"), None);
    assert_eq!(disk_of_node("diskette"), None);
}
