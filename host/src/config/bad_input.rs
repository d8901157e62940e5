//! Bad definitions: what is wrong, where it is said to be, and what is said to do.
//!
//! One row a mistake: the text, its line and column, words of the cause, words of the hint (`""` where the cause says
//! it all). Each row has one mistake, so that a second, needless message would be seen.

mod domains;
mod policies;

use super::domain::RandomIdentity;
use super::{domain, network, policy, pool};
use crate::error::{Failure, Kind};
use domains::{DOMAIN_REST, DOMAINS, NODE};
use policies::POLICIES;

type Row = (&'static str, &'static str, &'static str, &'static str);

/// Any text, whatever it should define.
const TEXTS: &[Row] = &[
    ("", "1:1", "the file is empty", ""),
    (" \r\n\t\n", "1:1", "the file is empty", ""),
    ("\u{feff}", "1:1", "the file is empty", ""),
    ("\u{feff}nme", "1:4", "not TOML: key with no value, expected `=`", ""),
    ("x = [1,", "1:8", "not TOML: unclosed array", ""),
    ("x = {", "1:6", "not TOML: unclosed inline table", ""),
    ("[boot", "1:6", "not TOML: unclosed table", ""),
    ("name = node1\n", "1:8", "not TOML: \"node1\" is not a value", "put a text in quotes"),
    ("memory = 512MiB # half\n", "1:10", "not TOML: \"512MiB\" is not a value", "put a text in quotes"),
    ("volume =default/node1", "1:9", "not TOML: \"default/node1\" is not a value", "put a text in quotes"),
    ("name = \"n\nmemory = 1", "1:10", "not TOML: invalid basic string", ""),
    ("name = \"n\"\rmemory = 1", "1:12", "not TOML: carriage return must be followed by newline", ""),
    ("x = \"\\q\"", "1:7", "not TOML", ""),
    ("# \0", "1:3", "not TOML: invalid comment character", ""),
    ("x = 1_", "1:6", "not TOML: `_` may only go between digits", ""),
    ("x = 01", "1:5", "not TOML: unexpected leading zero", ""),
    ("a.b = 1\na.b.c = 2", "2:3", "not TOML: cannot extend value of type integer with a dotted key", ""),
    ("\u{1f980} = 1", "1:1", "not TOML: invalid unquoted key", ""),
];

/// Pools; networks are the same but for one word.
const POOLS: &[Row] = &[
    ("kind = \"file\"", "1:1", "the key \"name\" is missing", "write name = \"default\", say"),
    ("name = \"p\"", "1:1", "the key \"kind\" is missing", "write kind = \"file\", say"),
    ("name = \"p\"\nkind = \"File\"", "2:8", "kind: \"File\" is not a kind", "as in \"file\""),
    ("name = \"p\"\nkind = \"../x\"", "2:8", "kind: \"../x\" is not a kind", ""),
    ("name = \"p/q\"\nkind = \"file\"", "1:8", "name: '/' may not stand in a name", ""),
    ("name = \"p\"\nkind = \"file\"\nsetings.a = 1", "3:1", "unknown key \"setings\"", "did you mean \"settings\"?"),
    ("name = \"p\"\nkind = \"file\"\nsettings = 1", "3:12", "settings: a table is expected", "write [settings]"),
    (
        "name = \"p\"\nkind = \"file\"\n[settings]\na = 1.5",
        "4:5",
        "settings.a: a text, a whole number, true or false",
        "",
    ),
    (
        "name = \"p\"\nkind = \"file\"\n[settings]\na = [1]",
        "4:5",
        "settings.a: a text, a whole number, true or false",
        "",
    ),
    (
        "name = \"p\"\nkind = \"file\"\n[settings]\na = 1979-05-27",
        "4:5",
        "is expected, not the time",
        "put it in quotes",
    ),
    ("name = \"p\"\nkind = \"file\"\n[settings]\na = 99999999999999999999", "4:5", "does not fit in 64 bits", ""),
    (
        "name = \"p\"\nkind = \"file\"\n[settings]\na = \"x\\u0007\"",
        "4:5",
        "settings.a: '\\u{7}' may not stand here",
        "",
    ),
    ("name = \"p\"\nkind = \"file\"\n[settings]\n\"a b\" = 1", "4:1", "is not a key; letters, digits", ""),
];

