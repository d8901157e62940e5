//! A card whose address comes by DHCP.

use std::path::Path;
use std::process::{Child, Stdio};

use fief_tests::{Host, Namespace, eventually};

use crate::world::{CONFLICT, GATEWAY, SOON, World, armed, comes_back_to, lan, reaches_gateway, state};

/// A client of the card, and what serves it and the guests beyond.
struct Dhcp {
    _folder: tempfile::TempDir,
    server: Child,
    client: Child,
}

impl Dhcp {
    fn on(host: &Host, world: &World) -> Dhcp {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let lease = path("leases");
        std::fs::write(&lease, "").expect("a file of leases");
        let serve = format!(
            "start 192.0.2.100\nend 192.0.2.150\ninterface eth0\nlease_file {}\npidfile {}\noption subnet 255.255.255.0\n\
             option router {GATEWAY}\noption lease 3600\n",
            lease.display(),
            path("pid").display()
        );
        std::fs::write(path("udhcpd.conf"), serve).expect("a configuration");
        let script = "#!/bin/sh\ncase \"$1\" in\n\
            deconfig) ip address flush dev $interface; ip link set $interface up ;;\n\
            bound|renew) ip address replace $ip/$mask dev $interface; ip route replace default via $router ;;\nesac\n";
        std::fs::write(path("client.sh"), script).expect("a script");
        let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path("client.sh"), mode).expect("a script that runs");
        let run = |namespace: &Namespace, words: &[&str], file: &Path| {
            let mut command = namespace.command("busybox");
            command.args(words).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("busybox")
        };
        let server = run(&world.beyond, &["udhcpd", "-f"], &path("udhcpd.conf"));
        // With -R it would give its address back when it is told to end.
        let client = run(host.namespace(), &["udhcpc", "-f", "-R", "-i", "eth0", "-s"], &path("client.sh"));
        Dhcp { _folder: folder, server, client }
    }
}

impl Drop for Dhcp {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.client] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_dhcp_client_moves_along_and_a_guest_reaches_beyond() {
    let host = Host::new();
    let world = World::around(&host);
    let _dhcp = Dhcp::on(&host, &world);
    let inside = host.namespace();
    let leased = |link: &str| {
        let told = inside.ip(&format!("-4 -oneline address show dev {link}"));
        told.split_whitespace().nth(3).filter(|address| address.starts_with("192.0.2.1")).map(str::to_owned)
    };
    let address = eventually("a lease on eth0", SOON, || leased("eth0"));
    eventually("a way out", SOON, || inside.ip("route show").contains("default").then_some(()));
    let before = state(&host);

    lan(&host, &["uplink=eth0", "bridge=fief-lan"]);
    host.fief(&["network", "start", "lan"]);
    // The client asks again, for the bridge; with the card's hardware address it gets the card's lease.
    let words = |link: &str| format!("udhcpc -f -R -i {link} ");
    eventually("a client of the bridge", SOON, || (host.processes(&words("fief-lan")).len() == 1).then_some(()));
    assert_eq!(host.processes(&words("eth0")), Vec::<u32>::new());
    assert_eq!(eventually("the lease on the bridge", SOON, || leased("fief-lan")), address);
    reaches_gateway(&host);

    // Beyond serves the guest as it serves the host.
    let guest = host.run_guest("node1", &["--network", "lan"], "fief.mode=idle");
    let guest_address = guest.address();
    assert!(guest_address.starts_with("192.0.2.1"), "{guest_address} is not from beyond");
    guest.says("fief-guest: ready");
    world.beyond.run(&format!("ping -c 1 -w 20 {guest_address}")).expect_code(0);
    inside.run(&format!("ping -c 1 -w 20 {guest_address}")).expect_code(0);
    host.fief_ends(&["network", "stop", "lan"], CONFLICT);
    drop(guest);
    host.fief(&["stop", "node1"]);

    host.fief(&["network", "stop", "lan"]);
    eventually("a client of the card", SOON, || (host.processes(&words("eth0")).len() == 1).then_some(()));
    comes_back_to(&host, &before);
    reaches_gateway(&host);

    // A domain's start takes the same care of the uplink as the operator's.
    host.fief(&["start", "node1"]);
    assert_eq!((armed(&host), host.processes("guard-network")), (None, vec![]));
    eventually("a client of the bridge", SOON, || (host.processes(&words("fief-lan")).len() == 1).then_some(()));
    reaches_gateway(&host);
    host.fief(&["stop", "node1"]);
    host.fief(&["network", "stop", "lan"]);
    comes_back_to(&host, &before);
}
