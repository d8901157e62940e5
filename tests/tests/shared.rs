//! Two hosts and one storage: who may write to a volume, what becomes of a host that died with it, and storage that is
//! not the one that it was. The storage is a directory that both hosts are granted, with fences in it, played by a plugin
//! of `tests/hostile`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use fief_tests::boot_sector::{self, Then};
use fief_tests::host::{fief_with_faults, target};
use fief_tests::{Guest, Host, command, kill};

const PATIENCE: Duration = Duration::from_secs(90);

/// A host whose pool `shared` lies in `directory`, with a domain `node1` that boots from its one volume.
fn host(directory: &Path) -> Host {
    let host = Host::new();
    let path = host.root().join("policy.toml");
    let policy = fs::read_to_string(&path).unwrap();
    let policy = policy.replace("[pools]\n", "[pools]\nshared = \"hostile-shared\"\n");
    let grant = format!(
        "\n[plugins.hostile-shared]\ninterfaces = [\"images\"]\ndirectories = [{{ name = \"shared\", path = \"{}\", access = \"read-write\" }}]\n",
        directory.display()
    );
    fs::write(&path, policy + &grant).unwrap();
    let plugin = target().join("wasm32-wasip2/release/examples/shared.wasm");
    assert!(plugin.exists(), "{} is not built; `cargo xtask test` builds it", plugin.display());
    host.fief(&["plugin", "install", "--untried", &plugin.to_string_lossy()]);
    host.fief(&["pool", "create", "shared", "--kind", "shared"]);
    host
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("fief-shared-").tempdir().unwrap();
    // Each plugin is a user of its own.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    directory
}

fn define(host: &Host, name: &str) {
    host.fief(&["create", name, "--memory", "32MiB", "--accelerator", "tcg", "--disk", "shared/disk"]);
}

fn fence(host: &Host) -> String {
    let said = host.fief(&["volume", "show", "shared/disk"]);
    said.stdout.lines().find_map(|line| line.strip_prefix("fence")).unwrap_or_default().trim().to_owned()
}

#[test]
fn one_host_at_a_time_writes_to_a_volume_and_the_hold_of_a_dead_one_is_broken_by_force() {
    let shared = directory();
    let (one, two) = (host(shared.path()), host(shared.path()));
    one.fief(&["volume", "create", "shared/disk", "--size", "1MiB", "--format", "raw"]);
    boot_sector::write(&shared.path().join("disk"), "hello", Then::Halt);
    assert_eq!(fence(&one), "lease, held by nobody");
    define(&one, "node1");
    define(&two, "web");
    one.fief(&["start", "node1"]);
    Guest::of(&one, "node1").says("hello");

    // Refused there: to start, to delete, to resize; and both say who has it.
    let held = fence(&one);
    assert!(held.starts_with("lease held by ") && held.ends_with("(domain node1, generation 1)"), "{held}");
    assert_eq!(fence(&two), held);
    two.fief_ends(&["start", "web"], 4);
    let before = two.census();
    let said = two.fief_ends(&["start", "web"], 4);
    for words in ["is held by", "(domain node1, generation 1)", "fief volume unlock shared/disk --force"] {
        assert!(said.stderr.contains(words), "{words:?} is not in {}", said.stderr);
    }
    two.settles_to(&before);
    two.fief_ends(&["volume", "delete", "shared/disk", "--yes"], 4);
    two.fief_ends(&["volume", "resize", "shared/disk", "2MiB"], 4);
    assert_eq!(fence(&two), held);

    // Let go, it is the other's; the number goes on from what was seen last.
    one.fief(&["stop", "node1"]);
    two.fief(&["start", "web"]);
    assert!(fence(&one).ends_with("(domain web, generation 2)"), "{}", fence(&one));
    two.fief(&["stop", "web"]);
    one.fief(&["start", "node1"]);
    assert!(fence(&two).ends_with("(domain node1, generation 3)"), "{}", fence(&two));

    // A host that dies holds it still, until an operator says that it is off.
    kill(one.supervisor("node1"));
    kill(one.hypervisor("node1"));
    two.fief_ends(&["start", "web"], 4);
    two.fief_ends(&["volume", "unlock", "shared/disk"], 4);
    two.fief_ends(&["volume", "unlock", "shared/disk", "--force"], 13);
    let mut cut = two.namespace().command(fief_with_faults());
    cut.args(["volume", "unlock", "shared/disk", "--force", "--yes"]);
    cut.env("FIEF_ROOT", two.root()).env("FIEF_FAULT", "fence.broken:kill");
    assert_ne!(command::run(&mut cut, PATIENCE).code, Some(0));
    two.fief(&["volume", "unlock", "shared/disk", "--force", "--yes"]);
    assert_eq!(fence(&two), "lease, held by nobody");
    two.fief(&["start", "web"]);
    assert!(fence(&two).ends_with("(domain web, generation 5)"), "{}", fence(&two));
    // The dead one comes back, and learns that it has lost it.
    one.fief(&["stop", "node1"]);
    one.fief_ends(&["start", "node1"], 4);
    two.fief(&["stop", "web"]);
    one.fief(&["start", "node1"]);
    one.fief_ends(&["volume", "unlock", "shared/disk"], 4);
    one.fief(&["stop", "node1"]);
}

