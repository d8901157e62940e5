//! Strategies that misbehave, with a real guest: it runs on one host afterwards, and a strategy that is stopped is known by its
//! words. What the host answers to each step is in `host/tests/strategies`.

use fief_tests::invariants;
use fief_tests::pair::Side;
use fief_tests::{Host, command};

use super::bench::{Bench, How, NAME, PATIENCE, Storage, each, one_life};

const PLUGIN: &str = "hostile-strategy";

/// What it does, after which step; the exit code, and some of the words.
const FAMILIES: &[(&str, &str, i32, &str)] = &[
    ("out-of-order", "", 4, "nothing may be done"),
    ("lies", "", 7, "says that the domain has moved, and it has not"),
    ("fails", "", 1, "it has had enough"),
    ("traps", "", 7, "its code failed"),
    ("traps", "reserve", 7, "its code failed"),
    ("traps", "precopy", 7, "its code failed"),
    ("traps", "switch-over", 0, ""),
    ("spins", "precopy", 7, "it spent its processor time"),
    ("spins", "switch-over", 0, ""),
    ("grows", "reserve", 7, "it wanted more memory than its limit"),
    ("floods", "precopy", 7, ""),
    ("adjusts", "precopy", 7, ""),
    ("insists", "reserve", 7, ""),
    ("never-ends", "precopy", 7, ""),
    ("absurd", "", 0, ""),
    ("flips", "", 0, ""),
    ("postcopy", "", 5, "post-copy"),
    ("goes-on", "switch-over", 0, ""),
    ("exaggerates", "", 0, ""),
    ("long-note", "reserve", 0, ""),
];

fn installs(host: &Host) {
    let path = host.root().join("policy.toml");
    let policy = std::fs::read_to_string(&path).unwrap();
    if !policy.contains(PLUGIN) {
        std::fs::write(&path, format!("[plugins.{PLUGIN}]\ninterfaces = [\"session\"]\n{policy}")).unwrap();
        host.installs_untried("examples/strategy");
    }
}

#[test]
fn a_strategy_that_misbehaves_leaves_a_guest_that_runs() {
    let cases = FAMILIES.iter().map(|family| (format!("{} after {:?}", family.0, family.1), *family)).collect();
    each(cases, |bench: &mut Bench, (attack, after, code, words)| {
        Side::BOTH.into_iter().for_each(|side| installs(&bench.pair[side]));
        // What the cases before were at fault over is theirs.
        Side::BOTH.into_iter().for_each(|side| drop(bench.pair[side].fief(&["plugin", "release", PLUGIN])));
        bench.pair.is_made();
        let mut domain = bench.running(How::Live, Storage::Nfs("native"), &[]);
        domain.witness.may_be_on(bench.pair.b());
        let (attacks, comes_after) = (format!("attack={attack}"), format!("after={after}"));
        let migrate = ["migrate", NAME, Side::B.name(), "--strategy", PLUGIN, "--set", &attacks, "--set", &comes_after];
        let said = command::run(&mut bench.pair.a().command(&migrate), PATIENCE);
        // A busy machine may have held it up for all of its time before it asked.
        let late = code == 7 && said.stderr.contains("it ran past its deadline");
        assert_eq!(said.code, Some(code), "{}{}", said.stdout, said.stderr);
        assert!(late || said.stderr.contains(words), "{}", said.stderr);
        assert!(!said.stderr.contains('\x1b'), "{}", said.stderr);
        let there = if code == 0 { Side::B } else { Side::A };
        invariants::comes_to(&bench.pair, NAME, |side, state| (side, state) == (there, "running"));
        bench.goes_on(&mut domain);
        one_life(&mut domain);
        bench.is_sound();
        bench.ends(domain, there);
    });
}
