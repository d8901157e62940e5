//! A plugin without anything: of each kind the same.

use std::time::{Duration, Instant};

use crate::conformance::bare::{Bench, Ended};
use crate::conformance::expect::{Result, fail};
use crate::conformance::{Case, Run};
use crate::sandbox::protocol::PluginKind;

/// How long odd settings are gone through: what is most telling comes first.
const GOING: Duration = Duration::from_secs(2);

const DENIED: &str = "all that a plugin asks of the host is denied: each of its calls ends with an error of its own or does without, and those that look say the same twice";
const ODD: &str = "whatever the settings are that its schema takes, calls end with an answer or an error of its own";
const ODD_RULE: &str = "Checked against the plugin's schema before the plugin sees it";
const ODD_WHY: &str = "an operator who mistypes a setting would be told of a fault instead of the setting";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "nothing-granted",
        what: DENIED,
        rule: "If you return an error, trap, or run past a limit, the host undoes all of it, newest first.",
        why: "an operator who grants too little would be told of a fault instead of a grant, or of a volume that is not there",
        needs: None,
        run: Run::Bare(PluginKind::Storage, nothing_granted),
    },
    Case {
        id: "settings-odd",
        what: ODD,
        rule: ODD_RULE,
        why: ODD_WHY,
        needs: None,
        run: Run::Bare(PluginKind::Storage, settings_odd),
    },
    Case {
        id: "network-nothing-granted",
        what: DENIED,
        rule: "Each is checked against policy",
        why: "an operator who grants too little would be told of a fault instead of a grant, or of a network that is not there",
        needs: None,
        run: Run::Bare(PluginKind::Network, nothing_granted),
    },
    Case {
        id: "network-settings-odd",
        what: ODD,
        rule: ODD_RULE,
        why: ODD_WHY,
        needs: None,
        run: Run::Bare(PluginKind::Network, settings_odd),
    },
    Case {
        id: "move-settings-odd",
        what: ODD,
        rule: ODD_RULE,
        why: ODD_WHY,
        needs: None,
        run: Run::Bare(PluginKind::Migration, settings_odd),
    },
];

fn nothing_granted(bench: &mut Bench) -> Result<()> {
    let settings = bench.plain()?;
    let told = ", with each ask of the host denied";
    for function in bench.functions(false)? {
        let first = bench.ask(&settings, &function, told)?;
        if first == Ended::Answered && function.makes() && bench.asked() && bench.has_nothing() {
            return fail(format!("{}{told}", function.words()), "an error, since nothing was done", "success");
        }
        if function.looks() {
            bench.start_over();
            let second = bench.ask(&settings, &function, told)?;
            if first != second {
                let called = format!("{}{told}, twice", function.words());
                return fail(called, first.words(), second.words());
            }
        }
    }
    Ok(())
}

fn settings_odd(bench: &mut Bench) -> Result<()> {
    let functions = bench.functions(true)?;
    let until = Instant::now() + GOING;
    for (odd, settings) in bench.odd() {
        for function in &functions {
            if Instant::now() > until {
                return Ok(());
            }
            bench.ask(&settings, function, &format!(", with {odd}"))?;
        }
    }
    Ok(())
}
