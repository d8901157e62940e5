//! Who may do what, as a table, and that a grant never takes anything away.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::config::policy::{ConnectionGrant, DirectoryGrant};
use crate::gate::operation::{
    Dhcp, DiskSource, DiskTarget, ForeignImage, HypervisorCommand, ImageFormat, Preallocation, Purpose,
};
use crate::types::{ByteSize, DiskFormat};

fn image(plugin: &str, directory: &str) -> ImageRef {
    ImageRef { plugin: plugin.parse().unwrap(), directory: directory.parse().unwrap(), path: "a.img".parse().unwrap() }
}

fn foreign() -> ForeignImage {
    ForeignImage { path: PathBuf::from("/srv/old.img"), format: DiskFormat::Raw, part: None, checksum: None }
}

/// One of each operation, about plugin `p`'s directory `directory` and about `bridge`.
fn operations(plugin: &str, directory: &str, bridge: &str) -> Vec<Operation> {
    let image = image(plugin, directory);
    let id = image.plugin.clone();
    let name = image.directory.clone();
    let link: InterfaceName = bridge.parse().unwrap();
    let network = || "lab".parse().unwrap();
    let snapshot = || "s".parse().unwrap();
    let size = ByteSize::from_mib(1);
    vec![
        Operation::DirectoryOpen { plugin: id.clone(), directory: name.clone(), access: Access::ReadOnly },
        Operation::DirectoryOpen { plugin: id.clone(), directory: name.clone(), access: Access::ReadWrite },
        Operation::DirectorySpace { plugin: id, directory: name },
        Operation::ImageInspect { image: image.clone() },
        Operation::SnapshotList { image: image.clone() },
        Operation::ImageCreate {
            image: image.clone(),
            format: ImageFormat::Raw,
            size,
            preallocation: Preallocation::Sparse,
            backing: None,
        },
        Operation::ImageResize { image: image.clone(), size },
        Operation::ImageDelete { image: image.clone() },
        Operation::ImageRename { image: image.clone(), to: "b".parse().unwrap() },
        Operation::ImageCopy {
            image: image.clone(),
            snapshot: None,
            target: "b".parse().unwrap(),
            format: ImageFormat::Raw,
        },
        Operation::SnapshotCreate { image: image.clone(), snapshot: snapshot() },
        Operation::SnapshotDelete { image: image.clone(), snapshot: snapshot() },
        Operation::SnapshotRevert { image: image.clone(), snapshot: snapshot() },
        Operation::ImageOpen { image: image.clone(), format: ImageFormat::Raw, access: Access::ReadOnly },
        Operation::LinkList { network: network() },
        Operation::BridgeCreate { network: network(), bridge: link.clone(), stp: false, mtu: None, mac: None },
        Operation::BridgeAddress { network: network(), bridge: link.clone(), address: "10.0.0.1/24".parse().unwrap() },
        Operation::BridgeReach { network: network(), bridge: link.clone(), reach: Reach::HostOnly },
        Operation::DhcpServe {
            network: network(),
            bridge: link.clone(),
            dhcp: Dhcp {
                range_start: Ipv4Addr::new(10, 0, 0, 2),
                range_end: Ipv4Addr::new(10, 0, 0, 9),
                netmask: Ipv4Addr::new(255, 255, 255, 0),
                router: None,
                dns: vec![],
                domain: None,
                lease_seconds: 60,
                reservations: vec![],
            },
        },
        Operation::TapCreate {
            domain: "d".parse().unwrap(),
            tap: "t0".parse().unwrap(),
            bridge: link,
            mac: "52:54:00:00:00:01".parse().unwrap(),
            mtu: None,
            admit_address: None,
            spoofing: Default::default(),
            bandwidth: None,
        },
        Operation::HypervisorStart {
            domain: "d".parse().unwrap(),
            id: 1,
            command: HypervisorCommand {
                program: PathBuf::from("/bin/true"),
                arguments: vec![],
                host_network: false,
                kvm: false,
                userfaults: false,
                memory: size,
            },
        },
        Operation::ForeignInspect { source: foreign() },
        Operation::ForeignDetect { path: foreign().path },
        Operation::DiskCopy {
            from: DiskSource::File(foreign()),
            to: DiskTarget::Image { image, format: ImageFormat::Raw },
        },
    ]
}

