//! What an operator lets plugins do: granted by a command, had from then on, and gone once it is revoked, with policy.toml
//! otherwise as it was written.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use fief_tests::Host;

/// A host whose policy is this text, or none.
fn host(policy: Option<&str>) -> Host {
    let host = Host::bare();
    match policy {
        Some(text) => fs::write(host.root().join("policy.toml"), text).expect("a policy"),
        None => fs::remove_file(host.root().join("policy.toml")).expect("a policy that goes"),
    }
    host
}

fn policy(host: &Host) -> String {
    fs::read_to_string(host.root().join("policy.toml")).expect("a policy")
}

#[test]
fn a_plugin_can_what_it_was_granted_until_it_is_revoked() {
    let host = host(Some("# Mine.\n[host]\nuid-base = 1900000000 # as elsewhere\n"));
    let path = host.root().join("policy.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    host.installs("storage-file");
    let create = ["pool", "create", "default", "--kind", "file", "--set", "directory=images"];
    host.fief_ends(&create, 2);

    // It serves a kind, and is granted nothing.
    let said = host.fief(&["plugin", "grant", "storage-file", "--serve", "file"]);
    assert!(said.stderr.contains("+file = \"storage-file\""), "{}", said.stderr);
    host.fief_ends(&create, 5);

    // A dry run shows what would change.
    let before = policy(&host);
    let said = host.fief(&["--dry-run", "plugin", "grant", "storage-file", "--all-asked"]);
    let operation: serde_json::Value = serde_json::from_str(said.stdout.trim()).unwrap();
    assert_eq!(operation["operation"], "policy-edit");
    assert!(said.stderr.contains("+interfaces = [\"images\"]"), "{}", said.stderr);
    assert_eq!(policy(&host), before);

    // The command that it tells of is the one that helps.
    let said = host.fief(&["plugin", "grant", "storage-file", "--all-asked"]);
    let (_, command) = said.stderr.split_once("; fief ").unwrap();
    let command = command.trim().replace("/DIRECTORY", &host.root().join("images").to_string_lossy());
    host.fief(&command.split(' ').collect::<Vec<_>>());
    host.fief(&["policy", "check"]);
    host.fief(&create);
    host.volume("default/a", "1MiB");

    let granted = policy(&host);
    let said = host.fief(&["plugin", "grant", "storage-file", "--all-asked", "--serve", "file", "-o", "json"]);
    assert_eq!(said.json()["result"], "already granted");
    assert_eq!(policy(&host), granted);
    assert!(granted.starts_with("# Mine.\n[host]\nuid-base = 1900000000 # as elsewhere\n"), "{granted}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    let audit = fs::read_to_string(host.root().join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"grant-directory\""), "{audit}");

    host.fief(&["plugin", "revoke", "storage-file", "--interface", "images"]);
    host.fief_ends(&["volume", "create", "default/b", "--size", "1MiB"], 5);
    let said = host.fief(&["plugin", "revoke", "storage-file", "--interface", "images"]);
    assert_eq!(said.stdout, "plugin storage-file already revoked\n");
    host.fief(&["plugin", "grant", "storage-file", "--interface", "images"]);
    host.volume("default/b", "1MiB");

    // While [pools] names it, its table stays.
    let said = host.fief(&["plugin", "revoke", "storage-file", "--all"]);
    assert!(said.stdout.contains("[pools] file names it"), "{}", said.stdout);
    host.fief_ends(&["volume", "list", "default"], 5);
    host.fief(&["plugin", "revoke", "storage-file", "--all", "--serve", "file"]);
    assert_eq!(policy(&host), "# Mine.\n[host]\nuid-base = 1900000000 # as elsewhere\n\n[pools]\n");
}

