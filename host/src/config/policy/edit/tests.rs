//! What is written where, in each way that a table may be written; and that nothing else changes.

use proptest::prelude::*;

use super::*;
use crate::config::policy::parse;
use crate::error::Kind;

fn id() -> PluginId {
    "x".parse().unwrap()
}

fn edited(before: &str, edits: &[Edit]) -> String {
    String::from_utf8(edit(before.as_bytes(), "policy.toml", &id(), edits).unwrap()).unwrap()
}

fn interface(interface: HostInterface) -> Edit {
    Edit::GrantInterface { interface }
}

fn directory(name: &str, path: &str, access: Access) -> Edit {
    Edit::GrantDirectory { name: name.parse().unwrap(), path: path.into(), access }
}

fn connection(name: &str, to: &str) -> Edit {
    let (name, to) = (name.parse().unwrap(), to.parse().unwrap());
    Edit::GrantConnection { name, to, allow: Vec::new(), reserved_port: false, timeout_ms: None }
}

fn secret(name: &str) -> Edit {
    Edit::GrantSecret { name: name.parse().unwrap() }
}

fn bridges(pattern: &str) -> Edit {
    Edit::GrantBridges { pattern: pattern.to_owned() }
}

fn limit(text: &str) -> Edit {
    let crate::config::policy::SetLimit { name, value } = text.parse().unwrap();
    Edit::SetLimit { limit: name, value }
}

fn serve(kind: &str) -> Edit {
    Edit::Serve { table: Served::Pools, kind: kind.to_owned() }
}

/// One of each grant.
fn all() -> Vec<Edit> {
    vec![
        interface(HostInterface::Images),
        directory("images", "/srv/images", Access::ReadWrite),
        connection("server", "{server}:{port}"),
        secret("key"),
        bridges("fief-*"),
        Edit::GrantPostcopy,
        limit("memory=128MiB"),
        limit("handles=77"),
        Edit::Pin { digest: Digest::of(b"abc") },
        Edit::PinSigner { signer: Signer::from_bytes([0xab; 32]) },
        serve("file"),
    ]
}

/// What takes each away again.
fn none() -> Vec<Edit> {
    let name = |text: &str| text.parse().unwrap();
    vec![
        Edit::Unserve { table: Served::Pools, kind: "file".to_owned() },
        Edit::UnpinSigner,
        Edit::Unpin,
        Edit::UnsetLimit { limit: LimitName::Handles },
        Edit::UnsetLimit { limit: LimitName::Memory },
        Edit::RevokePostcopy,
        Edit::RevokeBridges { pattern: "fief-*".to_owned() },
        Edit::RevokeSecret { name: name("key") },
        Edit::RevokeConnection { name: name("server") },
        Edit::RevokeDirectory { name: name("images") },
        Edit::RevokeInterface { interface: HostInterface::Images },
    ]
}

