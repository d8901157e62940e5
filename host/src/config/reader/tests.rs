//! The reader against texts that are not what a person writes.

use proptest::prelude::*;

use super::*;
use crate::config::domain::{self, RandomIdentity};
use crate::config::{network, policy, pool};

/// Reads the text as each kind of definition; every refusal has to carry a place.
fn all_refusals(bytes: &[u8]) -> Vec<Failure> {
    let refusals = [
        domain::parse(bytes, "x", &mut RandomIdentity).err(),
        pool::parse(bytes, "x").err(),
        network::parse(bytes, "x").err(),
        policy::parse(bytes, "x").err(),
    ];
    refusals.into_iter().flatten().collect()
}

fn has_places(failure: &Failure) -> bool {
    !failure.causes.is_empty()
        && failure.causes.iter().all(|cause| {
            let mut parts = cause.splitn(4, ':');
            let file = parts.next();
            let place = [parts.next(), parts.next()];
            let placed = place.iter().all(|n| n.is_some_and(|n| n.parse::<usize>().is_ok_and(|n| n > 0)));
            (file == Some("x") && placed) || cause.starts_with("and ")
        })
}

#[test]
fn all_mistakes_of_a_file_come_at_once_in_its_order() {
    let text = "nme = \"n\"\nmemory = 1\n[boot]\nfirmware = \"bois\"\n[[card]]\nmac = \"x\"\n";
    let failure = domain::parse(text.as_bytes(), "node1.toml", &mut RandomIdentity).unwrap_err();
    assert_eq!(failure.message, "domain definition node1.toml has 6 mistakes");
    let starts: Vec<&str> = failure.causes.iter().map(|c| c.split(": ").next().unwrap()).collect();
    let places = ["1:1", "1:1", "2:10", "4:12", "5:1", "6:7"].map(|place| format!("node1.toml:{place}"));
    assert_eq!(starts, places);
}

#[test]
fn a_byte_order_mark_and_carriage_returns_change_nothing() {
    let text = "\u{feff}name = \"n\"\r\nmemory = \"1G\"\r\n\r\n[boot]\r\nfirmware = \"uefi\"\r\n";
    let definition = domain::parse(text.as_bytes(), "x", &mut RandomIdentity).unwrap();
    assert_eq!((definition.name.as_str(), definition.boot.firmware), ("n", domain::Firmware::Uefi));
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_with_their_place() {
    let failure = pool::parse(b"name = \"p\"\nkind = \"\xc3\xa4\xff\"", "x").unwrap_err();
    assert_eq!(failure.causes, ["x:2:10: the byte 0xff is not UTF-8 (save the file as UTF-8)"]);
}

#[test]
fn columns_count_characters_not_bytes() {
    let failure = pool::parse("name = \"p\"\nkind = \"file\"\nx = { \"äöü\" = 1, y = 2, y = 3 }".as_bytes(), "x");
    let places = failure.unwrap_err().causes.concat();
    assert!(places.contains("x:3:25: the key \"y\" is written twice"), "{places}");
}

#[test]
fn more_than_a_mebibyte_is_refused_and_not_read() {
    struct Endless(u64);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += buffer.len() as u64;
            assert!(self.0 < 8 << 20, "the whole stream is read");
            buffer.fill(b'#');
            Ok(buffer.len())
        }
    }
    let failure = read_all(Endless(0), "standard input").unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (Kind::Usage, "standard input is longer than 1 MiB"));
    assert!(read_all(std::io::repeat(b'#').take(FILE_MAX), "x").is_ok());
    assert_eq!(pool::parse(&vec![b'#'; FILE_MAX as usize + 1], "x").unwrap_err().message, "x is longer than 1 MiB");
}

