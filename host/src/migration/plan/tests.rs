use super::*;
use crate::gate::operation::{ImageFormat, ImageSnapshot};
use crate::types::VolumeRef;

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn host(number: u128, name: &str) -> HostFacts {
    HostFacts {
        host: Uuid::from_u128(number),
        name: name.into(),
        architecture: "x86_64".into(),
        hypervisor: "qemu".into(),
        hypervisor_version: "7.2.22".into(),
        accelerated: true,
        machines: set(&["pc-q35-7.1", "pc-q35-7.2"]),
        cpu_vendor: "GenuineIntel".into(),
        cpu_models: set(&["Broadwell", "host"]),
        cpu_features: set(&["avx", "avx2", "sse4.2"]),
        uefi: true,
        memory_available: Some(ByteSize::from_mib(4096)),
        networks: vec![NetworkFacts {
            name: "lan".parse().unwrap(),
            plugin: Some("network-bridge".parse().unwrap()),
            up: Some(true),
            reaches_out: Some(true),
            mtu: Some(1500),
            subnets: set(&["10.0.0.0/24"]),
        }],
        plugins: vec![PluginFacts { id: "storage-nfs".parse().unwrap(), digest: Digest::of(b"one") }],
        domains: vec![Taken { name: "other".parse().unwrap(), uuid: Uuid::from_u128(0xee), macs: vec![mac(9)] }],
        denial: None,
    }
}

fn mac(last: u8) -> MacAddress {
    format!("52:54:00:00:00:{last:02x}").parse().unwrap()
}

fn disk(volume: &str) -> DiskFacts {
    DiskFacts {
        volume: volume.parse::<VolumeRef>().unwrap(),
        disc: false,
        size: ByteSize::from_mib(2048),
        format: ImageFormat::Raw,
        allocated: ByteSize::from_mib(700),
        sameness: Sameness::Proven,
        pool_there: true,
        room_there: Some(ByteSize::from_mib(1024)),
        exists_there: true,
        snapshots: vec![],
        snapshots_there: true,
    }
}

/// A disk's snapshot.
fn before(mib: u64) -> DiskSnapshot {
    let (name, size) = ("before".to_owned(), ByteSize::from_mib(mib));
    let inside = Some(ImageSnapshot { name: name.clone(), created: 7, nanos: 0, size });
    DiskSnapshot { name, inside }
}

/// A domain that can move live.
fn facts() -> Facts {
    let domain = DomainFacts {
        name: "node1".parse().unwrap(),
        uuid: Uuid::from_u128(0xd0),
        power: Power::Running,
        memory: ByteSize::from_mib(512),
        machine: "pc-q35-7.2".into(),
        cpu_model: "Broadwell".into(),
        cpu_features: set(&["avx", "sse4.2"]),
        disks: vec![disk("nfs/node1")],
        cards: vec![CardFacts { network: "lan".parse().unwrap(), mac: mac(1) }],
        uefi: false,
        host_files: vec![],
        host_devices: vec![],
        saved: None,
        snapshots: vec!["before".into()],
        plugins: vec!["storage-nfs".parse().unwrap()],
    };
    let manner = Manner {
        copies_volumes: false,
        ejects: false,
        leaves_snapshots: false,
        unheard_of: BTreeSet::new(),
        postcopy: None,
    };
    Facts { domain, source: host(1, "hosta"), target: host(2, "hostb"), manner }
}

/// The same by software, which shows all that it can.
fn software() -> Facts {
    let mut facts = facts();
    facts.domain.cpu_model = "max".into();
    for host in [&mut facts.source, &mut facts.target] {
        host.accelerated = false;
        host.cpu_models.insert("max".into());
    }
    facts
}

/// The same for one whose volumes go along.
fn copying() -> Facts {
    let mut facts = facts();
    facts.manner.copies_volumes = true;
    facts.domain.snapshots.clear();
    let snapshots = vec![before(2048)];
    facts.domain.disks[0] =
        DiskFacts { sameness: Sameness::Other, exists_there: false, snapshots, ..disk("default/node1") };
    facts
}