#[test]
fn an_installation_that_is_accepted_grants_what_takes_no_choice_and_pins_the_bytes() {
    let host = host(None);
    let file = |name: &str| fief_tests::host::target().join(format!("wasm32-wasip2/release/{name}.wasm"));
    let accept =
        |name: &str| host.fief(&["plugin", "install", "--accept", &file(name).to_string_lossy(), "-o", "json"]);

    let digest = accept("migration_live").json()["item"]["digest"].as_str().unwrap().to_owned();
    assert_eq!(policy(&host), format!("[plugins.migration-live]\ninterfaces = [\"session\"]\ndigest = \"{digest}\"\n"));
    assert_eq!(fs::metadata(host.root().join("policy.toml")).unwrap().mode() & 0o7777, 0o600);

    // A pin keeps other bytes out, and goes.
    let other = host.root().join("other.wasm");
    let mut bytes = fs::read(file("migration_live")).unwrap();
    bytes.extend(b"\x00\x05\x04more"); // a custom section
    fs::write(&other, bytes).unwrap();
    let install = ["plugin", "install", &other.to_string_lossy()];
    let said = host.fief_ends(&install, 5);
    assert!(said.stderr.contains("fief plugin revoke migration-live --pin"), "{}", said.stderr);
    host.fief(&["plugin", "revoke", "migration-live", "--pin"]);
    host.fief_ends(&install, 4);
    host.fief(&["plugin", "upgrade", &other.to_string_lossy()]);
    host.fief(&["plugin", "grant", "migration-live", "--pin", "--postcopy"]);
    host.fief(&["plugin", "verify", "migration-live"]);
    host.fief(&["plugin", "grant", "migration-live", "--unpin"]);
    let text = policy(&host);
    assert_eq!(text, "[plugins.migration-live]\ninterfaces = [\"session\"]\npostcopy = true\n");

    // What takes a choice is told, and how to make it.
    let said = accept("network_host_only");
    assert!(said.stderr.contains("network-host-only --interface bridges --bridge 'fief-*'"), "{}", said.stderr);
    let words = ["plugin", "grant", "network-host-only", "--all-asked", "--bridge", "fief-*", "--serve", "host-only"];
    host.fief(&words);
    host.host_only("lab", "10.77.0.1/24");
    host.fief(&["network", "start", "lab"]);
    host.fief(&["network", "stop", "lab"]);
    host.fief(&["network", "delete", "lab"]);

    // A connection leads where the plugin asks; what the operator narrowed stays.
    accept("storage_iscsi");
    assert!(
        policy(&host).contains("connections = [{ name = \"portal\", to = \"{portal}:{port}\" }]"),
        "{}",
        policy(&host)
    );
    let narrow = "portal=192.0.2.7:{port},reserved-port";
    host.fief(&["plugin", "grant", "storage-iscsi", "--connection", narrow, "--secret", "san"]);
    let text = policy(&host);
    assert!(text.contains("to = \"192.0.2.7:{port}\", reserved-port = true"), "{text}");
    host.fief(&["plugin", "grant", "storage-iscsi", "--all-asked", "--connection", "portal"]);
    assert_eq!(policy(&host), text);
    host.fief(&["plugin", "revoke", "storage-iscsi", "--connection", "portal", "--secret", "san"]);
    assert!(!policy(&host).contains("portal"), "{}", policy(&host));
}

#[test]
fn what_is_not_asked_for_or_would_be_no_policy_is_refused_and_nothing_is_written() {
    let host = host(Some("[plugins.y]\n[pools]\nfile = \"y\"\n"));
    host.installs("storage-file");
    let before = policy(&host);
    for (words, code, part) in [
        (
            &["storage-file"][..],
            2,
            "fief plugin grant storage-file --interface images --directory images=/DIRECTORY:rw",
        ),
        (&["storage-file", "--interface", "bridges"], 2, "does not ask for the interface bridges"),
        (&["storage-file", "--secret", "a"], 2, "does not ask for the secret a"),
        (&["storage-file", "--connection", "a=b:1"], 2, "does not ask for the connection a to b:1"),
        (&["storage-file", "--postcopy"], 2, "does not ask for"),
        (&["storage-file", "--interface", "nothing"], 2, "images, bridges, session"),
        (&["storage-file", "--directory", "a=/proc/a:rw"], 2, "policy.toml:6:"),
        (&["storage-file", "--directory", "a=relative"], 2, "is not an absolute path"),
        (&["storage-file", "--serve", "file"], 4, "served by y"),
        (&["storage-nfs", "--all-asked"], 3, "no plugin storage-nfs is installed"),
    ] {
        let said = host.fief_ends(&[&["plugin", "grant"], words].concat(), code);
        assert!(said.stderr.contains(part), "{words:?}: {}", said.stderr);
        assert_eq!(policy(&host), before, "{words:?}");
    }
    host.fief_ends(&["plugin", "revoke", "nobody", "--all"], 3);
    host.fief_ends(&["plugin", "revoke", "y"], 2);

    let (path, real) = (host.root().join("policy.toml"), host.root().join("real.toml"));
    fs::rename(&path, &real).unwrap();
    symlink(&real, &path).unwrap();
    let said = host.fief_ends(&["plugin", "grant", "storage-file", "--all-asked"], 4);
    assert!(said.stderr.contains("is a symbolic link"), "{}", said.stderr);
    assert_eq!(policy(&host), before);
}

