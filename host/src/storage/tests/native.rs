//! What a plugin says of servers, held against policy and the pool's settings.

use super::*;
use crate::config::policy::ConnectionGrant;

/// A pool whose settings are these, of a plugin that is granted `{server}:{port}` and the secret `san`.
fn attached(settings: &[(&str, &str)], attachment: &Attachment) -> Result<BlockSource> {
    let root = tempfile::tempdir().unwrap();
    let grants = PluginGrants {
        connections: [("server".parse().unwrap(), ConnectionGrant::new("{server}:{port}".parse().unwrap()))].into(),
        secrets: vec!["san".parse().unwrap()],
        ..PluginGrants::default()
    };
    let plugins = [("storage-file".parse().unwrap(), grants)].into();
    let policy = Policy { plugins, ..Policy::default() };
    let gate = Gate::new(Layout::new(root.path()), Arc::new(policy), Mode::Perform);
    std::fs::create_dir(root.path().join("secrets")).unwrap();
    for name in ["san", "other"] {
        std::fs::write(root.path().join("secrets").join(name), "canary-4711").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(root.path().join("secrets").join(name), mode).unwrap();
    }
    let attachment = attachment.clone();
    let mut pool = scripted(&gate, Box::new(move |_, _, _| Ok(Return::Attachment(attachment.clone()))));
    pool.settings = Some(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    let attached = pool.attach(&"a".parse().unwrap(), AttachAccess::ReadOnly);
    let audit = std::fs::read_to_string(gate.layout().audit()).unwrap_or_default();
    assert!(!audit.contains("canary") && !format!("{attached:?}").contains("canary"));
    attached
}

fn kind(settings: &[(&str, &str)], attachment: Attachment) -> Option<Kind> {
    attached(settings, &attachment).err().map(|failure| failure.kind)
}

fn nfs(change: impl FnOnce(&mut String, &mut Option<u16>, &mut String, &mut String)) -> Attachment {
    let (mut server, mut port) = ("192.0.2.7".to_owned(), None);
    let (mut share, mut path) = ("/export/vm".to_owned(), "sub/a.qcow2".to_owned());
    change(&mut server, &mut port, &mut share, &mut path);
    Attachment::Nfs { server, port, share, path, format: ImageFormat::Qcow2 }
}

const NFS: &[(&str, &str)] = &[("server", "192.0.2.7"), ("port", "2049"), ("share", "/export/vm"), ("uid", "7")];

#[test]
fn an_nfs_server_is_the_pools_own_and_its_share_too() {
    let source = attached(NFS, &nfs(|_, _, _, _| {})).unwrap();
    let Way::Nfs(disk) = source.way else { panic!("another way") };
    assert_eq!((disk.server.as_str(), disk.user, disk.group, source.read_only), ("192.0.2.7", Some(7), None, true));
    assert_eq!(kind(NFS, nfs(|_, port, _, _| *port = Some(2049))), None);
    for (attachment, wanted) in [
        (nfs(|server, _, _, _| *server = "192.0.2.8".into()), Kind::Denied),
        (nfs(|server, _, _, _| *server = "127.0.0.1".into()), Kind::Denied),
        (nfs(|server, _, _, _| *server = "192.0.2.7:22".into()), Kind::PluginFault),
        (nfs(|server, _, _, _| *server = "a b".into()), Kind::PluginFault),
        (nfs(|_, port, _, _| *port = Some(22)), Kind::Usage),
        (nfs(|_, _, share, _| *share = "/export".into()), Kind::Denied),
        (nfs(|_, _, share, _| *share = "/export/vm/../..".into()), Kind::PluginFault),
        (nfs(|_, _, share, _| *share = "/export/vm?uid=0".into()), Kind::PluginFault),
        (nfs(|_, _, share, _| *share = "export".into()), Kind::PluginFault),
        (nfs(|_, _, _, path| *path = "../other/a".into()), Kind::PluginFault),
        (nfs(|_, _, _, path| *path = "/etc/passwd".into()), Kind::PluginFault),
    ] {
        assert_eq!(kind(NFS, attachment.clone()), Some(wanted), "{attachment:?}");
    }
    let elsewhere = &[("server", "192.0.2.7"), ("port", "111"), ("share", "/export/vm")];
    assert_eq!(kind(elsewhere, nfs(|_, _, _, _| {})), Some(Kind::Denied));
    assert_eq!(kind(&NFS[..2], nfs(|_, _, _, _| {})), Some(Kind::Denied));
    let inward = &[("server", "127.0.0.1"), ("port", "2049"), ("share", "/export/vm")];
    assert_eq!(kind(inward, nfs(|server, _, _, _| *server = "127.0.0.1".into())), Some(Kind::Denied));
}

fn iscsi(portal: &str, target: &str, lun: u32, login: (Option<&str>, Option<&str>)) -> Attachment {
    let (user, password) = (login.0.map(str::to_owned), login.1.map(str::to_owned));
    let (portal, target) = (portal.into(), target.into());
    Attachment::Iscsi { portal, target, lun, initiator: Some(INITIATOR.into()), header_digest: true, user, password }
}

const INITIATOR: &str = "iqn.2026-01.fief:host";
const TARGET: &str = "iqn.2024-01.test:disk1";
const ISCSI: &[(&str, &str)] = &[("server", "192.0.2.8"), ("port", "3260"), ("target", TARGET), ("password", "san")];

#[test]
fn a_target_that_has_to_prove_itself_is_not_left_to_a_client_that_does_not_ask() {
    for key in ["mutual-user", "mutual-password"] {
        let settings = [ISCSI, &[(key, "san")]].concat();
        let failure = attached(&settings, &iscsi("192.0.2.8", TARGET, 1, (None, None))).unwrap_err();
        assert_eq!(failure.kind, Kind::Denied);
        assert!(
            failure.to_string().contains(key) && failure.hint.iter().any(|hint| hint.contains("served")),
            "{failure:?}"
        );
    }
}

#[test]
fn an_iscsi_target_is_the_pools_own_and_its_password_too() {
    let login = (Some("alice"), Some("san"));
    let source = attached(ISCSI, &iscsi("192.0.2.8:3260", TARGET, 1, login)).unwrap();
    let Way::Iscsi(disk) = source.way else { panic!("another way") };
    assert_eq!((disk.portal.as_str(), disk.lun, disk.header_digest), ("192.0.2.8:3260", 1, true));
    assert_eq!(disk.initiator.as_deref(), Some(INITIATOR));
    assert_eq!(disk.login.unwrap().password.reveal(), b"canary-4711");
    assert_eq!(kind(ISCSI, iscsi("192.0.2.8", TARGET, 1, (None, None))), None);
    // A pool that names no target is all that its portal has.
    assert_eq!(kind(&ISCSI[..2], iscsi("192.0.2.8", "iqn.2024-01.test:disk9", 1, (None, None))), None);
    for (attachment, wanted) in [
        (iscsi("192.0.2.9:3260", TARGET, 1, login), Kind::Denied),
        (iscsi("192.0.2.8:22", TARGET, 1, login), Kind::Denied),
        (iscsi("192.0.2.8:3260,1", TARGET, 1, login), Kind::PluginFault),
        (iscsi("192.0.2.8", "iqn.2024-01.test:disk2", 1, login), Kind::Denied),
        (iscsi("192.0.2.8", "disk1/1?x", 1, login), Kind::PluginFault),
        (iscsi("192.0.2.8", TARGET, 70_000, login), Kind::PluginFault),
        (iscsi("192.0.2.8", TARGET, 1, (Some("alice"), Some("other"))), Kind::Denied),
        (iscsi("192.0.2.8", TARGET, 1, (Some("alice"), Some("../san"))), Kind::PluginFault),
        (iscsi("192.0.2.8", TARGET, 1, (Some("alice"), None)), Kind::PluginFault),
        (iscsi("192.0.2.8", TARGET, 1, (Some("a\nb"), Some("san"))), Kind::PluginFault),
    ] {
        assert_eq!(kind(ISCSI, attachment.clone()), Some(wanted), "{attachment:?}");
    }
    // Named by the pool, and not granted to its plugin.
    let ungranted = &[("server", "192.0.2.8"), ("port", "3260"), ("password", "other")];
    let attachment = iscsi("192.0.2.8", TARGET, 1, (Some("alice"), Some("other")));
    assert_eq!(kind(ungranted, attachment), Some(Kind::Denied));
    let mut nameless = iscsi("192.0.2.8", TARGET, 1, (None, None));
    if let Attachment::Iscsi { initiator, .. } = &mut nameless {
        *initiator = Some("host1".into());
    }
    assert_eq!(kind(ISCSI, nameless), Some(Kind::PluginFault));
}

#[test]
fn an_nbd_server_is_one_that_is_granted() {
    let settings = &[("server", "192.0.2.9"), ("port", "10809")];
    let nbd = |address: &str, export: &str| Attachment::Nbd { address: address.into(), export: export.into() };
    assert_eq!(kind(settings, nbd("192.0.2.9:10809", "a")), None);
    assert_eq!(kind(settings, nbd("192.0.2.9:10810", "a")), Some(Kind::Denied));
    assert_eq!(kind(settings, nbd("192.0.2.9", "a")), Some(Kind::PluginFault));
    assert_eq!(kind(settings, nbd("/run/other.sock", "a")), Some(Kind::PluginFault));
    assert_eq!(kind(settings, nbd("192.0.2.9:10809", "a\0")), Some(Kind::PluginFault));
}

/// A plugin that goes natively where it is asked for that, and says `answer` where it is left open.
fn left_open(settings: &'static [(&str, &str)], answer: Result<Attachment>) -> Pool {
    let root = tempfile::tempdir().unwrap();
    let grants = PluginGrants {
        connections: [("server".parse().unwrap(), ConnectionGrant::new("{server}:{port}".parse().unwrap()))].into(),
        ..PluginGrants::default()
    };
    let plugins = [("storage-file".parse().unwrap(), grants)].into();
    let policy = Policy { plugins, ..Policy::default() };
    let gate = Gate::new(Layout::new(root.path()), Arc::new(policy), Mode::Perform);
    let mut pool = scripted(
        &gate,
        Box::new(move |_, _, call| {
            let Call::Storage { settings, function, .. } = call else { panic!("{call:?}") };
            let transport = settings.iter().find(|(key, _)| key == "transport").map(|(_, value)| value.as_str());
            match (function, transport) {
                (StorageCall::Attach { .. }, Some("auto")) => answer.clone().map(Return::Attachment),
                (StorageCall::Attach { .. }, Some("native")) => Ok(Return::Attachment(nfs(|_, _, _, _| {}))),
                (StorageCall::Attach { .. }, Some("served")) => Ok(Return::Attachment(Attachment::Served)),
                (StorageCall::Find { name }, _) => Ok(Return::Volume(facts(&name, 1 << 20))),
                other => panic!("{other:?}"),
            }
        }),
    );
    pool.settings = Some(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    pool
}

#[test]
fn a_way_that_is_left_open_is_asked_for_and_holds_for_its_volume() {
    const OPEN: &[(&str, &str)] =
        &[("server", "192.0.2.7"), ("port", "2049"), ("share", "/export/vm"), ("transport", "auto")];
    let volume = "a".parse().unwrap();
    let mut pool = left_open(OPEN, Ok(nfs(|_, _, _, _| {})));
    assert_eq!(pool.transport().unwrap(), Said::Auto);
    assert_eq!(pool.natively(&volume).unwrap(), Ok(Client::Nfs));
    pool.choose(&volume, Transport::Served);
    assert!(matches!(pool.attach(&volume, AttachAccess::ReadOnly).unwrap().way, Way::Served(_)));
    pool.choose(&volume, Transport::Native);
    assert!(matches!(pool.attach(&volume, AttachAccess::ReadOnly).unwrap().way, Way::Nfs(_)));

    let refuses = Failure::usage("no mutual CHAP").while_doing("the plugin failed at attach");
    for (answer, why) in [
        (Err(refuses), "no mutual CHAP"),
        (Ok(nfs(|_, port, _, _| *port = Some(12049))), "cannot be given the port 12049"),
        (Ok(nfs(|_, _, share, _| *share = "/elsewhere".into())), "is not the pool's"),
        (Ok(Attachment::Served), "would rather"),
    ] {
        let said = left_open(OPEN, answer).natively(&volume).unwrap().unwrap_err();
        assert!(said.contains(why), "{said}");
    }
    let away = Err(Failure::new(Kind::Unreachable, "it is away"));
    assert_eq!(left_open(OPEN, away).natively(&volume).unwrap_err().kind, Kind::Unreachable);
}