#[test]
fn a_broken_hold_is_in_the_audit_and_a_domain_of_this_host_takes_over_what_another_left() {
    let shared = directory();
    let (one, two) = (host(shared.path()), host(shared.path()));
    one.fief(&["volume", "create", "shared/disk", "--size", "1MiB", "--format", "raw"]);
    boot_sector::write(&shared.path().join("disk"), "hello", Then::Halt);
    define(&one, "node1");
    define(&one, "node2");
    one.fief(&["start", "node1"]);
    two.fief(&["volume", "unlock", "shared/disk", "--force", "--yes"]);
    let audit = fs::read_to_string(two.root().join("audit.jsonl")).unwrap();
    assert!(audit.lines().any(|line| line.contains("fence-break") && line.contains("domain node1")), "{audit}");
    one.fief(&["stop", "node1"]);

    // Storage that cannot let go keeps no domain from stopping, and what was left is taken over.
    one.fief(&["start", "node1"]);
    let file = shared.path().join(".disk.fence");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    one.fief(&["stop", "node1"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(fence(&one).contains("(domain node1"), "{}", fence(&one));
    one.fief(&["start", "node2"]);
    assert!(fence(&one).contains("(domain node2"), "{}", fence(&one));
    one.fief(&["stop", "node2"]);
    assert_eq!(fence(&one), "lease, held by nobody");
}

#[test]
fn storage_that_is_not_what_it_was_is_not_attached_until_it_is_accepted() {
    let shared = directory();
    let host = host(shared.path());
    host.fief(&["volume", "create", "shared/disk", "--size", "1MiB", "--format", "raw"]);
    boot_sector::write(&shared.path().join("disk"), "hello", Then::Halt);
    define(&host, "node1");
    host.fief(&["start", "node1"]);
    host.fief(&["stop", "node1"]);
    fs::write(shared.path().join("identity"), "another server").unwrap();
    let said = host.fief_ends(&["start", "node1"], 4);
    for words in ["leads to other storage", "another server", "--accept-identity"] {
        assert!(said.stderr.contains(words), "{words:?} is not in {}", said.stderr);
    }
    let said = host.fief_ends(&["pool", "check", "shared"], 6);
    assert!(said.stdout.contains("leads to other storage"), "{}", said.stdout);
    host.fief(&["pool", "check", "shared", "--accept-identity"]);
    host.fief(&["start", "node1"]);
    Guest::of(&host, "node1").says("hello");
    host.fief(&["stop", "node1"]);
}