type Case = (&'static str, Severity, fn() -> Facts, fn(&mut Facts));

/// What is changed, and the one finding that comes of it.
const CASES: &[Case] = &[
    ("same-host", Severity::Blocker, facts, |f| f.target.host = f.source.host),
    ("architecture", Severity::Blocker, facts, |f| f.target.architecture = "aarch64".into()),
    ("hypervisor", Severity::Blocker, facts, |f| f.target.hypervisor = "xen".into()),
    ("hypervisor-version", Severity::Warning, facts, |f| f.target.hypervisor_version = "7.2.9".into()),
    ("machine", Severity::Blocker, facts, |f| f.target.machines.retain(|machine| machine != "pc-q35-7.2")),
    ("accelerator", Severity::Blocker, facts, |f| f.target.accelerated = false),
    ("cpu-features", Severity::Blocker, facts, |f| f.target.cpu_features.retain(|feature| feature != "avx")),
    ("cpu-model", Severity::Blocker, facts, |f| f.domain.cpu_model = "Cascadelake".into()),
    ("cpu-max", Severity::Blocker, software, |f| f.target.hypervisor_version = "8.0.1".into()),
    ("cpu-vendor", Severity::Blocker, facts, |f| f.target.cpu_vendor = "AuthenticAMD".into()),
    ("memory", Severity::Blocker, facts, |f| f.target.memory_available = Some(ByteSize::from_mib(511))),
    ("memory-unknown", Severity::Warning, facts, |f| f.target.memory_available = None),
    ("network-missing", Severity::Blocker, facts, |f| f.target.networks.clear()),
    ("network-down", Severity::Warning, facts, |f| f.target.networks[0].up = Some(false)),
    ("network-unknown", Severity::Blocker, facts, |f| f.target.networks[0].up = None),
    ("network-inward", Severity::Warning, facts, |f| f.source.networks[0].reaches_out = Some(false)),
    ("network-subnet", Severity::Blocker, facts, |f| f.target.networks[0].subnets = set(&["10.0.1.0/24"])),
    ("network-mtu", Severity::Warning, facts, |f| f.source.networks[0].mtu = Some(9000)),
    ("pool-missing", Severity::Blocker, facts, |f| f.domain.disks[0].pool_there = false),
    ("storage-unproven", Severity::Blocker, facts, |f| f.domain.disks[0].sameness = Sameness::Claimed),
    ("storage-not-shared", Severity::Blocker, facts, |f| f.domain.disks[0].sameness = Sameness::Other),
    ("storage-away", Severity::Blocker, facts, |f| f.domain.disks[0].sameness = Sameness::Unknown),
    ("storage-unproven", Severity::Blocker, copying, |f| f.domain.disks[0].sameness = Sameness::Claimed),
    ("storage-away", Severity::Blocker, copying, |f| f.domain.disks[0].sameness = Sameness::Unknown),
    ("volume-exists", Severity::Blocker, copying, |f| f.domain.disks[0].exists_there = true),
    ("pool-room", Severity::Blocker, copying, |f| f.domain.disks[0].room_there = Some(ByteSize::from_mib(699))),
    ("pool-room-unknown", Severity::Warning, copying, |f| f.domain.disks[0].room_there = None),
    ("snapshot", Severity::Blocker, copying, |f| f.domain.disks[0].snapshots_there = false),
    ("snapshot", Severity::Blocker, copying, |f| f.domain.disks[0].snapshots[0].inside = None),
    ("snapshot", Severity::Blocker, copying, |f| f.domain.disks[0].snapshots[0] = before(2049)),
    ("snapshot", Severity::Blocker, copying, |f| f.domain.disks[0].snapshots = vec![before(1); 65]),
    ("snapshot-lost", Severity::Warning, copying, |f| {
        f.domain.disks[0].snapshots_there = false;
        f.manner.leaves_snapshots = true;
    }),
    ("cdrom", Severity::Blocker, facts, |f| {
        f.domain.disks.push(DiskFacts { disc: true, sameness: Sameness::Other, ..disk("default/installer") });
    }),
    ("host-device", Severity::Blocker, facts, |f| f.domain.host_devices.push("0000:03:00.0".into())),
    ("host-file", Severity::Blocker, facts, |f| {
        f.domain.host_files.push(FileFacts { path: "/boot/vmlinuz".into(), there: false });
    }),
    ("firmware", Severity::Blocker, facts, |f| (f.domain.uefi, f.target.uefi) = (true, false)),
    ("postcopy", Severity::Blocker, facts, |f| {
        f.manner.postcopy = Some(Postcopy { there: Some("its QEMU is too old".into()), ..Postcopy::default() });
    }),
    ("postcopy", Severity::Blocker, copying, |f| f.manner.postcopy = Some(Postcopy::default())),
    ("compress", Severity::Blocker, facts, |f| f.manner.unheard_of = BTreeSet::from([Unheard::Compress])),
    ("saved-state", Severity::Blocker, facts, |f| {
        (f.domain.power, f.domain.saved) = (Power::Off, Some("/srv/node1.state".into()));
    }),
    ("uuid-taken", Severity::Blocker, facts, |f| f.target.domains[0].uuid = f.domain.uuid),
    ("name-taken", Severity::Blocker, facts, |f| f.target.domains[0].name = "Node1".parse().unwrap()),
    ("mac-taken", Severity::Blocker, facts, |f| f.domain.cards[0].mac = mac(9)),
    ("plugin-missing", Severity::Blocker, facts, |f| f.target.plugins.clear()),
    ("plugin-differs", Severity::Warning, facts, |f| f.target.plugins[0].digest = Digest::of(b"two")),
    ("denied", Severity::Blocker, facts, |f| f.target.denial = Some("no peer may send here".into())),
    ("denied", Severity::Blocker, facts, |f| f.source.denial = Some("it is protected".into())),
];

fn codes(facts: &Facts) -> Vec<String> {
    plan(facts).into_iter().map(|finding| finding.code).collect()
}

/// Every code that is written in the checks.
fn written() -> BTreeSet<String> {
    let sources = [
        include_str!("../plan.rs"),
        include_str!("disks.rs"),
        include_str!("networks.rs"),
        include_str!("processor.rs"),
    ];
    let mut codes = BTreeSet::new();
    for source in sources {
        for call in ["found.blocker(", "found.warning("] {
            let after = source.split(call).skip(1);
            codes.extend(
                after.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned)),
            );
        }
    }
    codes
}