const NETWORKS: &[Row] = &[
    ("name = \"l\"", "1:1", "the key \"kind\" is missing", "write kind = \"host-only\", say"),
    ("name = \"l\"\nkind = \"host only\"", "2:8", "kind: \"host only\" is not a kind", "as in \"host-only\""),
    (
        "kind = \"host-only\"\nname = \"-c\"",
        "2:8",
        "a name starts with a letter or a digit, not with '-'",
        "as in \"lab\"",
    ),
    ("name = \"l\"\nkind = \"user\"\nadress = \"10.0.0.1/24\"", "3:1", "unknown key \"adress\"", ""),
];

fn hold<T: std::fmt::Debug>(prefix: &str, rows: &[Row], parse: impl Fn(&[u8]) -> Result<T, Failure>) {
    for (text, place, cause, hint) in rows {
        let failure = parse(format!("{prefix}{text}").as_bytes()).expect_err(text);
        assert_eq!(failure.kind, Kind::Usage, "{text:?}");
        assert_eq!(failure.kind.exit_code(), 2);
        assert!(failure.message.ends_with(" x.toml has 1 mistake"), "{text:?}: {failure:#?}");
        assert!(failure.hint.is_some(), "{text:?}");
        let [line] = failure.causes.as_slice() else { panic!("{text:?}: {failure:#?}") };
        let words = line.strip_prefix(&format!("x.toml:{place}: "));
        let words = words.unwrap_or_else(|| panic!("{text:?} is not said to be at {place}: {line}"));
        assert!(!line.contains(char::is_control) && !line.contains('\u{202e}'), "{line:?}");
        let (said, hinted) = words.rsplit_once(" (").filter(|_| !hint.is_empty()).unwrap_or((words, ""));
        assert!(said.contains(cause), "{text:?} is not said to be {cause:?}: {line}");
        assert!(hinted.contains(hint), "{text:?} has no hint {hint:?}: {line}");
    }
}

fn a_domain(bytes: &[u8]) -> Result<domain::DomainDefinition, Failure> {
    domain::parse(bytes, "x.toml", &mut RandomIdentity)
}

#[test]
fn a_text_that_is_no_toml_is_refused_whatever_it_should_define() {
    hold("", TEXTS, a_domain);
    hold("", TEXTS, |bytes| pool::parse(bytes, "x.toml"));
    hold("", TEXTS, |bytes| network::parse(bytes, "x.toml"));
    hold("", TEXTS, |bytes| policy::parse(bytes, "x.toml"));
}

#[test]
fn a_bad_domain_is_refused_with_place_cause_and_hint() {
    hold("", DOMAINS, a_domain);
    hold(NODE, DOMAIN_REST, a_domain);
}

#[test]
fn a_bad_pool_or_network_is_refused_with_place_cause_and_hint() {
    hold("", POOLS, |bytes| pool::parse(bytes, "x.toml"));
    hold("", NETWORKS, |bytes| network::parse(bytes, "x.toml"));
}

#[test]
fn a_bad_policy_is_refused_with_place_cause_and_hint() {
    hold("", POLICIES, |bytes| policy::parse(bytes, "x.toml"));
}

#[test]
fn a_name_of_300_letters_is_refused_without_repeating_it() {
    let text = format!("memory = \"1G\"\nname = \"{}\"", "x".repeat(300));
    let failure = a_domain(text.as_bytes()).unwrap_err();
    assert_eq!(
        failure.causes,
        ["x.toml:2:8: name: the name is 300 bytes long, at most 64 are allowed (as in \"node1\")"]
    );
}

#[test]
fn a_name_that_is_also_a_verb_is_a_name() {
    assert_eq!(a_domain(b"name = \"start\"\nmemory = \"1G\"").unwrap().name.as_str(), "start");
}

#[test]
fn one_disk_or_card_too_many_is_refused() {
    let disks: String = (0..=domain::DISKS_MAX).map(|n| format!("[[disk]]\nvolume = \"p/v{n}\"\n")).collect();
    let failure = a_domain(format!("{NODE}{disks}").as_bytes()).unwrap_err();
    assert_eq!(failure.causes, ["x.toml:35:1: disk[16]: at most 16 are allowed"]);
    let cards = "[[card]]\nnetwork = \"l\"\n".repeat(domain::CARDS_MAX + 1);
    let failure = a_domain(format!("{NODE}{cards}").as_bytes()).unwrap_err();
    assert_eq!(failure.causes, ["x.toml:35:1: card[16]: at most 16 are allowed"]);
}
