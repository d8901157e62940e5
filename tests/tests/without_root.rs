//! The main job for a person who is not root: disks through `storage-file`, a card through `network-user`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fief_tests::command::{self, Said};
use fief_tests::guest::SPEAKS;
use fief_tests::host::{fief, target};
use fief_tests::{eventually, guest};

/// A user that no machine has.
const SOMEBODY: u32 = 4_242_424;
const PATIENCE: Duration = Duration::from_secs(90);

/// `fief WORDS…` as somebody, with all that is needed in a folder of theirs.
fn run(folder: &Path, words: &[&str]) -> Said {
    let mut command = Command::new(folder.join("fief"));
    command.args(words).env_clear().env("FIEF_ROOT", folder.join("root")).current_dir(folder);
    command::run(command.uid(SOMEBODY).gid(SOMEBODY), PATIENCE)
}

#[test]
fn a_guest_boots_for_a_person_who_is_not_root() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).expect("a folder that others may pass");
    // Where the tree lies may be closed to others.
    let wasm = |name: &str| target().join(format!("wasm32-wasip2/release/{name}.wasm"));
    for (from, to) in [
        (fief(), "fief"),
        (wasm("storage_file"), "storage_file.wasm"),
        (wasm("network_user"), "network_user.wasm"),
        (guest::kernel(), "vmlinuz"),
        (guest::initramfs(), "initramfs.cpio"),
    ] {
        fs::copy(&from, at.join(to)).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        fs::set_permissions(at.join(to), fs::Permissions::from_mode(0o755)).expect("a file of ours");
    }
    let root = at.join("root");
    fs::create_dir(&root).expect("a root");
    let policy = format!(
        "[plugins.storage-file]\ninterfaces = [\"images\"]\n\
         directories = [{{ name = \"images\", path = \"{}/images\", access = \"read-write\" }}]\n\
         [plugins.network-user]\n[pools]\nfile = \"storage-file\"\n[networks]\nuser = \"network-user\"\n",
        root.display()
    );
    fs::write(root.join("policy.toml"), policy).expect("a policy");
    for path in [&root, &root.join("policy.toml")] {
        chown(path, Some(SOMEBODY), Some(SOMEBODY)).expect("root may give files away");
    }

    for plugin in ["storage_file.wasm", "network_user.wasm"] {
        run(at, &["plugin", "install", plugin]).expect_code(0);
    }
    run(at, &["pool", "create", "default", "--kind", "file", "--set", "directory=images"]).expect_code(0);
    run(at, &["network", "create", "lab", "--kind", "user"]).expect_code(0);
    run(at, &["volume", "create", "default/node1", "--size", "64MiB"]).expect_code(0);
    let boot =
        ["--kernel", "vmlinuz", "--initrd", "initramfs.cpio", "--cmdline", "console=ttyS0 quiet fief.name=node1"];
    let parts = ["--memory", "192MiB", "--disk", "default/node1", "--network", "lab"];
    run(at, &[&["run", "node1"], &boot[..], &parts].concat()).expect_code(0);
    let said = eventually("the guest's last word", SPEAKS, || {
        let said = run(at, &["logs", "node1"]).stdout;
        said.contains("fief-guest: ready").then_some(said)
    });
    for wanted in ["disk /dev/vda 64 MiB mounted", "address 10.0.2.", "host 10.0.2.2 answers"] {
        assert!(said.contains(wanted), "{wanted} is not in\n{said}");
    }
    run(at, &["stop", "node1"]).expect_code(0);
    run(at, &["delete", "node1", "--volumes", "--yes"]).expect_code(0);
    assert!(!root.join("domains/node1").exists());
    assert_eq!(run(at, &["list", "-o", "name"]).expect_code(0).stdout, "");
}
