//! The documented example, and whom the file must belong to.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::error::Kind;

#[test]
fn the_documented_policy_means_what_it_says() {
    let text = r#"
[host]
qemu = "/opt/qemu"
uid-base = 100000

[plugins.storage-file]
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
interfaces = ["images"]
directories = [{ name = "images", path = "/var/lib/fief/images", access = "read-write" }, { name = "iso", path = "/srv" }]
secrets = ["backup-key"]
connections = [
    { name = "server", to = "{server}:{port}" },
    { name = "near", to = "[::1]:2049", allow = ["loopback", "this-host"], reserved-port = true, timeout = "3s" },
]
limits = { memory = "32MiB", cpu = "2s", wall = "10s", handles = 10 }

[plugins.network-host-only]
interfaces = ["bridges"]
bridges = ["fief-*"]

[plugins.network-user]

[pools]
file = "storage-file"

[networks]
host-only = "network-host-only"
user = "network-user"
"#;
    let policy = parse(text.as_bytes(), "policy.toml").unwrap();
    assert_eq!(policy.host.qemu, PathBuf::from("/opt/qemu"));
    assert_eq!(policy.host.qemu_img, HostSettings::default().qemu_img);
    assert_eq!(policy.host.uid_base, 100_000);
    let file = &policy.plugins[&"storage-file".parse::<PluginId>().unwrap()];
    assert_eq!(file.digest, Some(Digest::of(b"abc")));
    assert_eq!(file.interfaces, [HostInterface::Images]);
    let grant = |name: &str| &file.directories[&name.parse::<GrantName>().unwrap()];
    assert_eq!(*grant("images"), DirectoryGrant { path: "/var/lib/fief/images".into(), access: Access::ReadWrite });
    assert_eq!(*grant("iso"), DirectoryGrant { path: "/srv".into(), access: Access::ReadOnly });
    assert_eq!(file.secrets, ["backup-key".parse::<GrantName>().unwrap()]);
    let connection = |name: &str| &file.connections[&name.parse::<GrantName>().unwrap()];
    assert_eq!(*connection("server"), ConnectionGrant::new("{server}:{port}".parse().unwrap()));
    let near = ConnectionGrant {
        to: "[::1]:2049".parse().unwrap(),
        allow: vec![NearAddress::Loopback, NearAddress::ThisHost],
        reserved_port: true,
        timeout: Duration::from_secs(3),
    };
    assert_eq!(*connection("near"), near);
    let limits =
        Limits { memory: ByteSize::from_mib(32), wall: Duration::from_secs(10), handles: 10, ..Limits::default() };
    assert_eq!(file.limits, limits);
    let network = &policy.plugins[&"network-host-only".parse::<PluginId>().unwrap()];
    assert_eq!(network.bridges, ["fief-*"]);
    assert_eq!(policy.plugins[&"network-user".parse::<PluginId>().unwrap()], PluginGrants::default());
    assert_eq!(policy.pools["file"].as_str(), "storage-file");
    assert_eq!(policy.networks.len(), 2);
}

#[test]
fn no_policy_grants_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(load(&folder.path().join("policy.toml")).unwrap(), Policy::default());
    assert_eq!(parse(b"# nothing yet\n", "policy.toml").unwrap(), Policy::default());
}

#[test]
fn a_policy_that_others_may_write_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, "[plugins.x]\n").unwrap();
    for (mode, trusted) in [(0o600, true), (0o644, true), (0o640, true), (0o664, false), (0o602, false), (0o666, false)]
    {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        match load(&path) {
            Ok(policy) => assert!(trusted && policy.plugins.len() == 1, "mode {mode:o}"),
            Err(failure) => {
                assert!(!trusted, "mode {mode:o}: {failure}");
                assert_eq!(failure.kind, Kind::Denied);
                assert!(failure.causes[0].contains(&format!("{mode:04o}")), "{failure}");
                assert!(failure.hint.unwrap().contains("chmod go-w"));
            }
        }
    }
}

#[test]
fn a_policy_of_another_user_is_not_trusted() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can give a file away.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, "").unwrap();
    assert_eq!(load(&path).unwrap(), Policy::default());
    std::os::unix::fs::chown(&path, Some(1234), None).unwrap();
    let failure = load(&path).unwrap_err();
    assert_eq!(failure.kind, Kind::Denied);
    assert_eq!(failure.causes, ["it belongs to user 1234"]);
}

#[test]
fn a_policy_that_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(load(folder.path()).unwrap_err().kind, Kind::Usage);
}

#[test]
fn the_example_in_the_documentation_is_read() {
    let example: String = include_str!("../policy.rs")
        .lines()
        .skip_while(|line| !line.starts_with("//! ```toml"))
        .skip(1)
        .take_while(|line| !line.starts_with("//! ```"))
        .map(|line| line.trim_start_matches("//!").trim_start().to_owned() + "\n")
        // Its digest is cut short.
        .filter(|line| !line.starts_with("digest"))
        .collect();
    assert_eq!(parse(example.as_bytes(), "policy.toml").unwrap().plugins.len(), 4);
}
