//! The table of bad input (docs/PROMISES.md): each is refused with its place, a one-line cause and a next step.

use super::domain::{self, DomainDefinition, RandomIdentity};
use super::{network, policy, pool};
use crate::error::{Failure, Kind, Result};

fn parse_domain(text: &str) -> Result<DomainDefinition> {
    domain::parse(text.as_bytes(), "d.toml", &mut RandomIdentity)
}

/// The failure says `cause` at `place`, in one line each, and has a hint.
fn refused(what: &str, failure: &Failure, place: &str, cause: &str) {
    let found = failure.causes.iter().any(|line| line.starts_with(place) && line.contains(cause));
    assert!(found, "{what}: wanted {place} … {cause}, got {:#?}", failure.causes);
    assert_eq!(failure.kind, Kind::Usage, "{what}");
    assert!(failure.hint.is_some(), "{what}: no hint");
    assert!(failure.causes.iter().all(|line| !line.contains('\n')), "{what}: a cause has several lines");
}

const GOOD: &str = "name = 'a'\nmemory = '64MiB'\n";

#[test]
fn a_bad_domain_definition_is_refused_at_its_place() {
    let long = format!("name = '{}'\nmemory = '1GiB'", "x".repeat(300));
    let table = [
        // (definition, place, cause)
        ("", "d.toml:1:1", "the file is empty"),
        (" \n\t\n", "d.toml:1:1", "the file is empty"),
        ("name = 'a'\nmemry = '1GiB'", "d.toml:2:1", "unknown key \"memry\" (did you mean \"memory\"?)"),
        ("name = 'a'\nmemry = '1GiB'", "d.toml:1:1", "memory is missing"),
        ("name = 'a'\r\nmemry = '1GiB'\r\n", "d.toml:2:1", "unknown key"),
        ("\u{feff}name = 'a'\nmemory = 1", "d.toml:2:10", "is an integer, and should be a string"),
        ("name = 'a'\nname = 'b'\nmemory = '1GiB'", "d.toml:2:1", "duplicate"),
        ("name = 'a'\nmemory = '512'", "d.toml:2:10", "has no unit; write 512M"),
        ("name = 'a'\nmemory = '0MiB'", "d.toml:2:10", "is not between 1MiB and 16TiB"),
        ("name = 'a'\nmemory = '-1G'", "d.toml:2:10", "is not a size"),
        ("name = 'a'\nmemory = '8EiB'", "d.toml:2:10", "is not a unit of size"),
        ("name = 'a'\nmemory = '9000000P'", "d.toml:2:10", "too large"),
        ("name = 'a'\nmemory = '1G'\nmax-memory = '1M'", "d.toml:3:14", "is less than memory"),
        ("name = 'a/b'\nmemory = '1G'", "d.toml:1:8", "'/' may not stand in a name"),
        ("name = '..'\nmemory = '1G'", "d.toml:1:8", "starts with a letter or a digit"),
        ("name = '-c'\nmemory = '1G'", "d.toml:1:8", "starts with a letter or a digit"),
        ("name = 'a b'\nmemory = '1G'", "d.toml:1:8", "' ' may not stand in a name"),
        ("name = '🙂'\nmemory = '1G'", "d.toml:1:8", "starts with a letter or a digit"),
        (&long, "d.toml:1:8", "300 bytes long, at most 64"),
        ("name = 7\nmemory = '1G'", "d.toml:1:8", "is an integer, and should be a string"),
        ("name = 'a'\nmemory = '1G'\nvcpus = 0", "d.toml:3:9", "0 is not between 1 and 288"),
        ("name = 'a'\nmemory = '1G'\nvcpus = -1", "d.toml:3:9", "-1 is not between"),
        ("name = 'a'\nmemory = '1G'\nvcpus = 99999999999999999999", "d.toml:3:9", "is not between"),
        ("name = 'a'\nmemory = '1G'\nvcpus = 1e309", "d.toml:3:9", "is a float, and should be a whole number"),
        ("name = 'a'\nmemory = '1G'\nvcpus = nan", "d.toml:3:9", "is a float"),
        ("name = 'a'\nmemory = '1G'\naccelerator = 'kmv'", "d.toml:3:15", "did you mean \"kvm\"?"),
        ("name = 'a'\nmemory = '1G'\non-crash = 'reboot'", "d.toml:3:12", "is not one of destroy, restart, preserve"),
        ("name = 'a'\nmemory = '1G'\nuuid = 'x'", "d.toml:3:8", "invalid"),
        ("name = 'a'\nmemory = '1G'\nboot = 1", "d.toml:3:8", "is an integer, and should be a table"),
        ("name = 'a'\nmemory = '1G'\n[boot]\nkernel = 'vmlinuz'", "d.toml:4:10", "is not an absolute path"),
        ("name = 'a'\nmemory = '1G'\n[boot]\ninitrd = '/i'", "d.toml:4:10", "has no meaning without kernel"),
        ("name = 'a'\nmemory = '1G'\n[boot]\norder = ['disk', 'dsik']", "d.toml:4:9", "did you mean \"disk\"?"),
        ("name = 'a'\nmemory = '1G'\n[boot]\norder = ['network']", "d.toml:3:1", "has no card"),
        ("name = 'a'\nmemory = '1G'\n[[disk]]", "d.toml:3:1", "disk[0].volume is missing"),
        ("name = 'a'\nmemory = '1G'\n[[disk]]\nvolume = 'x'", "d.toml:4:10", "POOL/VOLUME"),
        (
            "name = 'a'\nmemory = '1G'\n[[disk]]\nvolume = 'p/x'\n[[disk]]\nvolume = 'p/x'",
            "d.toml:6:10",
            "p/x is a disk of this domain already",
        ),
        (
            "name = 'a'\nmemory = '1G'\n[[disk]]\nvolume = 'p/x'\ndevice = 'cdrom'\nread-only = false",
            "d.toml:6:13",
            "a CD-ROM is read only",
        ),
        ("name = 'a'\nmemory = '1G'\n[[card]]\nnetwork = 'n'\nmac = '01:00:5e:00:00:01'", "d.toml:5:7", "multicast"),
        ("name = 'a'\nmemory = '1G'\n[[card]]\nnetwork = 'n'\nmac = '52:54:00'", "d.toml:5:7", "is not a MAC address"),
        (
            "name = 'a'\nmemory = '1G'\n[[card]]\nnetwork = 'n'\nmac = '52:54:00:00:00:01'\n\
             [[card]]\nnetwork = 'n'\nmac = '52:54:00:00:00:01'",
            "d.toml:8:7",
            "is the address of another card",
        ),
        ("name = 'a'\nmemory = '1G'\n[[card]]\nnetwork = 'n'\naddress = '10.0.0'", "d.toml:5:11", "invalid IPv4"),
        ("name = ", "d.toml:1:8", ""),
        ("[[[", "d.toml:1:", ""),
    ];
    for (text, place, cause) in table {
        refused(&format!("{text:?}"), &parse_domain(text).unwrap_err(), place, cause);
    }
    assert!(parse_domain(GOOD).is_ok());
}