#[test]
fn a_path_that_is_no_readable_file_is_refused_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert_eq!(read_file(&at("missing.toml")).unwrap_err().kind, Kind::NotFound);
    assert_eq!(read_file(folder.path()).unwrap_err().kind, Kind::Usage);
    std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
    assert_eq!(read_file(&at("loop")).unwrap_err().kind, Kind::Usage);
    std::fs::write(at("good.toml"), "name = \"p\"").unwrap();
    assert_eq!(read_file(&at("good.toml")).unwrap(), b"name = \"p\"");
}

#[test]
fn a_hundred_thousand_nested_things_do_not_reach_the_stack() {
    const MANY: usize = 100_000;
    let texts = [
        format!("x = {}", "[".repeat(MANY)),
        format!("x = {}{}", "[".repeat(MANY), "]".repeat(MANY)),
        format!("x = {}", "{a=".repeat(MANY)),
        format!("x = {}1{}", "{a=".repeat(MANY), "}".repeat(MANY)),
        format!("{}x = 1", "a.".repeat(MANY)),
        format!("[{}x]", "a.".repeat(MANY)),
        format!("[[{}x]]", "a . ".repeat(MANY)),
        format!("x = {}", "{a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=".repeat(20_000)),
        "[".repeat(MANY),
    ];
    // A thread's stack, not the main one's eight megabytes.
    let checked = std::thread::Builder::new().stack_size(512 << 10).spawn(move || {
        for text in &texts {
            for failure in all_refusals(text.as_bytes()) {
                assert_eq!(failure.causes.len(), 1);
                assert!(failure.causes[0].contains("nested more than 16 deep"), "{failure}");
                assert!(has_places(&failure), "{failure}");
            }
        }
        // The deepest that the measure lets through is read and dropped on the same stack.
        let deepest = format!("x = {}1{}", "{a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=".repeat(16), "}".repeat(16));
        assert!(all_refusals(deepest.as_bytes()).iter().all(|failure| failure.causes[0].contains(" key ")));
    });
    checked.unwrap().join().unwrap();
}

#[test]
fn of_a_hundred_thousand_mistakes_fifty_are_shown() {
    let text: String = (0..100_000).map(|n| format!("k{n}=1\n")).collect();
    let failure = policy::parse(text.as_bytes(), "x").unwrap_err();
    assert_eq!(failure.causes.len(), 51);
    assert!(failure.causes[50].starts_with("and "));
    assert!(has_places(&failure));
    let text = "k=1\n".repeat(200_000);
    assert_eq!(policy::parse(text.as_bytes(), "x").unwrap_err().causes.len(), 51);
}

#[test]
fn what_a_file_says_reaches_no_terminal_raw() {
    assert_eq!(one_line("a\u{1b}[2J\u{202e}b\nc\"'\\"), "a\\u{1b}[2J\\u{202e}b\\nc\"'\\");
    assert_eq!(one_line(&"x".repeat(5_000)).chars().count(), 201);
    let failure = policy::parse(b"x = 1", "evil\u{1b}[2J\n.toml").unwrap_err();
    assert!(!format!("{failure}").contains(char::is_control), "{failure:?}");
}

/// Pieces of TOML in any order: more often nearly right than random bytes are.
fn soup() -> impl Strategy<Value = String> {
    let pieces = [
        "name",
        "memory",
        "disk",
        "card",
        "boot",
        "plugins",
        "limits",
        "settings",
        "to",
        "a",
        ".",
        "=",
        " = ",
        "\n",
        "\r\n",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "\"x\"",
        "\"1G\"",
        "1",
        "-1",
        "1e309",
        "nan",
        "true",
        "1979-05-27T07:32:00Z",
        "0x",
        "_",
        "#",
        "\\u00",
        "é",
        "\u{feff}",
        "\0",
        "\t",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_with_a_place(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for failure in all_refusals(&bytes) {
            prop_assert!(has_places(&failure), "{:?}", failure);
        }
    }

    #[test]
    fn any_pieces_of_toml_are_read_or_refused_with_a_place(text in soup()) {
        for failure in all_refusals(text.as_bytes()) {
            prop_assert!(has_places(&failure), "{:?}", failure);
        }
    }
}
