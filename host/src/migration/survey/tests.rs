use super::*;
use crate::gate::operation::ImageFormat;
use crate::migration::plan::{NetworkFacts, PluginFacts, Taken};
use crate::types::Digest;

fn subject() -> Subject {
    Subject {
        domain: "node1".parse().unwrap(),
        uuid: Uuid::from_u128(1),
        power: Power::Running,
        accelerator: Accelerator::Auto,
        macs: vec!["52:54:00:00:00:01".parse().unwrap()],
        networks: ["lan".parse().unwrap()].into(),
        volumes: ["nas/node1".parse().unwrap()].into(),
        plugins: ["storage-nfs".parse().unwrap()].into(),
        files: ["/boot/vmlinuz".to_owned()].into(),
    }
}

fn told() -> Told {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<String>>();
    let host = HostFacts {
        host: Uuid::from_u128(2),
        name: "hostb".into(),
        architecture: "x86_64".into(),
        hypervisor: "qemu".into(),
        hypervisor_version: "7.2.22".into(),
        accelerated: false,
        machines: words("pc-q35-7.2 q35"),
        cpu_vendor: "GenuineIntel".into(),
        cpu_models: words("max"),
        cpu_features: words("sse2 avx"),
        uefi: true,
        memory_available: Some(ByteSize::from_mib(100)),
        networks: vec![NetworkFacts {
            name: "lan".parse().unwrap(),
            plugin: Some("network-bridge".parse().unwrap()),
            up: Some(true),
            reaches_out: Some(true),
            mtu: Some(1500),
            subnets: words("10.0.0.0/24"),
        }],
        plugins: vec![PluginFacts { id: "storage-nfs".parse().unwrap(), digest: Digest::of(b"") }],
        domains: vec![],
        denial: None,
    };
    let there = VolumeThere {
        volume: "nas/node1".parse().unwrap(),
        plugin: Some("storage-nfs".parse().unwrap()),
        identity: Some("fsid".into()),
        reachable: true,
        room: Some(ByteSize::from_mib(5)),
        exists: true,
    };
    Told { host, volumes: vec![there], files: BTreeSet::new() }
}

#[test]
fn an_answer_travels_and_is_believed_as_far_as_it_is_one() {
    let json = serde_json::to_value(told()).unwrap();
    let heard: Told = serde_json::from_value(json).unwrap();
    assert_eq!(heard.checked(&subject(), &"hostb").unwrap(), told());
}

/// What a host that is not well, or means no good, may say.
#[test]
fn what_goes_past_the_question_or_has_no_end_is_not_believed() {
    let taken = |name: &str, uuid, mac: &str| Taken {
        name: name.parse().unwrap(),
        uuid: Uuid::from_u128(uuid),
        macs: vec![mac.parse().unwrap()],
    };
    let (own, other) = ("52:54:00:00:00:01", "52:54:00:00:00:09");
    for (name, uuid, mac) in [("Node1", 7, other), ("x", 1, other), ("x", 7, own)] {
        let mut good = told();
        good.host.domains.push(taken(name, uuid, mac));
        assert!(good.checked(&subject(), &"b").is_ok(), "{name}");
    }
    type Bad<'a> = (&'a str, &'a dyn Fn(&mut Told));
    let bad: &[Bad<'_>] = &[
        ("lists", &|t| t.host.machines = (0..=WORDS_MAX).map(|n| n.to_string()).collect()),
        ("words", &|t| {
            t.host.cpu_features.insert("a\u{1b}[2J".into());
        }),
        ("words", &|t| t.host.name = "b".repeat(WORD_MAX + 1)),
        ("words", &|t| t.host.hypervisor_version = "7\n2".into()),
        ("texts", &|t| t.host.denial = Some("no".repeat(TEXT_MAX))),
        ("texts", &|t| t.volumes[0].identity = Some("i".repeat(TEXT_MAX + 1))),
        ("networks", &|t| t.host.networks[0].name = "other".parse().unwrap()),
        ("networks", &|t| t.host.networks.push(t.host.networks[0].clone())),
        ("subnets", &|t| {
            t.host.networks[0].subnets.insert("\u{202e}".into());
        }),
        ("volumes", &|t| t.volumes[0].volume = "nas/other".parse().unwrap()),
        ("volumes", &|t| t.volumes.push(t.volumes[0].clone())),
        ("files", &|t| {
            t.files.insert("/etc/shadow".into());
        }),
        ("plugins", &|t| t.host.plugins = vec![t.host.plugins[0].clone(); 2 * PLUGINS_MAX + 1]),
        ("domains", &|t| t.host.domains.push(taken("x", 7, other))),
        ("domains", &|t| t.host.domains = vec![taken("x", 1, own); 3 + CARDS_MAX]),
        ("cards", &|t| {
            t.host.domains.push(Taken { macs: vec![own.parse().unwrap(); CARDS_MAX + 1], ..taken("x", 1, own) });
        }),
    ];
    for (part, change) in bad {
        let mut told = told();
        change(&mut told);
        let failure = told.checked(&subject(), &"b").unwrap_err();
        assert!(failure.kind == Kind::Unreachable && failure.message.contains(part), "{part}: {failure}");
        assert!(!failure.message.contains('\u{1b}'));
    }
}

