//! What is left to the operator where a host is off for good; and what no move may ever leave lying about.

use fief_tests::pair::Side;
use fief_tests::{Canary, Host, eventually, fault};
use rustix::process::Signal;

use super::bench::{Bench, How, NAME, PATIENCE, Storage, each};
use super::points::{Who, processes, signal};

const CONFLICT: i32 = 4;
const NEEDS_RECOVERY: i32 = 11;

/// The target is gone when it was to take the domain, and nobody knows whether it did.
#[test]
fn who_knows_that_the_other_host_is_off_has_the_domain_back() {
    let ways = [(How::Live, Storage::Nfs("native")), (How::Static, Storage::Iscsi("served"))];
    let cases = ways.map(|(how, storage)| (format!("{how:?} {storage:?} claimed"), (how, storage)));
    each(cases.into(), |bench, (how, storage)| {
        let reached = bench.pair.a().root().with_extension("reached");
        let armed = fault::armed("handover.cede.synced:stop", &reached);
        let mut domain = bench.running(how, storage, &armed);
        let command = bench.sets_out(&mut domain, Side::B, &[]);
        let pid = || std::fs::read_to_string(&reached).ok()?.split_whitespace().nth(1)?.parse::<u32>().ok();
        let ceding = eventually("it is ceded", PATIENCE, pid);
        for who in [Who::Serve(Side::B), Who::Supervisor(Side::B), Who::Hypervisor(Side::B), Who::Sandboxes(Side::B)] {
            processes(bench, who, command.pid()).into_iter().for_each(|process| signal(process, Signal::KILL));
        }
        signal(ceding, Signal::CONT);
        command.ends(PATIENCE).expect_code(NEEDS_RECOVERY);
        let a = bench.pair.a();
        assert_eq!(a.state(NAME), "ceded");
        a.fief_ends(&["start", NAME], NEEDS_RECOVERY);
        a.fief(&["recover", NAME, "--claim"]);
        assert_ne!(a.state(NAME), "ceded");
        // Said again, there is nothing left to claim.
        a.fief_ends(&["recover", NAME, "--claim"], CONFLICT);
        std::fs::remove_file(&reached).unwrap();
        // The other one comes back, and learns that it has not got it.
        assert_eq!(bench.heals(&mut domain), Side::A);
        bench.again(&mut domain, Side::A);
        bench.ends(domain, Side::B);
    });
}

/// The private key by which a host is known to its peers, in hexadecimal.
fn key(host: &Host) -> String {
    let kept = std::fs::read(host.root().join("host/peer-identity")).unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
    kept["key"].as_str().unwrap().to_owned()
}

#[test]
fn no_key_of_a_host_is_anywhere_but_in_its_file_after_moves() {
    let mut bench = Bench::new();
    let keys = Side::BOTH.map(|side| key(&bench.pair[side]));
    // What it begins with says what it is, and is no secret.
    let secrets = keys.each_ref().map(|key| &key[32..]);
    let canary = Canary::of_bytes(&secrets);
    let looks = |bench: &Bench| {
        canary.not_in_processes();
        for side in Side::BOTH {
            canary.not_in_files(bench.pair[side].root(), &["host/peer-identity", "plugins"]);
        }
    };
    for (how, storage) in [(How::Live, Storage::Nfs("served")), (How::Static, Storage::File)] {
        let mut domain = bench.running(how, storage, &[]);
        for to in [Side::B, Side::A] {
            let mut command = bench.sets_out(&mut domain, to, &[]);
            while !command.is_over() {
                canary.not_in_processes();
            }
            let said = command.ends(PATIENCE).expect_code(0);
            canary.not_in("what the command said", format!("{}{}", said.stdout, said.stderr).as_bytes());
            bench.follow(&mut domain, to);
            bench.goes_on(&mut domain);
            looks(&bench);
        }
        bench.ends(domain, Side::A);
        looks(&bench);
    }
}