#[test]
fn the_operators_page_has_every_code_with_its_severity_and_each_has_a_case_here() {
    let page = include_str!("../../../../docs/moving.md");
    let mut told = BTreeSet::new();
    for line in page.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (Some(codes), Some(severity)) = (cells.next(), cells.next()) else { continue };
        if matches!(severity, "blocker" | "warning" | "note") {
            told.extend(codes.split(", ").map(|code| (code.trim_matches('`').to_owned(), severity.to_owned())));
        }
    }
    let word = |severity: Severity| serde_json::to_value(severity).unwrap().as_str().unwrap().to_owned();
    let cases: BTreeSet<(String, String)> =
        CASES.iter().map(|(code, severity, _, _)| ((*code).to_owned(), word(*severity))).collect();
    assert_eq!(told, cases);
    assert_eq!(written(), cases.into_iter().map(|(code, _)| code).collect());
}

#[test]
fn a_domain_that_can_move_has_no_findings() {
    assert_eq!(plan(&facts()), []);
    assert_eq!(plan(&copying()), []);
    assert_eq!(plan(&software()), []);
}

#[test]
fn each_thing_that_is_in_the_way_is_found_by_its_code_with_what_to_do() {
    for (code, severity, base, change) in CASES {
        let mut facts = base();
        change(&mut facts);
        let findings = plan(&facts);
        let [finding] = &findings[..] else { panic!("{code}: {findings:#?}") };
        assert_eq!((finding.code.as_str(), finding.severity), (*code, *severity), "{findings:#?}");
        assert!(!finding.object.is_empty() && !finding.message.is_empty(), "{code}");
        assert!(finding.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "{code}");
    }
}

