//! Volumes on a real NFS server.

use std::time::Duration;

use fief_tests::ganesha::Versions;
use fief_tests::{Ganesha, Namespace, command};

/// A client that is not ours sees what the server exports.
fn listed(namespace: &Namespace, server: &Ganesha, version: u8) -> String {
    let url = format!(
        "nfs://{}{}?nfsport={}&mountport={}&version={version}",
        server.address(),
        server.share(),
        server.port(),
        server.mount_port()
    );
    let mut list = namespace.command("nfs-ls");
    command::run(list.arg(url), Duration::from_secs(30)).expect_code(0).stdout
}

#[test]
fn the_server_of_these_tests_ends_and_comes_back() {
    let host = Namespace::new();
    let mut server = Ganesha::with_room(&host, Versions::ThreeAndFour, Some(16 << 20));
    std::fs::write(server.export().join("here"), "it is").unwrap();
    for version in [3, 4] {
        assert!(listed(&host, &server, version).contains("here"), "v{version}");
    }
    server.kill();
    server.restart();
    assert!(listed(&host, &server, 3).contains("here"));
}