fn policy(interfaces: &[HostInterface], directories: &[(&str, Access)], bridges: &[&str]) -> Policy {
    let grants = PluginGrants {
        interfaces: interfaces.to_vec(),
        directories: directories
            .iter()
            .map(|(name, access)| {
                (name.parse().unwrap(), DirectoryGrant { path: PathBuf::from("/srv"), access: *access })
            })
            .collect(),
        bridges: bridges.iter().map(|b| (*b).to_owned()).collect(),
        ..PluginGrants::default()
    };
    Policy { plugins: [("p".parse().unwrap(), grants)].into(), ..Policy::default() }
}

fn allowed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Allowed { .. })
}

/// Positions of what is allowed in [`operations`].
fn allowed_of(policy: &Policy, actor: &str, operations: &[Operation]) -> Vec<usize> {
    let actor = Actor::Plugin(actor.parse().unwrap());
    (0..operations.len()).filter(|i| allowed(&judge(policy, &actor, &operations[*i]))).collect()
}

#[test]
fn a_plugin_may_do_what_its_grants_say_and_no_more() {
    use HostInterface::{Bridges, Images};
    let own = operations("p", "images", "fief-lab");
    let reads = vec![0, 2, 3, 4];
    let all_images: Vec<usize> = (0..13).collect();
    let links: Vec<usize> = (14..19).collect();
    let cases: [(&str, Policy, Vec<usize>); 9] = [
        ("no policy", Policy::default(), vec![]),
        ("no grants", policy(&[], &[], &[]), vec![]),
        ("a directory alone", policy(&[], &[("images", Access::ReadWrite)], &[]), vec![0, 1]),
        ("the interface alone", policy(&[Images], &[], &["*"]), vec![]),
        ("another directory", policy(&[Images], &[("other", Access::ReadWrite)], &[]), vec![]),
        ("reading", policy(&[Images], &[("images", Access::ReadOnly)], &[]), reads),
        ("writing", policy(&[Images], &[("images", Access::ReadWrite)], &[]), all_images),
        ("links by pattern", policy(&[Bridges], &[], &["br0", "fief-*"]), links),
        ("links of another pattern", policy(&[Bridges], &[], &["fief-x*", "br*"]), vec![14]),
    ];
    for (case, policy, expected) in cases {
        assert_eq!(allowed_of(&policy, "p", &own), expected, "{case}");
    }
}

#[test]
fn no_grant_reaches_another_plugins_directory_or_the_hosts_own_acts() {
    use HostInterface::{Bridges, Images};
    let mut policy = policy(&[Images, Bridges], &[("images", Access::ReadWrite)], &["*"]);
    let grants = policy.plugins.values().next().unwrap().clone();
    policy.plugins.insert("q".parse().unwrap(), grants);
    let others = operations("q", "images", "b0");
    assert_eq!(allowed_of(&policy, "p", &others), (14..19).collect::<Vec<_>>());
    assert_eq!(allowed_of(&policy, "q", &others), [(0..13).collect::<Vec<_>>(), (14..19).collect()].concat());
}

#[test]
fn guests_leave_behind_a_link_only_where_that_link_is_granted() {
    let nat = |link: &str| Operation::BridgeReach {
        network: "lab".parse().unwrap(),
        bridge: "fief-lab".parse().unwrap(),
        reach: Reach::Nat(link.parse().unwrap()),
    };
    let actor = Actor::Plugin("p".parse().unwrap());
    let narrow = policy(&[HostInterface::Bridges], &[], &["fief-*"]);
    assert!(!allowed(&judge(&narrow, &actor, &nat("eth0"))));
    let wide = policy(&[HostInterface::Bridges], &[], &["fief-*", "eth0"]);
    assert!(allowed(&judge(&wide, &actor, &nat("eth0"))));
    assert!(!allowed(&judge(&wide, &actor, &nat("eth1"))));
}

