//! What an export says of itself.

use serde_json::Value;

use super::served::{Served, Server, nbdsh, serve_binary, sparse_file, tool};

/// What `nbdinfo --json` says of our export and not of nbdkit's, or otherwise: the field, what it is here, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("export-name", "here every export has a name, `VOLUME@GENERATION`, which the empty one stands for"),
    ("description", "here an export says what it is"),
    ("uri", "the sockets are two"),
    ("can_fast_zero", "here zeroes that would have to be written are refused at once; nbdkit's file cannot tell"),
    ("block_size_minimum", "nbdkit 1.32 says nothing of sizes for its memory and file; later ones do"),
    ("block_size_preferred", "the same"),
    ("block_size_maximum", "the same"),
];

fn information(uri: &str) -> serde_json::Map<String, Value> {
    let said = tool("nbdinfo", &["--json", uri]).expect_code(0).json();
    let mut export = said["exports"][0].as_object().expect("an export").clone();
    for field in ["protocol", "TLS", "structured"] {
        export.insert(field.into(), said[field].clone());
    }
    export
}

/// The fields in which the two differ.
fn compare(read_only: bool, device: &[&str]) -> Vec<String> {
    let (ours, nbdkit) =
        (Served::start(Server::Ours, read_only, device), Served::start(Server::Nbdkit, read_only, device));
    let (ours, nbdkit) = (information(&ours.uri()), information(&nbdkit.uri()));
    let fields = ours.keys().chain(nbdkit.keys().filter(|&key| !ours.contains_key(key)));
    fields.filter(|&key| ours.get(key) != nbdkit.get(key)).cloned().collect()
}

#[test]
fn every_field_is_as_for_nbdkit() {
    let directory = tempfile::tempdir().unwrap();
    let file = sparse_file(directory.path());
    let file = file.to_str().unwrap();
    for read_only in [false, true] {
        for device in [["memory", "16777216"], ["file", file]] {
            let different = compare(read_only, &device);
            for field in &different {
                assert!(DIFFERENCES.iter().any(|(known, _)| known == field), "{device:?} differs in {field}");
            }
            assert_eq!(different.iter().any(|field| field == "can_fast_zero"), device[0] == "file" && !read_only);
        }
    }
}

#[test]
fn size_map_and_each_ability_are_as_for_nbdkit() {
    let directory = tempfile::tempdir().unwrap();
    let file = sparse_file(directory.path());
    let (ours, nbdkit) = (Served::file(Server::Ours, &file), Served::file(Server::Nbdkit, &file));
    let (ours, nbdkit) = (ours.uri(), nbdkit.uri());
    let same = |words: &[&str]| {
        let said = |uri: &str| {
            let said = tool("nbdinfo", &[words, &[uri]].concat());
            (said.code, said.stdout)
        };
        assert_eq!(said(&ours), said(&nbdkit), "nbdinfo {words:?}");
    };
    same(&["--size"]);
    same(&["--map"]);
    same(&["--map", "--json"]);
    same(&["--map", "--totals"]);
    for ability in ["cache", "df", "flush", "fua", "multi-conn", "read", "trim", "write", "zero", "connect"] {
        same(&["--can", ability]);
    }
    for fact in ["read-only", "rotational", "tls", "structured"] {
        same(&["--is", fact]);
    }
    let listed = tool("nbdinfo", &["--list", "--json", &ours]).expect_code(0).json();
    assert_eq!(listed["exports"][0]["export-name"], "file@2");
    assert_eq!(listed["exports"][0]["description"], "file of an example");
    assert_eq!(listed["exports"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_qemu_img_says_is_as_for_nbdkit() {
    let directory = tempfile::tempdir().unwrap();
    let file = sparse_file(directory.path());
    let (ours, nbdkit) = (Served::file(Server::Ours, &file), Served::file(Server::Nbdkit, &file));
    let said =
        |served: &Served, words: &[&str]| tool("qemu-img", &[words, &[&served.uri()]].concat()).expect_code(0).json();
    for words in [
        &["info", "--output=json"][..],
        &["map", "--output=json", "-f", "raw"],
        &["measure", "--output=json", "-O", "qcow2"],
    ] {
        let mut both = [said(&ours, words), said(&nbdkit, words)];
        for one in &mut both {
            if let Some(fields) = one.as_object_mut() {
                // The sockets are two.
                fields.remove("filename");
                fields.remove("children");
            }
        }
        assert_eq!(both[0], both[1], "qemu-img {words:?}");
    }
}

#[test]
fn an_export_of_another_generation_is_refused_with_a_message() {
    let served = Served::memory(Server::Ours, 1 << 20);
    let asks = |name: &str| {
        let script = format!(
            "h.set_opt_mode(True)\nh.connect_uri('{}')\nh.set_export_name('{name}')\n\
             try:\n  h.opt_go()\n  print('let in')\nexcept nbd.Error as error:\n  print(error.errno)",
            served.uri()
        );
        let said = tool("/usr/bin/python3", &["-m", "nbd", "--command", &script]).expect_code(0);
        said.stdout.trim().to_owned()
    };
    assert_eq!(asks("memory@2"), "let in");
    assert_eq!(asks(""), "let in");
    // Refused by policy, and not known.
    assert_eq!(asks("memory@1"), "ENOTSUP");
    assert_eq!(asks("memory@3"), "ENOENT");
    assert_eq!(asks("other@2"), "ENOENT");
    // The old option has no words for it, and ends.
    tool("nbdinfo", &["--size", &served.uri_of("memory@1")]).expect_code(1);
    tool("qemu-img", &["info", &served.uri_of("memory@1")]).expect_code(1);
    tool("qemu-img", &["info", &served.uri_of("memory@2")]).expect_code(0);
}

#[test]
fn a_server_on_its_standard_input_serves_who_started_it() {
    let script = format!(
        "h.connect_command(['{}', '--stdio', 'memory', '1048576'])\n\
         h.pwrite(b'x' * 1000, 77)\nassert h.pread(1000, 77) == b'x' * 1000\nprint(h.get_size())\nh.shutdown()",
        serve_binary().display()
    );
    let said = tool("/usr/bin/python3", &["-m", "nbd", "--command", &script]).expect_code(0);
    assert_eq!(said.stdout.trim(), "1048576");
}

#[test]
fn a_client_without_any_extension_is_served_too() {
    let served = Served::memory(Server::Ours, 1 << 20);
    let script = format!(
        "h.set_handshake_flags(0)\nh.set_request_structured_replies(False)\nh.connect_uri('{}')\n\
         h.pwrite(b'y' * 300000, 1)\nassert h.pread(300000, 1) == b'y' * 300000\nprint(h.get_structured_replies_negotiated())",
        served.uri()
    );
    let said = tool("/usr/bin/python3", &["-m", "nbd", "--command", &script]).expect_code(0);
    assert_eq!(said.stdout.trim(), "False");
    let said = nbdsh(&served.uri(), "print(h.get_structured_replies_negotiated())").expect_code(0);
    assert_eq!(said.stdout.trim(), "True");
}
