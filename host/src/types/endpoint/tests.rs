//! What is a pattern, what fills it, and what does not get into it.

use proptest::prelude::*;

use super::*;

fn filled(pattern: &str, server: &str, port: &str) -> Result<String, String> {
    let pattern: EndpointPattern = pattern.parse().unwrap();
    let value = |name: &str| match name {
        "server" => Some(server),
        "port" => Some(port),
        _ => None,
    };
    pattern.fill(value).map(|endpoint| endpoint.to_string()).map_err(|why| why.0)
}

#[test]
fn patterns_name_a_host_and_a_port() {
    for good in [
        "{server}:{port}",
        "nfs.example.com:2049",
        "10.0.0.5:111",
        "[2001:db8::1]:3260",
        "{server}.example.com:2049",
        "localhost:1",
        "a:65535",
    ] {
        assert_eq!(good.parse::<EndpointPattern>().unwrap().to_string(), good);
    }
    for bad in [
        "",
        ":",
        "a",
        "a:",
        ":80",
        "a:0",
        "a:65536",
        "a:+80",
        "a:-1",
        "a:8o",
        "::1:80",
        "[::1:80",
        "[x]:80",
        "*:80",
        "a:*",
        "{:80",
        "}:80",
        "{}:80",
        "{a b}:80",
        "{{a}}:80",
        "a b:80",
        "a/b:80",
        "10.1:80",
        "256.0.0.1:80",
        ".a:80",
        "a..b:80",
        "{a}:{b}{c}",
        "{a}:8{b}",
        "a\0:80",
        "ü:80",
        "0x7f.1:80",
        "-a:80",
    ] {
        assert!(bad.parse::<EndpointPattern>().is_err(), "{bad:?} was taken");
    }
}

#[test]
fn a_pattern_is_filled_from_settings() {
    let cases = [
        ("{server}:{port}", "NAS.example.com", "2049", "nas.example.com:2049"),
        ("{server}:{port}", "10.0.0.5", "111", "10.0.0.5:111"),
        ("{server}:{port}", "2001:db8::1", "3260", "[2001:db8::1]:3260"),
        ("{server}:{port}", "[2001:db8::1]", "3260", "[2001:db8::1]:3260"),
        ("{server}.example.com:2049", "nas", "1", "nas.example.com:2049"),
        ("[2001:db8::1]:80", "x", "1", "[2001:db8::1]:80"),
    ];
    for (pattern, server, port, wanted) in cases {
        assert_eq!(filled(pattern, server, port).as_deref(), Ok(wanted));
    }
    let pattern: EndpointPattern = "{server}.{zone}:{port}".parse().unwrap();
    assert_eq!(pattern.settings(), ["server", "zone", "port"]);
    assert!(pattern.fill(|_| None).unwrap_err().0.contains("\"server\""));
}

#[test]
fn a_value_smuggles_nothing_into_another_part() {
    for server in [
        "",
        " ",
        "a b",
        "a:22",
        "a:22#",
        "10.0.0.5:22",
        "[::1",
        "::1]",
        "fe80::1%eth0",
        "a/b",
        "a@b",
        "a\n",
        "a\0b",
        "0x7f000001",
        "2130706433",
        "127.1",
        "0177.0.0.1",
        "10.0.0.05",
        "..",
        "-a",
        "a-",
        "{server}",
        "user@a",
    ] {
        assert!(filled("{server}:{port}", server, "80").is_err(), "{server:?} was taken");
    }
    for server in ["a:22", "a b", "[::1]", "::1", "", "a/", "evil.com#"] {
        assert!(filled("{server}.example.com:80", server, "80").is_err(), "{server:?} was taken");
    }
    for port in ["", "0", "65536", "-1", "+80", " 80", "80 ", "0x50", "80:81", "80/tcp"] {
        assert!(filled("{server}:{port}", "a", port).is_err(), "{port:?} was taken");
    }
}

#[test]
fn patterns_agree_where_settings_can_make_them_one() {
    let agree = |one: &str, other: &str| {
        one.parse::<EndpointPattern>().unwrap().may_agree(&other.parse::<EndpointPattern>().unwrap())
    };
    assert!(agree("{server}:{port}", "10.0.0.5:2049") && agree("{server}:2049", "{server}:{port}"));
    assert!(!agree("{server}:111", "10.0.0.5:2049") && !agree("a:{port}", "b:{port}"));
}

#[test]
fn an_endpoint_reads_back_as_itself() {
    for text in ["nas.example.com:2049", "10.0.0.5:3260", "[2001:db8::1]:3260"] {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
    }
    for bad in ["nas", "nas:", ":80", "2001:db8::1:3260", "nas:0", "nas:80,1", "10.1:80"] {
        assert!(bad.parse::<Endpoint>().is_err(), "{bad:?} was taken");
    }
}

proptest! {
    /// Whatever a setting holds, the endpoint's text reads back as the same host and the same port.
    #[test]
    fn what_was_filled_reads_back_as_one_host_and_one_port(server in "\\PC{0,20}", port in "\\PC{0,6}") {
        if let Ok(text) = filled("{server}:{port}", &server, &port) {
            let (host, number) = text.rsplit_once(':').unwrap();
            prop_assert_eq!(number.parse::<u16>().unwrap().to_string(), number);
            prop_assert_eq!(port.trim_start_matches('0'), number);
            let read: Host = host.parse().unwrap();
            prop_assert_eq!(read, server.parse::<Host>().unwrap());
        }
    }

    #[test]
    fn nothing_makes_the_reader_panic(text in "[{}a-c.:\\[\\]0-9-]{0,12}") {
        if let Ok(pattern) = text.parse::<EndpointPattern>() {
            let _ = (pattern.settings(), pattern.fill(|_| Some("1")));
        }
    }
}