#[test]
fn a_policy_that_says_nothing_gets_a_table_with_all_that_was_granted() {
    insta::assert_snapshot!(edited("", &all()), @r#"
    [plugins.x]
    interfaces = ["images"]
    directories = [{ name = "images", path = "/srv/images", access = "read-write" }]
    connections = [{ name = "server", to = "{server}:{port}" }]
    secrets = ["key"]
    bridges = ["fief-*"]
    postcopy = true
    limits = { memory = "128MiB", handles = 77 }
    digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    signer = "ed25519:abababababababababababababababababababababababababababababababab"

    [pools]
    file = "x"
    "#);
}

/// Each way to write a table that is there, with something beside it.
const WAYS: &[&str] = &[
    "",
    "# nothing yet",
    "# nothing yet\n\n",
    "[plugins.x]\n",
    "[plugins.x]",
    "# above\n[plugins.x]  # behind\n# below\n\n[pools]  # kinds\n# file = \"x\"\n",
    "[plugins.y]\nsecrets = [\"key\"]\n\n[pools]\nnfs = \"y\"\n\n# at the end",
    "[plugins]\nx = {}\ny = { secrets = [] } # y\n",
    "[plugins]\nx = {  } # x\n[pools]\n",
    "plugins = { y = { interfaces = [\"images\"] } }\npools = { nfs = \"y\" }\n",
    "plugins = { x = { limits.cpu = \"1s\" }, y = {} }\n",
    "plugins = { x.limits.cpu = \"1s\", y = {} }\npools.nfs = \"y\"\n",
    "plugins.x.limits.cpu = \"1s\" # why\nplugins.y.secrets = []\nplugins.x.limits.wall = \"2s\"\n[host]\nuid-base = 100000\n",
    "plugins = { 'x' . secrets = [ \"other\" , ], y.secrets = [\"x.a\"], \"x\".limits = { cpu = \"1s\" } } # odd\n",
    "[plugins]\nx.limits.cpu = \"1s\"\n  y.secrets = []\n",
    "[plugins.x.limits]\ncpu = \"1s\"\n\n[plugins.y]\n",
    "[plugins.y]\n[[plugins.x.directories]]\nname = \"iso\" # discs\npath = \"/srv/iso\"\n\n[[plugins.x.connections]]\nname = \"mount\"\nto = \"a:1\"\n[pools]\n",
    "[plugins.x]\ninterfaces = [\n    # why\n    \"session\", # for moves\n    # \"bridges\",\n]\nsecrets = [ \"a\", \"b\" ]\nbridges = [\n  \"a*\",\n  \"b\"  # last\n]\n",
    "[plugins.x]\n\tinterfaces = []\n\tdirectories = [\n\t\t{ name = \"iso\", path = \"/srv/iso\" }, # discs\n\t]\nconnections = [\n# none\n]\n[plugins.x.limits]\nwall = \"20s\"\n",
    "[plugins.x]\r\n# c\r\ninterfaces = [\r\n  \"session\"\r\n]\r\n\r\n[pools]\r\n",
    "[plugins.x]\ninterfaces=['session',]\nsecrets=['a',\n'b']\npostcopy = false # not yet\n",
    "[plugins.x]\n[plugins.y]\n[[select.migration]]\nuse = \"x\"\n[[select.migration]]\nuse = \"y\"\n",
    "[plugins.x]\nsecrets = [\"a\"]\n[[trust.plugins]]\nid = \"x\"\nunsigned = true\n",
    "\u{feff}[plugins.y]\n",
];

#[test]
fn what_is_granted_is_there_and_what_is_revoked_is_gone_however_the_table_is_written() {
    for way in WAYS {
        let granted = edited(way, &all());
        assert_eq!(edited(&granted, &all()), granted, "{way}");
        // Line by line nothing of what was there is lost: elements may come behind one, within its line.
        let kept =
            |line: &str| granted.lines().any(|new| new.starts_with(line.trim_end_matches([']', '}', ' ', '"', '\''])));
        way.lines().filter(|line| !line.contains("postcopy") && !line.contains('#')).for_each(|line| {
            assert!(
                kept(line) || line.contains("{}") || line.contains("'session'") || line.contains("{  }"),
                "{line:?} of {way}\n{granted}"
            );
        });
        way.match_indices('#').for_each(|(at, _)| {
            let comment = way[at..].lines().next().unwrap();
            assert!(granted.contains(comment), "{comment:?} of {way}\n{granted}");
        });
        assert_eq!(granted.contains("\r\n"), way.contains("\r\n"));
        assert!(!way.contains("\r\n") || granted.lines().count() == granted.matches("\r\n").count(), "{granted:?}");

        let before = if way.trim().is_empty() { Policy::default() } else { parse(way.as_bytes(), "x").unwrap() };
        let revoked = edited(&granted, &none());
        let after = parse(revoked.as_bytes(), "x").unwrap();
        let mut wanted = without_lines(before);
        wanted.plugins.entry(id()).or_default();
        assert_eq!(without_lines(after), wanted, "{way}\n{revoked}");

        let cleared = edited(&granted, &[none().remove(0), Edit::RevokeAll]);
        let wanted = |policy: &Policy| match way.contains("use = \"x\"") {
            true => policy.plugins[&id()] == PluginGrants::default(),
            false => !policy.plugins.contains_key(&id()),
        };
        assert!(cleared.trim().is_empty() || wanted(&parse(cleared.as_bytes(), "x").unwrap()), "{way}\n{cleared}");
        // All of it, too, where a line of policy names it: then the table stays.
        let emptied = edited(&granted, &[Edit::RevokeAll]);
        assert_eq!(parse(emptied.as_bytes(), "x").unwrap().plugins[&id()], PluginGrants::default(), "{emptied}");
    }
}

#[test]
fn lists_over_several_lines_keep_their_layout_and_comments() {
    let before = "[plugins.x]
connections = [
    { name = \"server\", to = \"{server}:{port}\" },
    { name = \"mount\", to = \"{server}:{mount-port}\" },   # for NFS 3 alone
]
interfaces = [
  \"images\"  # the last
]
";
    let granted = edited(before, &[connection("third", "a:1"), interface(HostInterface::Session)]);
    insta::assert_snapshot!(granted, @r#"
    [plugins.x]
    connections = [
        { name = "server", to = "{server}:{port}" },
        { name = "mount", to = "{server}:{mount-port}" },   # for NFS 3 alone
        { name = "third", to = "a:1" },
    ]
    interfaces = [
      "images",  # the last
      "session"
    ]
    "#);
    let revoked = edited(
        &granted,
        &[
            Edit::RevokeConnection { name: "mount".parse().unwrap() },
            Edit::RevokeConnection { name: "server".parse().unwrap() },
            Edit::RevokeInterface { interface: HostInterface::Images },
        ],
    );
    insta::assert_snapshot!(revoked, @r#"
    [plugins.x]
    connections = [
        { name = "third", to = "a:1" },
    ]
    interfaces = [
      "session"
    ]
    "#);
}

#[test]
fn a_grant_of_the_same_name_is_changed_in_its_place() {
    let before = "[plugins.x]\ndirectories = [{ path = \"/a\", name = \"a\", access = \"read-write\" }, { name = \"b\", path = \"/b\" }]\n\
        [[plugins.x.connections]]\nname = \"s\"  # main\nto = \"a:1\"\ntimeout = \"3s\"\n";
    let after = edited(
        before,
        &[
            directory("a", "/c", Access::ReadOnly),
            directory("b", "/b", Access::ReadWrite),
            Edit::GrantConnection {
                name: "s".parse().unwrap(),
                to: "b:2".parse().unwrap(),
                allow: vec![NearAddress::Loopback],
                reserved_port: true,
                timeout_ms: None,
            },
        ],
    );
    insta::assert_snapshot!(after, @r#"
    [plugins.x]
    directories = [{ path = "/c", name = "a" }, { name = "b", path = "/b", access = "read-write" }]
    [[plugins.x.connections]]
    name = "s"  # main
    to = "b:2"
    allow = ["loopback"]
    reserved-port = true
    "#);
}

#[test]
fn a_table_that_goes_leaves_what_stands_around_it() {
    let before = "# all of it\n\n[plugins.y]\n\n# disks\n[plugins.x]\ninterfaces = []\n# why\nsecrets = []\n\n\
        [plugins.x.limits]\ncpu = \"1s\"\n\n# kinds\n[pools]\nnfs = \"y\"\n";
    insta::assert_snapshot!(edited(before, &[Edit::RevokeAll]), @r#"
    # all of it

    [plugins.y]

    # disks

    # kinds
    [pools]
    nfs = "y"
    "#);
}

#[test]
fn what_would_be_no_policy_is_refused_with_its_place() {
    for (edit_, part) in [
        (directory("a", "/proc", Access::ReadOnly), "policy.toml:2:"),
        (directory("a", "relative", Access::ReadOnly), "is not an absolute path"),
        (directory("a", "/a\nb", Access::ReadOnly), "may not stand in a path"),
        (bridges("*"), "would be links of any name"),
        (serve("A b"), "policy.toml"),
    ] {
        let failure = edit(b"[plugins.x]\n", "policy.toml", &id(), &[edit_]).unwrap_err();
        assert!(matches!(failure.kind, Kind::Usage | Kind::Other), "{failure}");
        assert!(failure.to_string().contains(part), "{failure}");
    }
    let failure = edit(b"[plugins.x]\nnonsense = 1\n", "policy.toml", &id(), &all()).unwrap_err();
    assert!(failure.to_string().contains("policy.toml:2:1"), "{failure}");
}

#[test]
fn lines_that_went_and_came_are_told() {
    assert_eq!(changed(b"a\nb\nc\nd\n", b"a\nc\nx\nd\ne"), ["-b", "+x", "+e"]);
    assert_eq!(changed(b"", b"a\n"), ["+a"]);
    assert_eq!(changed(b"a\r\n", b"a\n"), Vec::<String>::new());
}

fn any() -> impl Strategy<Value = Edit> {
    let each: Vec<Edit> = all()
        .into_iter()
        .chain(none())
        .chain([
            Edit::Known,
            Edit::RevokeAll,
            interface(HostInterface::Bridges),
            directory("iso", "/srv/a \"b\" '#", Access::ReadOnly),
            connection("mount", "[::1]:2049"),
            secret("other"),
            bridges("br0"),
            Edit::RevokeDirectory { name: "iso".parse().unwrap() },
            Edit::RevokeConnection { name: "mount".parse().unwrap() },
            Edit::RevokeInterface { interface: HostInterface::Session },
            Edit::RevokeSecret { name: "a".parse().unwrap() },
            Edit::RevokeSecret { name: "b".parse().unwrap() },
            serve("nfs"),
        ])
        .collect();
    proptest::sample::select(each)
}

proptest! {
    #[test]
    fn any_changes_in_any_order_give_what_was_asked_and_leave_all_else(
        way in proptest::sample::select(WAYS),
        edits in proptest::collection::vec(any(), 1..12),
    ) {
        // `edit` itself holds the text against the policy that is wanted.
        let mut text = way.as_bytes().to_vec();
        for edit_ in &edits {
            text = edit(&text, "policy.toml", &id(), std::slice::from_ref(edit_)).unwrap();
        }
        let at_once = edit(way.as_bytes(), "policy.toml", &id(), &edits).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&at_once), String::from_utf8_lossy(&text));
    }
}

#[test]
fn a_limit_that_policy_does_not_take_is_refused_with_its_place() {
    for (text, words) in [
        ("memory=1TiB", "1TiB is not from"),
        ("cpu=2h", "2h is not from"),
        ("handles=0", "handles"),
        ("wall=1s", "do not fit in 1s of wall time"),
    ] {
        let failure = edit(b"[plugins.x]\n", "policy.toml", &id(), &[limit(text)]).unwrap_err();
        assert_eq!(failure.kind, Kind::Usage, "{text}");
        assert!(format!("{failure} {:?}", failure.causes).contains(words), "{text}: {failure}");
    }
    // The two that hang together go together.
    let both = edited("[plugins.x]\n", &[limit("wall=1s"), limit("cpu=500ms")]);
    assert!(both.contains("limits = { wall = \"1s\", cpu = \"500ms\" }"), "{both}");
}
