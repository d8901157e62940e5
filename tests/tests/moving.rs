//! Domains that move between two hosts.
#![allow(clippy::unwrap_used)]

use fief_tests::pair::{Pair, Side};
use fief_tests::witness::{Temper, Witness};

#[test]
fn a_running_guest_moves_over_shared_storage() {
    let mut pair = Pair::new();
    pair.nfs();
    let pool = std::env::var("POOL").unwrap_or("nfs-served".into());
    let volume = format!("{pool}/w");
    pair.a().volume(&volume, "1MiB");
    let image = pair.ganesha().export().join("w");
    let witness = Witness::on(pair.a(), "w", &volume, &image, Temper::TriesAgain, &[]);
    pair.a().fief(&["start", "w"]);
    witness.goes_on(10);
    let said = pair.a().fief(&["migrate", "w", Side::B.name()]);
    eprintln!("{}{}", said.stdout, said.stderr);
    eprintln!("{}", pair.b().fief(&["list"]).stdout);
    eprintln!("{}", std::fs::read_to_string(pair.b().root().join("domains/w/supervisor.log")).unwrap());
    std::thread::sleep(std::time::Duration::from_secs(2));
    eprintln!("{}", std::fs::read_to_string(pair.b().root().join("domains/w/console.log")).unwrap());
    eprintln!("{}", pair.a().fief(&["list"]).stdout);
    pair.b().fief(&["stop", "w"]);
    pair.b().fief(&["delete", "w", "--yes"]);
}
