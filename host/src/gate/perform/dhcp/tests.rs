//! With a real bridge, dnsmasq and DHCP client, in network namespaces of their own.

use std::sync::Arc;

use rustix::process::Signal;
use tempfile::TempDir;

use super::*;
use crate::gate::Mode;
use crate::gate::perform::{act as perform, missing as lost, undo as undone};
use crate::layout::Layout;
use crate::sys::netns::{Guest, within};

struct World {
    gate: Gate,
    root: TempDir,
}

impl World {
    fn new() -> World {
        World::serving_with(|_| {})
    }
    fn serving_with(change: impl FnOnce(&mut crate::config::policy::Policy)) -> World {
        let root = tempfile::tempdir().unwrap();
        let mut policy = crate::config::policy::Policy::default();
        change(&mut policy);
        let gate = Gate::new(Layout::new(root.path()), Arc::new(policy), Mode::Perform);
        let (network, bridge): (NetworkName, InterfaceName) = ("lab".parse().unwrap(), "fief-lab".parse().unwrap());
        let create = Operation::BridgeCreate {
            network: network.clone(),
            bridge: bridge.clone(),
            stp: false,
            mtu: None,
            mac: None,
        };
        perform(&gate, &create, Vec::new()).unwrap();
        let address = Operation::BridgeAddress { network, bridge, address: "10.77.0.1/24".parse().unwrap() };
        perform(&gate, &address, Vec::new()).unwrap();
        World { gate, root }
    }
    fn directory(&self) -> ServeDirectory {
        directory(&self.gate, &"lab".parse().unwrap())
    }
    fn serve(&self, operation: &Operation) -> Result<Outcome> {
        perform(&self.gate, operation, Vec::new()).map(|done| done.outcome)
    }
    fn processes(&self) -> Vec<ProcessId> {
        let directory = self.directory();
        find::watchers(&directory).into_iter().chain(find::servers(&directory)).collect()
    }
}

/// A test that fails leaves nothing running.
impl Drop for World {
    fn drop(&mut self) {
        let _ = stop(&self.directory(), None);
    }
}

