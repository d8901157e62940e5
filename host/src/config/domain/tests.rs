//! What is made and defaulted, and that a definition reads back as itself.

use proptest::prelude::*;

use super::*;
use crate::types::{PoolName, VolumeName};

/// Counts, so that a test knows what comes.
#[derive(Default)]
struct Counting(u8);

impl Identity for Counting {
    fn uuid(&mut self) -> Uuid {
        Uuid::from_u128(7)
    }
    fn mac(&mut self) -> MacAddress {
        self.0 += 1;
        MacAddress::for_guest([0, 0, self.0])
    }
}

fn read(text: &str) -> DomainDefinition {
    parse(text.as_bytes(), "x.toml", &mut Counting::default()).unwrap()
}

#[test]
fn two_lines_make_a_domain_and_the_rest_has_defaults() {
    let definition = read("name = \"node1\"\nmemory = \"512MiB\"");
    let expected = DomainDefinition {
        name: "node1".parse().unwrap(),
        uuid: Uuid::from_u128(7),
        memory: ByteSize::from_mib(512),
        max_memory: ByteSize::from_mib(512),
        vcpus: 1,
        accelerator: Accelerator::Auto,
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
        generation_id: Uuid::from_u128(7),
        autostart: None,
        boot: Boot {
            firmware: Firmware::Bios,
            order: vec![BootDevice::Disk, BootDevice::Cdrom],
            kernel: None,
            initrd: None,
            cmdline: None,
        },
        disks: Vec::new(),
        cards: Vec::new(),
        graphics: Graphics { kind: GraphicsKind::None },
    };
    assert_eq!(definition, expected);
}

#[test]
fn a_cdrom_is_read_only_and_on_sata_by_itself() {
    let definition = read(
        "name = \"n\"\nmemory = \"1G\"\n[[disk]]\nvolume = \"p/a\"\n[[disk]]\nvolume = \"p/b\"\ndevice = \"cdrom\"\n",
    );
    let kinds: Vec<_> = definition.disks.iter().map(|disk| (disk.device, disk.bus, disk.read_only)).collect();
    let expected = [(DiskDevice::Disk, DiskBus::Virtio, false), (DiskDevice::Cdrom, DiskBus::Sata, true)];
    assert_eq!(kinds, expected);
}

#[test]
fn made_addresses_differ_from_written_ones() {
    let definition = read(
        "name = \"n\"\nmemory = \"1G\"\n[[card]]\nnetwork = \"l\"\n[[card]]\nnetwork = \"l\"\nmac = \"52:54:00:00:00:01\"\n\
         [[card]]\nnetwork = \"l\"\n",
    );
    let macs: Vec<String> = definition.cards.iter().map(|card| card.mac.to_string()).collect();
    assert_eq!(macs, ["52:54:00:00:00:02", "52:54:00:00:00:01", "52:54:00:00:00:03"]);
}

#[test]
fn a_generator_that_repeats_itself_is_a_mistake_and_no_endless_loop() {
    struct Same;
    impl Identity for Same {
        fn uuid(&mut self) -> Uuid {
            Uuid::from_u128(1)
        }
        fn mac(&mut self) -> MacAddress {
            MacAddress::for_guest([1, 2, 3])
        }
    }
    let text = "name = \"n\"\nmemory = \"1G\"\n[[card]]\nnetwork = \"l\"\n[[card]]\nnetwork = \"l\"\n";
    let failure = parse(text.as_bytes(), "x.toml", &mut Same).unwrap_err();
    assert!(failure.causes[0].contains("no free MAC address"), "{failure:?}");
}

#[test]
fn random_addresses_are_of_guests() {
    let mac = RandomIdentity.mac();
    assert_eq!(mac.bytes()[..3], [0x52, 0x54, 0x00]);
    assert_ne!(RandomIdentity.uuid(), RandomIdentity.uuid());
}

#[test]
fn a_definition_is_shown_as_a_person_would_write_it() {
    let text = to_toml(&read(
        "name = \"node1\"\nmemory = \"1G\"\ncpu = \"max\"\n[[disk]]\nvolume = \"default/node1\"\n[[card]]\nnetwork = \"lab\"\naddress = \"10.77.0.5\"\n",
    ));
    insta::assert_snapshot!(text, @r#"
    name = "node1"
    uuid = "00000000-0000-0000-0000-000000000007"
    memory = "1GiB"
    max-memory = "1GiB"
    vcpus = 1
    accelerator = "auto"
    cpu = "max"
    on-poweroff = "destroy"
    on-reboot = "restart"
    on-crash = "restart"
    debug-exit = false
    protected = false
    generation-id = "00000000-0000-0000-0000-000000000007"

    [boot]
    firmware = "bios"
    order = ["disk", "cdrom"]

    [[disk]]
    volume = "default/node1"
    device = "disk"
    bus = "virtio"
    read-only = false

    [[card]]
    network = "lab"
    mac = "52:54:00:00:00:01"
    model = "virtio"
    address = "10.77.0.5"

    [graphics]
    kind = "none"
    "#);
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}"
}

