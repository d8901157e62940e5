use std::fmt::Write;

use super::*;
use crate::config::domain::{Boot, Card, CardModel, Disk, DiskBus, DiskDevice, Firmware, Graphics, OnStorageError};
use crate::sandbox::protocol::Protocol;
use crate::storage::Login;
use crate::types::{MacAddress, Secret, Spoofing};

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
        on_storage_error: None,
        debug_exit: false,
        protected: false,
        description: None,
        empty_drives: 0,
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

/// Each on a volume of its own.
fn disks(all: impl IntoIterator<Item = (DiskDevice, DiskBus)>) -> Vec<Disk> {
    let named =
        |(n, (device, bus))| Disk { volume: format!("default/node{}", n + 1).parse().unwrap(), ..disk(device, bus) };
    all.into_iter().enumerate().map(named).collect()
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
    DiskPlan { way: WayPlan::Files(chain.to_vec()), read_only: false, secret: None }
}

fn plan(definition: &DomainDefinition) -> Plan<'_> {
    plan_in(definition, Box::leak(Box::new(Places::new(definition))))
}

fn plan_in<'a>(definition: &'a DomainDefinition, places: &'a Places) -> Plan<'a> {
    Plan {
        incoming: false,
        definition,
        places,
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
    definition.disks = disks([(DiskDevice::Disk, DiskBus::Sata), (DiskDevice::Cdrom, DiskBus::Virtio)]);
    definition.empty_drives = 1;
    definition.graphics.kind = GraphicsKind::Vnc;
    definition.debug_exit = true;
    let mut plan = plan(&definition);
    plan.accelerator = ChosenAccelerator::Kvm;
    plan.start = StartPlan::Uefi { code: 12, variables: 13 };
    plan.disks = vec![
        writable(&[(ImageFormat::Raw, 14)]),
        DiskPlan { way: WayPlan::Files(vec![(ImageFormat::Raw, 15)]), read_only: true, secret: None },
    ];
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

fn taps(count: usize) -> Vec<CardPlan> {
    (40..).take(count).map(|descriptor| CardPlan::Tap { descriptor, mtu: None }).collect()
}

fn raw(count: usize) -> Vec<DiskPlan> {
    (12..).take(count).map(|descriptor| writable(&[(ImageFormat::Raw, descriptor)])).collect()
}

fn device(plan: &Plan<'_>, id: &str) -> Value {
    values(plan, "-device").into_iter().find(|device| device["id"] == id).unwrap_or_else(|| panic!("no {id}"))
}

#[test]
fn devices_sit_in_the_places_that_they_were_given() {
    let mut definition = definition();
    definition.cards = (0..3).map(|n| card(if n == 1 { CardModel::E1000 } else { CardModel::Virtio }, n)).collect();
    definition.disks = disks([(DiskDevice::Disk, DiskBus::Virtio); 2]);
    let mut places = Places::new(&definition);
    places.disks.insert(definition.disks[1].volume.clone(), 5);
    let mut plan = plan_in(&definition, &places);
    (plan.disks, plan.cards) = (raw(2), taps(3));
    let bus = |id: &str| device(&plan, id)["bus"].as_str().unwrap().to_owned();
    assert_eq!([bus("disk0-device"), bus("disk5-device")], ["disk-port0", "disk-port5"]);
    assert_eq!([bus("card0-device"), bus("card1-device")], ["card-port0", "card-port1"]);
    assert_eq!(device(&plan, "card64-device")["addr"], "0xa.0x0", "e1000 knows nothing of ports");
    let ports: Vec<_> = values(&plan, "-device").into_iter().filter(|d| d["driver"] == "pcie-root-port").collect();
    assert_eq!(ports.len(), 16);
    let distinct =
        |key: &str| ports.iter().map(|port| port[key].to_string()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!((distinct("addr").len(), distinct("chassis").len()), (16, 16));
}

#[test]
fn the_first_layout_is_built_as_it_was() {
    let mut definition = definition();
    definition.max_memory = ByteSize::from_mib(1024);
    definition.cards = (0..20).map(|n| card(CardModel::Virtio, n)).collect();
    definition.disks = disks([(DiskDevice::Disk, DiskBus::Virtio); 10]);
    let places = Places::first_layout(&definition);
    let mut many = plan_in(&definition, &places);
    (many.disks, many.cards) = (raw(10), taps(20));
    let address = |id: &str| {
        let device = device(&many, id);
        (device["addr"].as_str().unwrap().to_owned(), device["multifunction"] == true)
    };
    assert_eq!(address("card0-device"), ("0x10.0x0".into(), true));
    assert_eq!(address("card7-device"), ("0x17.0x0".into(), true));
    assert_eq!(address("card19-device"), ("0x13.0x2".into(), false));
    assert_eq!(address("disk9-device"), ("0x9.0x1".into(), false));
    assert_eq!(address("disk2-device"), ("0xa.0x0".into(), false));
    assert_eq!(values(&many, "-m"), ["size=512M"], "what it has now is all that it ever had");
    assert!(values(&many, "-device").iter().all(|device| device["driver"] != "pcie-root-port"));
}

#[test]
fn memory_is_the_most_that_the_guest_may_have() {
    let mut definition = definition();
    definition.max_memory = ByteSize::from_mib(1024);
    assert_eq!(values(&plan(&definition), "-m"), ["size=1024M"]);
}

#[test]
fn sata_disks_beyond_the_sixth_get_a_controller() {
    let mut definition = definition();
    definition.disks = disks([(DiskDevice::Disk, DiskBus::Sata); 8]);
    let mut plan = plan(&definition);
    plan.disks = raw(8);
    let devices = values(&plan, "-device");
    let bus = |id: &str| devices.iter().find(|d| d["id"] == id).unwrap()["bus"].clone();
    assert_eq!([bus("disk69-device"), bus("disk70-device"), bus("disk71-device")], ["ide.5", "sata1.0", "sata1.1"]);
    assert_eq!(devices.iter().filter(|d| d["driver"] == "ich9-ahci").count(), 1);
}

#[test]
fn what_the_machine_cannot_have_is_refused() {
    let mut definition = definition();
    definition.disks = vec![disk(DiskDevice::Disk, DiskBus::Sata)];
    let mut read_only = plan(&definition);
    read_only.disks =
        vec![DiskPlan { way: WayPlan::Files(vec![(ImageFormat::Raw, 12)]), read_only: true, secret: None }];
    let failure = arguments(&read_only).unwrap_err();
    assert_eq!(failure.kind, crate::error::Kind::Usage);
    assert!(failure.hint.is_some());

    definition.disks.clear();
    definition.cards = (0..17).map(|n| card(CardModel::Virtio, n)).collect();
    let mut crowded = plan(&definition);
    crowded.cards = taps(17);
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
    let virtio = (DiskDevice::Disk, DiskBus::Virtio);
    definition.disks = disks([(DiskDevice::Cdrom, DiskBus::Sata), virtio, virtio]);
    definition.cards = vec![card(CardModel::Virtio, 1)];
    let mut plan = plan(&definition);
    (plan.disks, plan.cards) = (raw(3), taps(1));
    let mut ranked: Vec<(u64, String)> = values(&plan, "-device")
        .iter()
        .filter_map(|d| Some((d["bootindex"].as_u64()?, d["id"].as_str()?.to_owned())))
        .collect();
    ranked.sort();
    let order: Vec<&str> = ranked.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(order, ["card0-device", "disk0-device", "disk1-device"]);
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

fn nodes_of(way: WayPlan, secret: Option<i32>, read_only: bool) -> String {
    let mut definition = definition();
    definition.disks = vec![Disk { read_only, ..disk(DiskDevice::Disk, DiskBus::Virtio) }];
    let mut plan = plan(&definition);
    plan.disks = vec![DiskPlan { way, read_only, secret }];
    let all = shown(&plan);
    let ours = |line: &&str| line.contains("disk0") && !line.contains("pcie-root-port");
    all.lines().filter(ours).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_disk_on_an_nfs_server_is_reached_by_qemus_own_client() {
    let disk = NfsDisk {
        server: "192.0.2.7".into(),
        share: "/export/".into(),
        path: "sub/node1.qcow2".into(),
        user: Some(65_534),
        group: Some(65_534),
        format: ImageFormat::Qcow2,
    };
    insta::assert_snapshot!(nodes_of(WayPlan::Nfs(disk), None, false));
}

#[test]
fn a_password_of_an_iscsi_target_is_an_object_that_reads_a_descriptor() {
    let login = Login { user: "alice".into(), password: Secret::new(b"secret123456".to_vec()) };
    let disk = IscsiDisk {
        portal: "192.0.2.8:3260".into(),
        target: "iqn.2024-01.test:disk1".into(),
        lun: 1,
        initiator: Some("iqn.2026-01.fief:host".into()),
        login: Some(login),
        header_digest: true,
    };
    let shown = nodes_of(WayPlan::Iscsi(disk), Some(15), false);
    assert!(!shown.contains("secret123456"));
    insta::assert_snapshot!(shown);
}

#[test]
fn a_disk_on_an_nbd_server_is_reached_by_its_address() {
    let disk = NbdDisk { server: "[2001:db8::7]:10809".parse().unwrap(), export: "node1".into() };
    let shown = nodes_of(WayPlan::Nbd(disk), None, false);
    assert!(
        shown.contains(r#""export":"node1""#) && shown.contains(r#""host":"2001:db8::7","port":"10809""#),
        "{shown}"
    );
}

#[test]
fn a_served_disk_is_read_at_a_socket_of_its_own_and_can_be_exchanged_below_its_raw_node() {
    let disk = Served { volume: "node1".parse().unwrap(), generation: 7 };
    insta::assert_snapshot!(nodes_of(WayPlan::Served { folder: 12, disk }, None, true));
}

#[test]
fn what_a_failed_request_does_follows_the_definition_and_the_way() {
    let served = || WayPlan::Served { folder: 12, disk: Served { volume: "a".parse().unwrap(), generation: 1 } };
    let of = |on_error, way| {
        let plan = DiskPlan { way, read_only: false, secret: None };
        let device = disk_device(0, &disk(DiskDevice::Disk, DiskBus::Virtio), &plan, on_error).unwrap();
        format!("{} {}", device["werror"].as_str().unwrap(), device["rerror"].as_str().unwrap())
    };
    let files = || WayPlan::Files(vec![(ImageFormat::Raw, 12)]);
    assert_eq!(of(None, files()), "enospc report");
    assert_eq!(of(None, served()), "stop stop");
    assert_eq!(of(Some(OnStorageError::Pause), files()), "stop stop");
    assert_eq!(of(Some(OnStorageError::Report), served()), "report report");
}
