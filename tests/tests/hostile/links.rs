//! Network plugins that reach for links that are not theirs, and names that mean something else to a tool.

use crate::room::{Room, SHORT, expect, wasm};

/// (function of `bridges`, link, exit code, words on stderr)
const FAMILIES: &[(&str, &str, i32, &str)] = &[
    ("ensure", "eth0", 5, "eth0"),
    ("ensure", "lo", 5, "lo"),
    ("address", "eth0", 5, "eth0"),
    ("limit", "eth0", 5, "eth0"),
    ("serve", "eth0", 5, "eth0"),
    ("ensure", "fief-taken", 4, ""),
    ("ensure", "-c", 2, ""),
    ("ensure", "a;rm -rf", 2, ""),
    ("ensure", "fief-%d", 2, ""),
    ("ensure", "fief-0123456789abcdef0123456789abcdef0123", 2, ""),
    ("ensure", "fief-brücke", 2, ""),
    ("ensure", "fief-lab/../eth0", 2, ""),
    ("ensure", "..", 2, ""),
    ("enslave", "eth0", 5, "eth0"),
    ("join", "eth0", 5, "eth0"),
    ("join", "fief-absent", 3, "fief-absent"),
    ("middle", "", 7, "its code failed"),
];

#[test]
fn a_network_plugin_touches_no_link_but_its_own() {
    let room = Room::new(&[("hostile-links", SHORT)]);
    room.install(&wasm("links")).expect_code(0);
    let namespace = room.host.namespace();
    for words in [
        "link add eth0 type veth peer name eth1",
        "address add 192.0.2.1/24 dev eth0",
        "link set eth0 up",
        "link add fief-taken type bridge",
    ] {
        namespace.ip(words);
    }
    let links = || (namespace.ip("-details -oneline link show"), namespace.ip("-oneline -4 address show"));
    let steady = links();
    for (function, link, code, words) in FAMILIES {
        let family = format!("{function} {link:?}");
        let (set_function, set_link) = (format!("function={function}"), format!("link={link}"));
        let define =
            ["network", "create", "net", "--kind", "hostile-links", "--set", &set_function, "--set", &set_link];
        room.run(&define).expect_code(0);
        // The first try leaves the network's lock, which stays with its definition; the second one nothing.
        expect(&family, room.run(&["network", "start", "net"]), *code, words);
        let before = room.census();
        expect(&family, room.run(&["network", "start", "net"]), *code, words);
        room.is_as(&before);
        assert_eq!(links(), steady, "{family}");
        room.run(&["network", "delete", "net", "--yes"]).expect_code(0);
    }
}