#[test]
fn the_operator_may_do_all_where_policy_names_the_directory() {
    let named = policy(&[], &[("images", Access::ReadOnly)], &[]);
    for operation in operations("p", "images", "eth0") {
        assert!(allowed(&judge(&named, &Actor::Operator, &operation)), "{operation:?}");
    }
    let unnamed = operations("p", "nowhere", "eth0");
    let refused = unnamed.iter().filter(|o| !allowed(&judge(&named, &Actor::Operator, o))).count();
    assert_eq!(refused, 15);
}

/// Opening a connection and revealing a secret of plugin `p`.
fn beyond(server: &str) -> [Operation; 3] {
    let plugin: PluginId = "p".parse().unwrap();
    let settings = [("server".to_owned(), server.to_owned())].into();
    let (connection, pool) = ("server".parse().unwrap(), "nas".parse().unwrap());
    let to = ConnectionRef { plugin: plugin.clone(), connection, pool, settings };
    let pool = "nas".parse().unwrap();
    [
        Operation::ConnectionOpen { to: to.clone(), purpose: Purpose::Ask },
        Operation::ConnectionResolve { to },
        Operation::SecretReveal { plugin, pool, secret: "key".parse().unwrap() },
    ]
}

#[test]
fn streams_and_secrets_are_had_by_name_and_by_their_own_plugin_alone() {
    let grants = PluginGrants {
        connections: [("server".parse().unwrap(), ConnectionGrant::new("{server}:80".parse().unwrap()))].into(),
        secrets: vec!["key".parse().unwrap()],
        ..PluginGrants::default()
    };
    let mut granted = Policy { plugins: [("p".parse().unwrap(), grants.clone())].into(), ..Policy::default() };
    granted.plugins.insert("q".parse().unwrap(), grants);
    let (own, other) = (Actor::Plugin("p".parse().unwrap()), Actor::Plugin("q".parse().unwrap()));
    let none = policy(&[HostInterface::Images], &[("images", Access::ReadWrite)], &["*"]);
    for operation in beyond("10.0.0.5") {
        assert!(allowed(&judge(&granted, &own, &operation)), "{operation:?}");
        assert!(!allowed(&judge(&granted, &other, &operation)), "{operation:?}");
        // Not even for a hypervisor does the host take what the plugin itself could not have.
        for actor in [&own, &other, &Actor::Operator] {
            assert!(!allowed(&judge(&none, actor, &operation)), "{actor:?} {operation:?}");
        }
        assert!(allowed(&judge(&granted, &Actor::Operator, &operation)), "{operation:?}");
    }
    for server in ["10.0.0.5:22", "", "a b"] {
        let verdict = judge(&granted, &own, &beyond(server)[0]);
        assert!(matches!(&verdict, Verdict::Denied { reason, .. } if reason.contains("leads nowhere")), "{verdict:?}");
    }
    let Verdict::Allowed { because } = judge(&granted, &own, &beyond("10.0.0.5")[0]) else { panic!("denied") };
    assert_eq!(because, "plugins.p.connections \"server\" to {server}:80, which is 10.0.0.5:80 here");
    for host in [
        Operation::SecretSet { secret: "key".parse().unwrap() },
        Operation::SecretDelete { secret: "key".parse().unwrap() },
        Operation::PeerInvite { invitation: "00".to_owned(), name: None, until: 1 },
        Operation::PeerForget { peer: "b".parse().unwrap() },
        Operation::PolicyEdit { plugin: "p".parse().unwrap(), edits: Vec::new() },
    ] {
        assert!(!allowed(&judge(&granted, &own, &host)) && allowed(&judge(&none, &Actor::Operator, &host)));
    }
}

