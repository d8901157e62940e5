//! Whose plugins are taken: keys, signatures, and what policy says of them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use fief_tests::Host;
use fief_tests::host::target;

fn plugin(host: &Host) -> PathBuf {
    let copy = host.root().join("plugin.wasm");
    fs::copy(target().join("wasm32-wasip2/release/network_user.wasm"), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    copy
}

/// Policy as it was, and that.
fn trusts(host: &Host, more: &str) {
    let path = host.root().join("policy.toml");
    let policy = fs::read_to_string(&path).unwrap();
    let own = policy.split("\n# trust\n").next().unwrap();
    fs::write(&path, format!("{own}\n# trust\n{more}")).unwrap();
}

fn words<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["plugin"], words].concat()
}

#[test]
fn policy_says_whose_signature_is_wanted_and_a_changed_byte_is_nobodys() {
    let host = Host::new();
    host.fief(&["plugin", "remove", "network-user", "--force"]);
    let folder = host.root().to_string_lossy().into_owned();
    let at = |name: &str| format!("{folder}/{name}");
    let signer = |name: &str| host.fief(&words(&["keygen", &at(name)])).stdout.trim().to_owned();
    let (acme, other) = (signer("acme.key"), signer("other.key"));
    assert_ne!(acme, other);
    assert_eq!(fs::metadata(at("acme.key")).unwrap().permissions().mode() & 0o777, 0o600);
    host.fief_ends(&words(&["keygen", &at("acme.key")]), 4);

    let file = plugin(&host);
    let file = file.to_str().unwrap();
    let install = ["install", file];
    let line = |names: &str| {
        format!(
            "[trust.signers]\nacme = \"{acme}\"\nother = \"{other}\"\n\
             [[trust.plugins]]\nid = \"network-us*\"\nsigners = [{names}]\n\
             [[trust.plugins]]\nid = \"*\"\nunsigned = true\n"
        )
    };
    trusts(&host, &line("\"acme\""));
    let said = host.fief_ends(&words(&install), 5);
    assert!(said.stderr.contains("signed by acme, and nobody has signed it"), "{}", said.stderr);
    host.fief_ends(&words(&["show", "network-user"]), 3);

    // Signed by somebody else, to another place: the first file stays as it is.
    let before = fs::read(file).unwrap();
    host.fief(&words(&["sign", file, "--key", &at("other.key"), "--to", &at("theirs.wasm")]));
    assert!(fs::read(file).unwrap() == before);
    let said = host.fief_ends(&words(&["install", &at("theirs.wasm")]), 5);
    assert!(said.stderr.contains("it is signed by other"), "{}", said.stderr);

    host.fief(&["--dry-run", "plugin", "sign", file, "--key", &at("acme.key")]);
    assert!(fs::read(file).unwrap() == before);
    host.fief(&words(&["sign", file, "--key", &at("acme.key")]));
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o644);
    let signed = fs::read(file).unwrap();
    let shown = host.fief(&words(&["show", file, "-o", "json"])).json();
    assert_eq!(shown["item"]["signer"], acme.as_str());

    // Its bytes were changed since.
    let mut changed = signed.clone();
    let at_name = changed.windows(12).position(|window| window == b"network-user").unwrap();
    changed[at_name] ^= 0x20;
    fs::write(at("changed.wasm"), &changed).unwrap();
    for verb in [["install"], ["show"]] {
        let said = host.fief_ends(&words(&[verb[0], &at("changed.wasm")]), 5);
        assert!(said.stderr.contains("signature is not valid"), "{}", said.stderr);
    }

    host.fief(&words(&install));
    host.fief(&words(&["verify"]));
    let shown = host.fief(&words(&["show", "network-user"])).stdout;
    assert!(shown.contains(&format!("acme ({acme})")), "{shown}");

    // It is no longer trusted: it is used no more, and that is found.
    trusts(&host, &line("\"other\""));
    host.fief_ends(&words(&["verify", "network-user"]), 5);
    let found = host.fief_ends(&["policy", "check", "-o", "json"], 6).stdout;
    assert!(found.contains("not-trusted"), "{found}");
    host.fief(&["network", "create", "lan", "--kind", "user"]);
    let said = host.fief_ends(&["network", "start", "lan"], 5);
    assert!(said.stderr.contains("it is signed by acme"), "{}", said.stderr);
    trusts(&host, &line("\"other\", \"acme\""));
    host.fief(&["network", "start", "lan"]);
}

#[test]
fn a_pinned_signer_may_send_the_next_version_and_nobody_else() {
    let host = Host::new();
    host.fief(&["plugin", "remove", "network-user", "--force"]);
    let at = |name: &str| host.root().join(name).to_string_lossy().into_owned();
    let signer = |name: &str| host.fief(&words(&["keygen", &at(name)])).stdout.trim().to_owned();
    let (acme, other) = (signer("acme.key"), signer("other.key"));
    let signed = |version: &str, key: &str| {
        let mut bytes = fs::read(plugin(&host)).unwrap();
        let place = bytes.windows(17).position(|part| part == b"\"version\":\"0.1.0\"").unwrap();
        bytes[place + 11..place + 16].copy_from_slice(version.as_bytes());
        let file = at(&format!("{version}-{key}.wasm"));
        fs::write(&file, bytes).unwrap();
        host.fief(&words(&["sign", &file, "--key", &at(key)]));
        file
    };
    let policy = || fs::read_to_string(host.root().join("policy.toml")).unwrap();

    host.fief(&words(&["install", plugin(&host).to_str().unwrap()]));
    host.fief_ends(&words(&["grant", "network-user", "--pin-signer"]), 2);
    host.fief(&words(&["upgrade", &signed("0.1.1", "acme.key")]));
    host.fief(&words(&["grant", "network-user", "--pin-signer"]));
    assert!(policy().contains(&format!("signer = \"{acme}\"")), "{}", policy());
    host.fief(&words(&["upgrade", &signed("0.1.2", "acme.key")]));
    let theirs = signed("0.1.3", "other.key");
    let refused = host.fief_ends(&words(&["upgrade", &theirs, "-o", "json"]), 6).json();
    let codes: Vec<&str> =
        refused["items"].as_array().unwrap().iter().map(|item| item["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["other-signer", "pinned"]);
    host.fief(&words(&["upgrade", &theirs, "--accept"]));
    assert!(policy().contains(&format!("signer = \"{other}\"")), "{}", policy());
    // The one before is not theirs.
    let said = host.fief_ends(&words(&["rollback", "network-user"]), 5);
    assert!(said.stderr.contains("wants another's signature"), "{}", said.stderr);
    host.fief(&words(&["revoke", "network-user", "--pin"]));
    host.fief(&words(&["rollback", "network-user"]));
    host.fief(&words(&["verify"]));
}