#[test]
fn a_question_or_answer_with_other_words_is_none() {
    let mut json = serde_json::to_value(Ask::Survey(Box::new(subject()))).unwrap();
    assert!(serde_json::from_value::<Ask>(json.clone()).is_ok());
    json["survey"]["and"] = 1.into();
    assert!(serde_json::from_value::<Ask>(json.clone()).is_err());
    for (pointer, value) in [
        ("/survey/domain", serde_json::json!("../x")),
        ("/survey/volumes", serde_json::json!(["a"])),
        ("/survey/macs", serde_json::json!(["no"])),
        ("/survey/power", serde_json::json!("on")),
    ] {
        let mut json = serde_json::to_value(Ask::Survey(Box::new(subject()))).unwrap();
        *json.pointer_mut(pointer).unwrap() = value;
        assert!(serde_json::from_value::<Ask>(json).is_err(), "{pointer}");
    }
    for pointer in ["", "/host", "/host/networks/0", "/host/plugins/0", "/volumes/0"] {
        let mut json = serde_json::to_value(told()).unwrap();
        json.pointer_mut(pointer).unwrap()["and"] = 1.into();
        assert!(serde_json::from_value::<Told>(json).is_err(), "{pointer}");
    }
}

#[test]
fn a_question_has_no_more_than_a_domain_can_have() {
    assert!(subject().check().is_ok());
    let many = |n: usize| (0..n).map(|n| format!("x{n}"));
    for subject in [
        Subject { macs: vec![subject().macs[0]; CARDS_MAX + 1], ..subject() },
        Subject { networks: many(CARDS_MAX + 1).map(|n| n.parse().unwrap()).collect(), ..subject() },
        Subject { volumes: many(DISKS_MAX + 1).map(|n| format!("p/{n}").parse().unwrap()).collect(), ..subject() },
        Subject { plugins: many(PLUGINS_MAX + 1).map(|n| n.parse().unwrap()).collect(), ..subject() },
        Subject { files: many(3).map(|n| format!("/{n}")).collect(), ..subject() },
        Subject { files: ["etc/shadow".to_owned()].into(), ..subject() },
    ] {
        assert_eq!(subject.check().unwrap_err().kind, Kind::Usage);
    }
}

#[test]
fn a_disk_is_claimed_to_be_the_same_by_identity_and_nothing_else() {
    let mut disk = DiskFacts {
        volume: "nas/node1".parse().unwrap(),
        disc: false,
        size: ByteSize::from_mib(1),
        format: ImageFormat::Raw,
        allocated: ByteSize::from_mib(1),
        sameness: Sameness::Unknown,
        pool_there: false,
        room_there: None,
        exists_there: false,
        snapshots: Vec::new(),
        snapshots_there: false,
    };
    for (here, sameness) in [
        (Some(("fsid", true)), Sameness::Claimed),
        (Some(("fsid", false)), Sameness::Other),
        (Some(("other", true)), Sameness::Other),
        (None, Sameness::Unknown),
    ] {
        told().place(&mut disk, here);
        assert!(disk.pool_there && disk.exists_there && disk.room_there.is_some());
        assert_eq!(disk.sameness, sameness);
    }
    disk.volume = "local/node1".parse().unwrap();
    told().place(&mut disk, Some(("fsid", true)));
    assert!(!disk.pool_there && !disk.exists_there && disk.sameness == Sameness::Unknown);
}

#[test]
fn what_serves_the_domain_here_is_needed_there_unless_another_does() {
    let id = |text: &str| text.parse::<PluginId>().unwrap();
    let disks = [("nas/node1".parse().unwrap(), id("storage-nfs"))];
    let cards = [("lan".parse().unwrap(), id("network-host-only"))];
    let needed = told().needed(&disks, &cards);
    assert_eq!(
        needed,
        [id("network-host-only"), id("storage-nfs")].into(),
        "network-bridge is named, and not installed"
    );
    let mut told = told();
    told.host.plugins.push(PluginFacts { id: id("network-bridge"), digest: Digest::of(b"") });
    assert_eq!(told.needed(&disks, &cards), [id("storage-nfs")].into());
}