#[test]
fn everything_is_found_at_once() {
    let mut all = facts();
    let wanted: BTreeSet<&str> = ["architecture", "machine", "memory", "cdrom", "mac-taken", "denied"].into();
    for (code, _, _, change) in CASES {
        if wanted.contains(code) {
            change(&mut all);
        }
    }
    let found = codes(&all);
    assert!(wanted.iter().all(|code| found.iter().any(|found| found == code)), "{found:?}");
}

#[test]
fn a_domain_that_is_off_takes_no_memory_along_and_needs_no_processor_like_its_own() {
    let mut off = facts();
    off.domain.power = Power::Off;
    off.target.accelerated = false;
    off.target.cpu_features.clear();
    off.target.memory_available = Some(ByteSize::from_mib(1));
    off.target.hypervisor_version = "6.0".into();
    off.target.networks[0].subnets = set(&["10.0.1.0/24"]);
    assert_eq!(plan(&off), []);
}

#[test]
fn a_disc_that_is_taken_out_is_in_nobodys_way() {
    let mut facts = facts();
    let disc = DiskFacts { disc: true, pool_there: false, sameness: Sameness::Other, ..disk("default/installer") };
    facts.domain.disks.push(disc);
    assert_eq!(codes(&facts), ["cdrom"]);
    facts.manner.ejects = true;
    assert_eq!(plan(&facts), []);
}

#[test]
fn a_volume_that_both_reach_stays_where_it_is_and_the_others_need_room_together() {
    let mut facts = copying();
    facts.domain.disks.push(disk("nfs/data"));
    assert_eq!(plan(&facts), []);
    let other = DiskFacts { sameness: Sameness::Other, exists_there: false, ..disk("default/data") };
    facts.domain.disks.push(other);
    assert_eq!(codes(&facts), ["pool-room"]);
    facts.domain.disks[2].volume = "tank/data".parse().unwrap();
    assert_eq!(plan(&facts), []);
}

#[test]
fn versions_go_by_their_numbers() {
    for (one, other, is_older) in [
        ("7.2.9", "7.2.22", true),
        ("7.2.22", "7.2.9", false),
        ("10.0", "9.2", false),
        ("9.2", "10.0", true),
        ("7.2", "7.2.22", false),
        ("7.2.22-debian", "7.2.22", false),
        ("", "7", false),
        ("many", "words", false),
    ] {
        assert_eq!(processor::older(one, other), is_older, "{one} {other}");
    }
}

#[test]
fn facts_travel() {
    let json = serde_json::to_string(&facts()).unwrap();
    assert_eq!(serde_json::from_str::<Facts>(&json).unwrap(), facts());
}

fn pace() -> Pace {
    use std::time::Duration;
    Pace {
        memory: 512 << 20,
        volumes: 0,
        bandwidth: 128 << 20,
        dirtied: 0,
        pause: Duration::from_millis(300),
        switch_over: Duration::from_millis(50),
    }
}

#[test]
fn a_move_takes_as_long_as_what_it_sends_and_a_guest_that_writes_more_stands_still_longer() {
    let idle = predict(pace()).unwrap();
    assert_eq!((idle.sent, idle.total.as_millis(), idle.pause.as_millis(), idle.rounds), (512 << 20, 4050, 50, 2));
    assert!(idle.converges);

    let busy = predict(Pace { dirtied: 64 << 20, ..pace() }).unwrap();
    assert!(busy.converges && busy.rounds > idle.rounds && busy.sent > idle.sent && busy.pause >= idle.pause);
    assert!(busy.pause <= pace().pause + pace().switch_over);

    let wild = predict(Pace { dirtied: 200 << 20, ..pace() }).unwrap();
    assert!(!wild.converges && wild.pause > pace().pause);

    let copying = predict(Pace { volumes: 1 << 30, ..pace() }).unwrap();
    assert_eq!(copying.sent, (1 << 30) + (512 << 20));
    assert_eq!(predict(Pace { bandwidth: 0, ..pace() }), None);
    // However absurd the figures are, they give an answer.
    let absurd = Pace { memory: u64::MAX, volumes: u64::MAX, bandwidth: 1, dirtied: u64::MAX, ..pace() };
    assert!(!predict(absurd).unwrap().converges);
}