fn serve(start: &str, end: &str) -> Operation {
    Operation::DhcpServe {
        network: "lab".parse().unwrap(),
        bridge: "fief-lab".parse().unwrap(),
        dhcp: Dhcp {
            range_start: start.parse().unwrap(),
            range_end: end.parse().unwrap(),
            netmask: "255.255.255.0".parse().unwrap(),
            router: None,
            dns: vec![],
            domain: Some("lab.example".into()),
            lease_seconds: 600,
            reservations: vec![("52:54:00:00:00:05".parse().unwrap(), "10.77.0.5".parse().unwrap())],
        },
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One DHCP exchange; what the client was told, as `key=value` lines.
fn lease(world: &World, guest: &Guest) -> String {
    let told = world.root.path().join("told");
    let script = world.root.path().join("script");
    fs::write(&script, format!("#!/bin/sh\n[ \"$1\" = bound ] && env > {}\nexit 0\n", told.display())).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let words =
        ["busybox", "udhcpc", "-n", "-q", "-f", "-t", "5", "-T", "1", "-x", "hostname:node1", "-i", "eth0", "-s"];
    let output = guest.run(&[&words[..], &[script.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(told).unwrap()
}

#[test]
fn a_guest_gets_an_address_and_no_route() {
    within(|| {
        let world = World::new();
        let operation = serve("10.77.0.100", "10.77.0.199");
        let Outcome::Served { watcher, .. } = world.serve(&operation).unwrap() else { panic!("not served") };
        assert!(process::alive(watcher));
        assert_eq!(lost(&world.gate, &operation).unwrap(), None);

        let guest = Guest::new("v1", Some("fief-lab"), None);
        let told = lease(&world, &guest);
        let has = |key: &str| told.lines().any(|line| line.starts_with(key));
        assert!(has("ip=10.77.0.1") && has("subnet=255.255.255.0") && has("domain=lab.example"), "{told}");
        assert!(has("dns=10.77.0.1"), "{told}");
        assert!(!has("router="), "{told}");

        guest.ip("address add 10.77.0.5/24 dev eth0");
        let names = guest.run(&["busybox", "nslookup", "-type=a", "node1.lab.example", "10.77.0.1"]);
        let said = String::from_utf8_lossy(&names.stdout).into_owned();
        assert!(said.contains("Address: 10.77.0.1"), "{said}");
        let outside = guest.run(&["busybox", "nslookup", "-type=a", "debian.org", "10.77.0.1"]);
        assert!(String::from_utf8_lossy(&outside.stdout).contains("REFUSED"), "no one above is asked");

        let leases = fs::read_to_string(world.directory().leases()).unwrap();
        assert!(leases.contains("node1"), "{leases}");

        let card = Guest::new("v2", Some("fief-lab"), None);
        card.ip("link set eth0 address 52:54:00:00:00:05");
        assert!(lease(&world, &card).lines().any(|line| line == "ip=10.77.0.5"), "a reservation is kept");

        undone(&world.gate, &operation, Some(&Outcome::Served { watcher, directory: world.directory().0 })).unwrap();
        assert_eq!(world.processes(), vec![]);
        assert!(!world.directory().0.exists());
        assert!(lost(&world.gate, &operation).unwrap().is_some());
    });
}

#[test]
fn the_same_again_stays_and_another_range_takes_its_place() {
    within(|| {
        let world = World::new();
        let operation = serve("10.77.0.100", "10.77.0.199");
        let Outcome::Served { watcher, .. } = world.serve(&operation).unwrap() else { panic!("not served") };
        assert_eq!(world.serve(&operation).unwrap(), Outcome::Unchanged);
        assert!(process::alive(watcher));

        let Outcome::Served { watcher: second, .. } = world.serve(&serve("10.77.0.10", "10.77.0.19")).unwrap() else {
            panic!("not served")
        };
        assert!(!process::alive(watcher));
        assert!(process::alive(second));
        assert_eq!(world.processes().len(), 2);
        undone(&world.gate, &operation, None).unwrap();
        assert_eq!(world.processes(), vec![]);
    });
}

#[test]
fn a_server_that_dies_is_started_again() {
    within(|| {
        let world = World::new();
        let operation = serve("10.77.0.100", "10.77.0.199");
        world.serve(&operation).unwrap();
        let first = world.directory().state().unwrap().server.unwrap();
        process::kill(first, Signal::KILL).unwrap();
        until("its end", || lost(&world.gate, &operation).unwrap().is_some());
        until("its restart", || lost(&world.gate, &operation).unwrap().is_none());
        let state = world.directory().state().unwrap();
        assert_eq!(state.restarts, 1);
        assert_ne!(state.server, Some(first));
        undone(&world.gate, &operation, None).unwrap();
        assert_eq!(world.processes(), vec![]);
    });
}

#[test]
fn what_a_killed_watcher_left_is_found_and_ended() {
    within(|| {
        let world = World::new();
        let operation = serve("10.77.0.100", "10.77.0.199");
        let Outcome::Served { watcher, .. } = world.serve(&operation).unwrap() else { panic!("not served") };
        process::kill(watcher, Signal::KILL).unwrap();
        until("the watcher's end", || !process::alive(watcher));
        world.directory().forget_state().unwrap();
        assert_eq!(find::servers(&world.directory()).len(), 1);
        undone(&world.gate, &operation, None).unwrap();
        assert_eq!(world.processes(), vec![]);
        undone(&world.gate, &operation, None).unwrap();
    });
}

#[test]
fn a_server_that_does_not_start_says_why_and_leaves_nothing() {
    within(|| {
        let program = tempfile::tempdir().unwrap();
        let path = program.path().join("dnsmasq");
        fs::write(&path, "#!/bin/sh\necho 'failed to bind: Address in use' >&2\nexit 2\n").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for (dnsmasq, word) in [(path, "Address in use"), ("/nowhere/dnsmasq".into(), "/nowhere/dnsmasq")] {
            let world = World::serving_with(|policy| policy.host.dnsmasq = dnsmasq);
            let failure = world.serve(&serve("10.77.0.100", "10.77.0.199")).unwrap_err();
            assert!(failure.to_string().contains(word), "{failure}");
            assert!(failure.hint.is_some());
            assert_eq!(world.processes(), vec![]);
        }
    });
}

#[test]
fn a_bridge_without_an_address_in_the_range_is_not_served() {
    within(|| {
        let world = World::new();
        let failure = world.serve(&serve("10.78.0.100", "10.78.0.199")).unwrap_err();
        assert!(failure.to_string().contains("outside the network"), "{failure}");
        let Operation::DhcpServe { network, bridge, mut dhcp } = serve("10.78.0.100", "10.78.0.199") else { panic!() };
        dhcp.reservations.clear();
        let failure = world.serve(&Operation::DhcpServe { network, bridge, dhcp }).unwrap_err();
        assert_eq!(failure.kind, Kind::Conflict);
        assert_eq!(world.processes(), vec![]);
    });
}