#[test]
fn all_mistakes_are_told_at_once() {
    let failure = parse_domain("nme = 'a'\nmemory = '1'\nvcpus = 0\n[[disk]]\nvolum = 'x'").unwrap_err();
    assert_eq!(failure.causes.len(), 6, "{:#?}", failure.causes);
}

#[test]
fn what_is_no_text_or_far_too_large_is_refused_before_it_is_parsed() {
    let failure = domain::parse(b"name = 'a'\nmemory = '\xff'", "d.toml", &mut RandomIdentity).unwrap_err();
    assert!(failure.to_string().contains("d.toml:2:11: the bytes here are not UTF-8"), "{failure}");
    let failure = domain::parse(&vec![b'#'; 100 << 20], "d.toml", &mut RandomIdentity).unwrap_err();
    assert!(failure.to_string().contains("larger than"), "{failure}");
}

#[test]
fn a_hundred_thousand_nested_tables_are_refused_and_end_no_stack() {
    for text in [
        format!("{GOOD}a = {}", "[".repeat(100_000)),
        format!("{GOOD}a = {}{}", "{a = ".repeat(100_000), "1"),
        format!("{GOOD}[{}]", vec!["a"; 100_000].join(".")),
    ] {
        assert_eq!(parse_domain(&text).unwrap_err().kind, Kind::Usage);
    }
}

#[test]
fn a_bad_pool_or_network_definition_is_refused_at_its_place() {
    for (text, place, cause) in [
        ("kind = 'file'", "x.toml:1:1", "name is missing"),
        ("name = 'p'", "x.toml:1:1", "kind is missing"),
        ("name = 'p'\nkind = 'file'\npath = '/x'", "x.toml:3:1", "unknown key \"path\""),
        ("name = 'p'\nkind = 'file'\nsettings = 1", "x.toml:3:12", "should be a table"),
        ("name = 'p'\nkind = 'file'\n[settings]\na = [1]", "x.toml:4:5", "settings.a"),
    ] {
        refused(text, &pool::parse(text.as_bytes(), "x.toml").unwrap_err(), place, cause);
        refused(text, &network::parse(text.as_bytes(), "x.toml").unwrap_err(), place, cause);
    }
    let pool = pool::parse(b"name = 'p'\nkind = 'file'\n[settings]\na = 1\nb = true\nc = 'x'", "x.toml").unwrap();
    assert_eq!(pool.settings["a"], "1");
    assert_eq!(pool.settings["b"], "true");
    assert_eq!(pool::parse(pool::to_toml(&pool).as_bytes(), "x.toml").unwrap(), pool);
}