#[test]
fn grants_that_are_written_at_once_are_all_there() {
    let host = host(Some("[plugins.network-bridge] # cards\r\n"));
    host.installs("network-bridge");
    let names: Vec<String> = (0..8).map(|at| format!("br{at}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let host = &host;
            scope.spawn(move || host.fief(&["plugin", "grant", "network-bridge", "--bridge", name]));
        }
    });
    let text = policy(&host);
    assert!(names.iter().all(|name| text.contains(&format!("\"{name}\""))), "{text}");
    assert!(text.starts_with("[plugins.network-bridge] # cards\r\nbridges = ["), "{text:?}");
    assert!(text.lines().count() == 2 && text.matches("\r\n").count() == 2, "{text:?}");
}

#[test]
fn a_plugin_that_is_needed_is_not_removed() {
    let host = Host::new();
    let said = host.fief_ends(&["plugin", "remove", "storage-file"], 4);
    assert!(said.stderr.contains("it serves pool default"), "{}", said.stderr);
    host.fief_ends(&["--dry-run", "plugin", "remove", "storage-file"], 4);
    host.fief(&["plugin", "show", "storage-file"]);

    host.installs("migration-static");
    let text = policy(&host) + "\n[[select.migration]]\nwhen = { power = \"off\" }\nuse = \"migration-static\"\n";
    let line = text.lines().count();
    fs::write(host.root().join("policy.toml"), text).unwrap();
    let said = host.fief_ends(&["plugin", "remove", "migration-static"], 4);
    assert!(
        said.stderr.contains(&format!("[[select.migration]] in policy.toml chooses it (line {line})")),
        "{}",
        said.stderr
    );
    let said = host.fief(&["plugin", "revoke", "migration-static", "--all"]);
    assert!(said.stdout.contains(&format!("[[select.migration]], line {} names it", line - 1)), "{}", said.stdout);

    host.fief(&["plugin", "remove", "migration-static", "--force"]);
    host.fief(&["plugin", "remove", "storage-file", "--force"]);
    host.fief(&["pool", "delete", "default"]);
}

#[test]
fn what_nobody_serves_is_a_mistake_of_the_definition_and_leaves_nothing() {
    let host = Host::new();
    for noun in ["pool", "network"] {
        let said = host.fief_ends(&[noun, "create", "lost", "--kind", "nowhere"], 2).stderr;
        assert!(said.contains("no plugin serves") && said.contains("--serve nowhere"), "{said}");
    }
    host.fief(&["create", "node1", "--memory", "32MiB", "--disk", "lost/disk1"]);
    let said = host.fief_ends(&["start", "node1"], 3).stderr;
    assert!(said.contains("there is no pool lost") && said.contains("fief pool list"), "{said}");
    assert!(!host.root().join("pools/lost").exists());
    assert_eq!(host.state("node1"), "off");
}

#[test]
fn a_limit_holds_from_the_next_call_on_and_one_that_is_none_changes_nothing() {
    let host = host(Some("[plugins.storage-file]\n# Small.\nlimits.handles = 500\n"));
    host.installs("storage-file");
    let images = format!("images={}:rw", host.root().join("images").display());
    let words = ["plugin", "grant", "storage-file", "--all-asked", "--directory", &images, "--serve", "file"];
    host.fief(&words);
    host.fief(&["pool", "create", "default", "--kind", "file", "--set", "directory=images"]);
    let before = policy(&host);
    for (limit, words) in [
        ("memory=1PiB", "is not from"),
        ("memory=5", "no unit"),
        ("patience=5s", "there are memory"),
        ("wall=1s", "do not fit in 1s"),
        ("handles=0", "policy.toml:"),
    ] {
        let said = host.fief_ends(&["plugin", "grant", "storage-file", "--limit", limit], 2);
        assert!(said.stderr.contains(words), "{limit}: {}", said.stderr);
        assert_eq!(policy(&host), before, "{limit}");
    }
    // The least that policy takes is not enough for anything.
    let limits = ["--limit", "memory=1MiB", "--limit", "host-call-bytes=8MiB"];
    let said = host.fief(&[&["plugin", "grant", "storage-file"], &limits[..]].concat());
    assert!(said.stderr.contains("memory = \"1MiB\""), "{}", said.stderr);
    assert!(policy(&host).contains("# Small.\nlimits.handles = 500\n"), "{}", policy(&host));
    let said = host.fief_ends(&["volume", "list", "default"], 7);
    assert!(said.stderr.contains("limits.memory"), "{}", said.stderr);
    let said = host.fief(&["plugin", "grant", "storage-file", "--limit", "memory=1MiB"]);
    assert!(said.stdout.contains("already granted"), "{}", said.stdout);
    for limit in ["memory", "host-call-bytes", "memory"] {
        host.fief(&["plugin", "revoke", "storage-file", "--limit", limit]);
    }
    assert_eq!(policy(&host), before);
    host.fief(&["volume", "list", "default"]);
    host.fief_ends(&["plugin", "revoke", "storage-file", "--limit", "patience"], 2);
}
