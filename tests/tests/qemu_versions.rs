//! The same machine on the QEMU that is installed and on a newer one: 7.2 and 10 where this is Debian 12.

use fief_tests::Host;

#[test]
fn a_guest_runs_and_stops_on_the_newer_qemu_as_on_the_installed_one() {
    let mut versions = Vec::new();
    for newer in [false, true] {
        let host = Host::new();
        if newer {
            host.runs_newer_qemu();
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