#[test]
fn a_bad_policy_is_refused_at_its_place() {
    for (text, place, cause) in [
        ("[plugin.a]", "p.toml:1:2", "unknown key \"plugin\" (did you mean \"plugins\"?)"),
        ("[plugins.a]\ninterface = ['images']", "p.toml:2:1", "did you mean \"interfaces\"?"),
        ("[plugins.a]\ninterfaces = ['image']", "p.toml:2:14", "did you mean \"images\"?"),
        ("[plugins.'a b']", "p.toml:1:", "may not stand in a name"),
        ("[plugins.a]\ndigest = 'md5:00'", "p.toml:2:10", "sha256"),
        ("[plugins.a]\ndirectories = [{ name = 'd' }]", "p.toml:2:16", "path"),
        ("[plugins.a]\ndirectories = [{ name = 'd', path = 'x' }]", "p.toml:2:37", "is not an absolute path"),
        ("[plugins.a]\ndirectories = [{ name = 'd', path = '/a/../b' }]", "p.toml:2:37", "without '..'"),
        ("[plugins.a]\ndirectories = [{ name = 'd', path = '/a', access = 'write' }]", "p.toml:2:52", "read-write"),
        (
            "[plugins.a]\ndirectories = [{ name = 'd', path = '/a' }, { name = 'd', path = '/b' }]",
            "p.toml:2:54",
            "two grants",
        ),
        ("[plugins.a]\nconnections = [{ name = 'c', to = 'host:0' }]", "p.toml:2:35", "HOST:PORT"),
        ("[plugins.a]\nconnections = [{ name = 'c', to = 'host:65536' }]", "p.toml:2:35", "HOST:PORT"),
        ("[plugins.a]\nbridges = ['a;rm*']", "p.toml:2:11", "no name of an interface"),
        ("[plugins.a]\nlimits = { memory = '8GiB' }", "p.toml:2:21", "is not between 1MiB and 1GiB"),
        ("[plugins.a]\nlimits = { cpu = '2' }", "p.toml:2:18", "not a span of time"),
        ("[plugins.storage-file]\n[pools]\nfile = 'storage-fiel'", "p.toml:3:8", "did you mean \"storage-file\"?"),
        ("[host]\nuid-base = 0", "p.toml:2:12", "is not between"),
        ("[host]\nqemu = 'qemu'", "p.toml:2:8", "is not an absolute path"),
    ] {
        refused(text, &policy::parse(text.as_bytes(), "p.toml").unwrap_err(), place, cause);
    }
}

#[test]
fn the_policy_of_its_own_documentation_is_read() {
    let text = include_str!("policy.rs");
    let example: String = text
        .lines()
        .skip_while(|line| !line.starts_with("//! ```toml"))
        .skip(1)
        .take_while(|line| !line.starts_with("//! ```"))
        .map(|line| line.trim_start_matches("//!").trim_start().to_owned() + "\n")
        .filter(|line| !line.starts_with("digest"))
        .collect();
    // The example's networks name a plugin that it gives no grants: it needs none, but must be written down.
    let failure = policy::parse(example.as_bytes(), "p.toml").unwrap_err();
    assert_eq!(failure.causes.len(), 1, "{:#?}", failure.causes);
    let policy = policy::parse(format!("{example}[plugins.network-user]\n").as_bytes(), "p.toml").unwrap();
    assert_eq!(policy.plugins.len(), 3);
    assert_eq!(policy.pools["file"].as_str(), "storage-file");
}

#[test]
fn a_policy_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    assert_eq!(policy::load(&path).unwrap(), policy::Policy::default());
    std::fs::write(&path, "[plugins.a]\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(policy::load(&path).unwrap_err().kind, Kind::Denied);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(policy::load(&path).unwrap().plugins.len(), 1);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic_and_every_refusal_has_causes(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        for failure in [
            domain::parse(&bytes, "f", &mut RandomIdentity).err(),
            pool::parse(&bytes, "f").err(),
            policy::parse(&bytes, "f").err(),
        ].into_iter().flatten() {
            proptest::prop_assert!(failure.causes.iter().all(|cause| cause.starts_with("f:")));
            proptest::prop_assert!(!failure.causes.is_empty());
        }
    }

    #[test]
    fn a_definition_reads_back_as_itself(
        memory in 1u64..1 << 20, more in 0u64..1000, vcpus in 1u16..288, disks in 0usize..4, cards in 0usize..4,
        uefi: bool, kernel: bool, vnc: bool,
    ) {
        let mut text = format!("name = 'n'\nmemory = '{memory}MiB'\nmax-memory = '{}MiB'\nvcpus = {vcpus}\n", memory + more);
        text += if kernel { "[boot]\nkernel = '/k'\ncmdline = 'a=\"b\" c'\n" } else { "[boot]\norder = ['cdrom', 'disk']\n" };
        if uefi { text += "firmware = 'uefi'\n"; }
        if vnc { text += "[graphics]\nkind = 'vnc'\n"; }
        for at in 0..disks { text += &format!("[[disk]]\nvolume = 'p/v{at}'\n"); }
        for at in 0..cards { text += &format!("[[card]]\nnetwork = 'n{at}'\naddress = '10.0.0.{at}'\n"); }
        // 16 TiB is the most that a guest may have.
        proptest::prop_assume!(memory + more <= 16 << 20);
        let definition = parse_domain(&text).unwrap();
        proptest::prop_assert_eq!(parse_domain(&domain::to_toml(&definition)).unwrap(), definition);
    }
}