fn one_of<T: crate::config::reader::Choice + std::fmt::Debug>() -> impl Strategy<Value = T> {
    prop::sample::select(T::WORDS.iter().map(|(_, choice)| *choice).collect::<Vec<_>>())
}

fn disk() -> impl Strategy<Value = Disk> {
    (name(), name(), one_of::<DiskDevice>(), one_of::<DiskBus>(), any::<bool>()).prop_map(
        |(pool, volume, device, bus, read_only)| Disk {
            volume: VolumeRef {
                pool: pool.parse::<PoolName>().unwrap(),
                volume: volume.parse::<VolumeName>().unwrap(),
            },
            device,
            bus: if device == DiskDevice::Cdrom { DiskBus::Sata } else { bus },
            read_only: device == DiskDevice::Cdrom || (read_only && bus == DiskBus::Virtio),
        },
    )
}

fn card() -> impl Strategy<Value = Card> {
    let limits = (one_of::<Spoofing>(), prop::option::of("([1-9][0-9]{2}Kbit|[1-9][0-9]?Gbit)"));
    (name(), any::<[u8; 3]>(), one_of::<CardModel>(), prop::option::of(any::<u16>()), limits).prop_map(
        |(network, mac, model, address, (spoofing, bandwidth))| Card {
            network: network.parse().unwrap(),
            mac: MacAddress::for_guest(mac),
            model,
            address: address.map(|low| Ipv4Addr::new(10, 1, (low >> 8) as u8, low as u8)),
            spoofing,
            bandwidth: bandwidth.map(|text| text.parse().unwrap()),
        },
    )
}

fn boot() -> impl Strategy<Value = Boot> {
    let kernel =
        ("/[a-z]{1,8}(/[a-zé .]{2,8}z){0,2}", prop::option::of("/[a-z]{1,8}"), prop::option::of("[ -~é]{0,40}"));
    let order = prop::sample::subsequence(vec![BootDevice::Disk, BootDevice::Cdrom], 1..=2).prop_shuffle();
    (one_of::<Firmware>(), order, prop::option::of(kernel)).prop_map(|(firmware, order, kernel)| match kernel {
        None => Boot { firmware, order, kernel: None, initrd: None, cmdline: None },
        Some((kernel, initrd, cmdline)) => {
            Boot { firmware, order, kernel: Some(kernel.into()), initrd: initrd.map(PathBuf::from), cmdline }
        }
    })
}

fn definition() -> impl Strategy<Value = DomainDefinition> {
    let machine = (name(), any::<u128>(), 1u64..=MEMORY_MAX.bytes() >> 20, any::<prop::sample::Index>(), 1..=VCPUS_MAX);
    let actions = (one_of::<Accelerator>(), one_of::<Action>(), one_of::<Action>(), one_of::<Action>(), any::<bool>());
    let devices = (
        boot(),
        prop::collection::vec(disk(), 0..=DISKS_MAX),
        prop::collection::vec(card(), 0..=CARDS_MAX),
        one_of::<GraphicsKind>(),
    );
    let cpu = prop::option::of("[a-zA-Z0-9][a-zA-Z0-9,+=_.-]{0,20}");
    (machine, actions, cpu, devices).prop_map(|(machine, actions, cpu, (boot, mut disks, mut cards, kind))| {
        let (name, uuid, mib, more, vcpus) = machine;
        let (accelerator, on_poweroff, on_reboot, on_crash, debug_exit) = actions;
        let mut volumes = std::collections::BTreeSet::new();
        disks.retain(|disk| volumes.insert(disk.volume.clone()));
        let mut macs = std::collections::BTreeSet::new();
        let mut addresses = std::collections::BTreeSet::new();
        cards.retain(|card| macs.insert(card.mac) && (card.address.is_none() || addresses.insert(card.address)));
        let most = MEMORY_MAX.bytes() >> 20;
        DomainDefinition {
            name: name.parse().unwrap(),
            uuid: Uuid::from_u128(uuid.max(1)),
            memory: ByteSize::from_mib(mib),
            max_memory: ByteSize::from_mib(mib + more.index((most - mib + 1) as usize) as u64),
            vcpus,
            accelerator,
            machine: None,
            cpu,
            on_poweroff,
            on_reboot,
            on_crash,
            on_storage_error: [None, Some(OnStorageError::Pause), Some(OnStorageError::Report)][usize::from(vcpus % 3)],
            debug_exit,
            protected: vcpus.is_multiple_of(2),
            description: vcpus.is_multiple_of(3).then(|| format!("{mib} \"é")),
            empty_drives: usize::from(vcpus % 5),
            generation_id: Uuid::from_u128(uuid.wrapping_add(u128::from(mib)).max(1)),
            autostart: debug_exit
                .then_some(Autostart { order: vcpus, delay: Span(std::time::Duration::from_millis(mib)) }),
            boot,
            disks,
            cards,
            graphics: Graphics { kind },
        }
    })
}

proptest! {
    #[test]
    fn a_definition_reads_back_as_itself(definition in definition()) {
        let text = to_toml(&definition);
        let again = parse(text.as_bytes(), "x.toml", &mut Counting::default());
        prop_assert_eq!(again, Ok(definition), "{}", text);
    }
}
