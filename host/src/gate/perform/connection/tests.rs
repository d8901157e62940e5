//! Streams against listeners in a network namespace of the test's own, by names that its own `/etc/hosts` answers for.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::config::policy::{NearAddress, PluginGrants, Policy};
use crate::gate::operation::Purpose;
use crate::gate::{Actor, Ledger, Mode};
use crate::layout::Layout;
use crate::sys::netns;

/// Two servers at addresses of this namespace, and a gate whose plugin `p` may reach `{server}:{port}`.
struct Bench {
    root: tempfile::TempDir,
    first: TcpListener,
    second: TcpListener,
    port: u16,
}

impl Bench {
    fn new() -> Bench {
        netns::ip("address add 10.99.0.1/24 dev lo");
        netns::ip("address add 10.99.0.2/24 dev lo");
        let first = TcpListener::bind("10.99.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let second = TcpListener::bind(("10.99.0.2", port)).unwrap();
        Bench { root: tempfile::tempdir().unwrap(), first, second, port }
    }

    fn gate(&self, mode: Mode, allow: &[NearAddress]) -> Gate {
        let grant = ConnectionGrant {
            allow: allow.to_vec(),
            timeout: Duration::from_secs(20),
            ..ConnectionGrant::new("{server}:{port}".parse().unwrap())
        };
        let connections = [("server".parse().unwrap(), grant)].into();
        let grants = PluginGrants { connections, ..PluginGrants::default() };
        let policy = Policy { plugins: [("p".parse().unwrap(), grants)].into(), ..Policy::default() };
        Gate::new(Layout::new(self.root.path()), Arc::new(policy), mode)
    }

    fn to(&self, server: &str) -> ConnectionRef {
        let setting = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        ConnectionRef {
            plugin: "p".parse().unwrap(),
            connection: "server".parse().unwrap(),
            pool: "nas".parse().unwrap(),
            settings: [setting("server", server), setting("port", &self.port.to_string())].into(),
        }
    }
}

fn perform(gate: &Gate, operation: Operation) -> Result<Done> {
    gate.perform(&Actor::Plugin("p".parse().unwrap()), &mut Ledger::volatile(), operation, Vec::new())
}

fn opened(gate: &Gate, to: ConnectionRef) -> Result<(IpAddr, Option<IpAddr>, TcpStream)> {
    let done = perform(gate, Operation::ConnectionOpen { to, purpose: Purpose::Ask })?;
    let Outcome::Connected { address, before } = done.outcome else { panic!("{:?}", done.outcome) };
    let stream = TcpStream::from(done.descriptors.into_iter().next().unwrap());
    stream.set_nonblocking(false).unwrap();
    Ok((address.ip(), before, stream))
}

fn audited(root: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(root.join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const OWN: &[NearAddress] = &[NearAddress::ThisHost];

#[test]
fn a_stream_goes_where_the_grant_leads_and_is_audited() {
    netns::within(|| {
        let bench = Bench::new();
        let gate = bench.gate(Mode::Perform, OWN);
        let (address, before, mut stream) = opened(&gate, bench.to("10.99.0.1")).unwrap();
        assert_eq!((address, before), ("10.99.0.1".parse().unwrap(), None));
        bench.first.accept().unwrap().0.write_all(b"hello").unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        let lines = audited(bench.root.path());
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["what"]["to"]["settings"]["server"], "10.99.0.1");
        assert_eq!(lines[0]["brought"]["address"], format!("10.99.0.1:{}", bench.port));
    });
}

#[test]
fn a_name_that_leads_into_this_host_is_refused() {
    netns::within(|| {
        let bench = Bench::new();
        let _hosts = netns::hosts("127.0.0.1 inward\n10.99.0.1 own\n169.254.169.254 metadata\n0.0.0.0 nowhere\n");
        let gate = bench.gate(Mode::Perform, &[]);
        for server in ["inward", "own", "metadata", "nowhere", "127.0.0.1", "::ffff:127.0.0.1", "10.99.0.1"] {
            let failure = opened(&gate, bench.to(server)).map(drop).unwrap_err();
            assert_eq!(failure.kind, Kind::Denied, "{server}: {failure}");
            let resolved = perform(&gate, Operation::ConnectionResolve { to: bench.to(server) });
            assert_eq!(resolved.map(drop).unwrap_err().kind, Kind::Denied, "{server}");
        }
        let failure = opened(&gate, bench.to("inward")).map(drop).unwrap_err();
        assert!(failure.hint.unwrap().contains("allow = [\"loopback\"]"));
        // Nobody came by.
        bench.first.set_nonblocking(true).unwrap();
        assert!(bench.first.accept().is_err());
        assert!(audited(bench.root.path()).iter().all(|line| line["result"] == "failed"));
    });
}

#[test]
fn a_name_that_moves_moves_a_connection_only_where_the_old_place_is_gone() {
    netns::within(|| {
        let bench = Bench::new();
        let hosts = netns::hosts("10.99.0.1 nas\n");
        let gate = bench.gate(Mode::Perform, OWN);
        let one: IpAddr = "10.99.0.1".parse().unwrap();
        let two: IpAddr = "10.99.0.2".parse().unwrap();
        assert_eq!(opened(&gate, bench.to("nas")).unwrap().0, one);
        std::fs::write(&hosts, "10.99.0.2 nas\n").unwrap();
        // Another copy of the gate knows it too.
        assert_eq!(opened(&gate.clone(), bench.to("nas")).unwrap().0, one, "it is pinned");

        let Bench { root, first, second, port } = bench;
        drop(first);
        let bench = Bench { root, first: second.try_clone().unwrap(), second, port };
        // First to where it may not go: the pin stays.
        std::fs::write(&hosts, "127.0.0.1 nas\n").unwrap();
        assert!(opened(&gate, bench.to("nas")).is_err());
        std::fs::write(&hosts, "10.99.0.2 nas\n").unwrap();
        let (address, before, _) = opened(&gate, bench.to("nas")).unwrap();
        assert_eq!((address, before), (two, Some(one)));
        let lines = audited(bench.root.path());
        assert_eq!(lines.last().unwrap()["brought"]["before"], "10.99.0.1");
        assert_eq!(opened(&gate, bench.to("nas")).unwrap().1, None);
    });
}

#[test]
fn what_does_not_answer_says_so_in_time() {
    netns::within(|| {
        let bench = Bench::new();
        let _hosts = netns::hosts("10.99.0.1 nas\n");
        let gate = bench.gate(Mode::Perform, OWN);
        let mut closed = bench.to("10.99.0.1");
        closed.settings.insert("port".into(), "1".into());
        let failure = opened(&gate, closed).map(drop).unwrap_err();
        assert_eq!(failure.kind, Kind::Unreachable, "{failure}");
        let failure = opened(&gate, bench.to("unknown.invalid")).map(drop).unwrap_err();
        assert!(matches!(failure.kind, Kind::Unreachable | Kind::TimedOut), "{failure}");
        let mut nowhere = bench.to("nas");
        nowhere.settings.remove("server");
        assert_eq!(opened(&gate, nowhere).map(drop).unwrap_err().kind, Kind::Denied);
        assert_eq!(opened(&gate, bench.to("nas:22")).map(drop).unwrap_err().kind, Kind::Denied);
    });
}

#[test]
fn a_dry_run_connects_for_a_question_and_not_for_a_change() {
    netns::within(|| {
        let bench = Bench::new();
        let gate = bench.gate(Mode::DryRun, OWN);
        assert!(opened(&gate, bench.to("10.99.0.1")).is_ok());
        let to = bench.to("10.99.0.2");
        let done = perform(&gate, Operation::ConnectionOpen { to, purpose: Purpose::Change }).unwrap();
        assert_eq!((done.outcome, done.descriptors.len()), (Outcome::Assumed, 0));
        bench.second.set_nonblocking(true).unwrap();
        assert!(bench.second.accept().is_err());
    });
}