#[test]
fn a_verdict_names_the_line_of_policy_or_what_to_write() {
    let writing = policy(&[HostInterface::Images], &[("images", Access::ReadWrite)], &[]);
    let reading = policy(&[HostInterface::Images], &[("images", Access::ReadOnly)], &[]);
    let actor = Actor::Plugin("p".parse().unwrap());
    let delete = Operation::ImageDelete { image: image("p", "images") };
    let because = "plugins.p.directories \"images\" (read-write)".to_owned();
    assert_eq!(judge(&writing, &actor, &delete), Verdict::Allowed { because });
    let Verdict::Denied { reason, hint } = judge(&reading, &actor, &delete) else { panic!("allowed") };
    assert_eq!(reason, "plugin p may only read the directory \"images\"");
    assert!(hint.contains("access = \"read-write\"") && hint.contains("[plugins.p]"), "{hint}");
}

#[test]
fn a_star_stands_for_any_run_of_characters() {
    for (pattern, name) in
        [("*", "x"), ("fief-*", "fief-"), ("fief-*", "fief-a"), ("*0", "br00"), ("a*b*c", "abbc"), ("a", "a")]
    {
        assert!(matches(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in [("", "x"), ("fief-*", "fief"), ("*0", "br1"), ("a*b*c", "acb"), ("a", "ab"), ("?", "x")] {
        assert!(!matches(pattern, name), "{pattern} {name}");
    }
}

fn grants() -> impl Strategy<Value = PluginGrants> {
    let interface = prop_oneof![Just(HostInterface::Images), Just(HostInterface::Bridges)];
    let access = prop_oneof![Just(Access::ReadOnly), Just(Access::ReadWrite)];
    let directory = ("[ab]", access);
    (
        proptest::collection::vec(interface, 0..3),
        proptest::collection::vec(directory, 0..3),
        proptest::collection::vec("[ab*]{1,3}", 0..3),
    )
        .prop_map(|(interfaces, directories, bridges)| PluginGrants {
            interfaces,
            directories: directories
                .into_iter()
                .map(|(name, access)| (name.parse().unwrap(), DirectoryGrant { path: PathBuf::from("/srv"), access }))
                .collect(),
            bridges,
            ..PluginGrants::default()
        })
}

/// What both grant, together.
fn together(first: &PluginGrants, second: &PluginGrants) -> PluginGrants {
    let mut all = first.clone();
    all.interfaces.extend(&second.interfaces);
    all.bridges.extend(second.bridges.clone());
    for (name, grant) in &second.directories {
        let entry = all.directories.entry(name.clone()).or_insert_with(|| grant.clone());
        if grant.access == Access::ReadWrite {
            entry.access = Access::ReadWrite;
        }
    }
    all
}

proptest! {
    #[test]
    fn more_grants_never_deny_what_was_allowed(
        first in grants(), second in grants(), directory in "[ab]", bridge in "[ab]{1,3}", owner in "[pq]",
    ) {
        let of = |grants: &PluginGrants| Policy {
            plugins: [("p".parse().unwrap(), grants.clone())].into(),
            ..Policy::default()
        };
        let (less, more) = (of(&first), of(&together(&first, &second)));
        for operation in operations(&owner, &directory, &bridge) {
            for actor in [Actor::Operator, Actor::Plugin("p".parse().unwrap())] {
                if allowed(&judge(&less, &actor, &operation)) {
                    prop_assert!(allowed(&judge(&more, &actor, &operation)), "{:?}", operation);
                }
            }
        }
    }

    #[test]
    fn the_matcher_agrees_with_the_plain_definition(pattern in "[ab*]{0,6}", name in "[ab]{0,8}") {
        fn plain(pattern: &[u8], name: &[u8]) -> bool {
            match pattern.split_first() {
                None => name.is_empty(),
                Some((b'*', rest)) => (0..=name.len()).any(|taken| plain(rest, &name[taken..])),
                Some((byte, rest)) => name.first() == Some(byte) && plain(rest, &name[1..]),
            }
        }
        prop_assert_eq!(matches(&pattern, &name), plain(pattern.as_bytes(), name.as_bytes()));
    }
}
