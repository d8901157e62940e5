//! The same machine on the QEMU that is installed and on a newer one: 7.2 and 10 where this is Debian 12.

use std::fs;

use fief_tests::Host;
use fief_tests::host::target;

#[test]
fn a_guest_runs_and_stops_on_the_newer_qemu_as_on_the_installed_one() {
    let newer = target().join("guest/newer-qemu/usr/bin/qemu-system-x86_64");
    assert!(newer.exists(), "{} is not there; `cargo xtask setup --for test` fetches it", newer.display());
    let newer = fs::canonicalize(newer).expect("a path");
    let mut versions = Vec::new();
    for qemu in [None, Some(&newer)] {
        let host = Host::new();
        if let Some(qemu) = qemu {
            let path = host.root().join("policy.toml");
            let policy = fs::read_to_string(&path).expect("a policy");
            fs::write(&path, format!("[host]\nqemu = \"{}\"\n\n{policy}", qemu.display())).expect("a policy");
        }
        versions.push(host.fief(&["host", "info", "-o", "json"]).stdout);
        host.volume("default/node1", "64MiB");
        host.host_only("lab", "10.77.0.1/24");
        let options = ["--disk", "default/node1", "--network", "lab", "--graphics", "vnc"];
        let guest = host.run_guest("node1", &options, "");
        guest.says("fief-guest: disk /dev/vda 64 MiB mounted, boot 1");
        guest.says("fief-guest: host 10.77.0.1 answers");
        guest.says("fief-guest: ready");
        // A supervisor that was killed finds its guest again on either.
        let supervisor = host.supervisor("node1");
        let supervisor = i32::try_from(supervisor).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).expect("the supervisor runs");
        drop(guest);
        host.fief(&["stop", "node1"]);
        assert_eq!(host.shown("node1")["last-end"]["reason"], "stopped");
        host.fief(&["delete", "node1", "--volumes", "--yes"]);
        host.fief(&["network", "delete", "lab"]);
        host.finish();
    }
    assert_ne!(versions[0], versions[1], "both runs were on the same QEMU");
}
