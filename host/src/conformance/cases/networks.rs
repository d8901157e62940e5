//! Networks: what is made for one, where its cards go, and a host that fails meanwhile.

use crate::conformance::expect::{Result, fail, inner, skip};
use crate::conformance::networks::{Asked, Bench};
use crate::conformance::{Case, Run};
use crate::error::{Failure, Kind};
use crate::gate::operation::LinkFacts;
use crate::network::Nic;
use crate::plugin::trouble::{How, Trouble};
use crate::sandbox::protocol::{ErrorCode, Severity};

/// Asks of one call that are made to fail, one in each.
const ASKS: u32 = 24;

const IDEMPOTENT: &str = "All are idempotent: what already is as asked stays, and is not an error.";
const UNDOES: &str = "if the plugin fails, the host undoes them.";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "network-up",
        what: "up brings the network up, and check finds nothing wrong with it then",
        rule: "Builds it.",
        why: "a network that was just started would be told of as broken",
        needs: None,
        run: Run::Network(up),
    },
    Case {
        id: "network-up-again",
        what: "up of a network that is up, in another instance, changes nothing",
        rule: IDEMPOTENT,
        why: "what a network lost is put back that way, under guests that run",
        needs: None,
        run: Run::Network(up_again),
    },
    Case {
        id: "network-down-up",
        what: "once it is down nothing is left of it, and it comes up again the same",
        rule: "What already is as it should be stays; the host takes it down from its ledger.",
        why: "a host would keep links that nobody owns, or a network would come back as another one",
        needs: None,
        run: Run::Network(down_up),
    },
    Case {
        id: "network-plug",
        what: "each card gets a port that the host may give it, or a clear error",
        rule: "Where one card goes.",
        why: "a domain would not start, with a fault of the plugin's for a reason",
        needs: None,
        run: Run::Network(plug),
    },
    Case {
        id: "network-plug-same",
        what: "the same card gets the same port again, in another instance",
        rule: "Where one card goes.",
        why: "a guest that is started again would be on another network",
        needs: None,
        run: Run::Network(plug_same),
    },
    Case {
        id: "network-check-looks",
        what: "check changes nothing, whether the network is up or down",
        rule: "What is amiss; changes nothing.",
        why: "whoever looks at a network would change it",
        needs: None,
        run: Run::Network(check_looks),
    },
    Case {
        id: "network-host-errors",
        what: "each thing that up asks of the host fails once: up says so, nothing is left, and it works when it is said again",
        rule: UNDOES,
        why: "a network would be told of as up that is not, without its filter perhaps",
        needs: None,
        run: Run::Network(host_errors),
    },
    Case {
        id: "network-host-denies",
        what: "all that up asks of the host is denied: it ends with an error of its own, and does not trap",
        rule: "Each is checked against policy",
        why: "an operator who grants too little would be told of a fault instead of a grant",
        needs: None,
        run: Run::Network(host_denies),
    },
];

fn card(domain: &str, index: u32, mac: &str, address: Option<&str>) -> Result<Nic> {
    let wrong = |_| Failure::other("a card that is right is said to be wrong");
    Ok(Nic {
        domain: domain.parse().map_err(|_| wrong(()))?,
        index,
        mac: mac.parse().map_err(|_| wrong(()))?,
        address: address.map(str::parse).transpose().map_err(|_| wrong(()))?,
    })
}

fn same_links(called: &str, before: &[LinkFacts], after: &[LinkFacts]) -> Result<()> {
    if before == after {
        return Ok(());
    }
    let only = |these: &[LinkFacts], those: &[LinkFacts]| {
        let all: Vec<String> = these.iter().filter(|one| !those.contains(one)).map(|one| format!("{one:?}")).collect();
        if all.is_empty() { "nothing".to_owned() } else { all.join("; ") }
    };
    let told = format!("before: {}; after: {}", only(before, after), only(after, before));
    fail(called, "the same links as before", told)
}

fn up(bench: &mut Bench) -> Result<()> {
    bench.up().gives("that the network is up")?;
    let findings = bench.check().gives("findings, or none")?;
    match findings.iter().find(|finding| finding.severity == Severity::Blocker) {
        None => Ok(()),
        Some(finding) => fail(
            "check, of a network that was just brought up",
            "no blocker",
            crate::plugin::printable(&finding.message),
        ),
    }
}

fn up_again(bench: &mut Bench) -> Result<()> {
    bench.up().gives("that the network is up")?;
    let before = bench.links()?;
    bench.start_over();
    bench.up_again().gives("success")?;
    same_links("up, of a network that is up", &before, &bench.links()?)
}

fn down_up(bench: &mut Bench) -> Result<()> {
    let names = |links: &[LinkFacts]| links.iter().map(|link| link.name.clone()).collect::<Vec<_>>();
    let before = bench.links()?;
    bench.up().gives("that the network is up")?;
    let first = names(&bench.links()?);
    bench.down()?;
    same_links("up, and down by the ledger", &before, &bench.links()?)?;
    bench.start_over();
    bench.up().gives("that the network is up again")?;
    let second = names(&bench.links()?);
    if first == second { Ok(()) } else { fail("up, again after down", first.join(", "), second.join(", ")) }
}

fn plug(bench: &mut Bench) -> Result<()> {
    bench.up().gives("that the network is up")?;
    let longest = "n".repeat(40);
    for (domain, index, mac) in
        [("node1", 0, "52:54:00:00:00:01"), ("node1", 1, "52:54:00:00:00:02"), (&longest, 7, "52:54:00:ff:ff:ff")]
    {
        bench.plug(&card(domain, index, mac, None)?).gives("a port that this network may have")?;
    }
    // One that asks for an address that the network may not have.
    match bench.plug(&card("node2", 0, "52:54:00:00:00:03", Some("203.0.113.77"))?).said {
        Err(failure) if failure.kind == Kind::PluginFault => {
            fail("plug, of a card with the address 203.0.113.77", "a port, or an error of its own", inner(&failure))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn plug_same(bench: &mut Bench) -> Result<()> {
    bench.up().gives("that the network is up")?;
    let nic = card("node1", 0, "52:54:00:00:00:01", None)?;
    let first = bench.plug(&nic).gives("a port")?;
    bench.start_over();
    let second = bench.plug(&nic).gives("a port")?;
    if first == second { Ok(()) } else { fail("plug, twice", format!("{first:?}"), format!("{second:?}")) }
}

fn check_looks(bench: &mut Bench) -> Result<()> {
    let down = bench.links()?;
    bench.check().gives("findings, or none")?;
    same_links("check, of a network that is down", &down, &bench.links()?)?;
    bench.up().gives("that the network is up")?;
    let up = bench.links()?;
    bench.check().gives("findings, or none")?;
    same_links("check, of a network that is up", &up, &bench.links()?)
}

fn host_errors(bench: &mut Bench) -> Result<()> {
    let before = bench.links()?;
    bench.up().gives("that the network is up")?;
    let whole = bench.made()?;
    bench.down()?;
    for at in 1..=ASKS {
        let when = format!(", with ask {at} of the host failing");
        bench.fail(Some(Trouble { at: Some(at), how: How::Error(ErrorCode::Io) }));
        let asked = bench.up();
        let troubled = bench.was_troubled();
        bench.fail(None);
        if !troubled {
            // It asks for no more than that.
            asked.gives("that the network is up")?;
            return if at == 1 { skip("it asks the host for nothing") } else { Ok(()) };
        }
        match asked.said {
            // It found another way.
            Ok(()) if bench.made()? == whole => {}
            Ok(()) => {
                return fail(format!("up{when}"), "an error, or all of the network", "success, with a part of it");
            }
            said @ Err(_) => {
                Asked { called: asked.called, said }.refused(&when)?;
                same_links(&format!("up{when}"), &before, &bench.links()?)?;
                bench.up().gives("that the network is up, said again")?;
            }
        }
        bench.down()?;
    }
    Ok(())
}

fn host_denies(bench: &mut Bench) -> Result<()> {
    bench.fail(Some(Trouble { at: None, how: How::Error(ErrorCode::Denied) }));
    let asked = bench.up();
    if !bench.was_troubled() {
        return skip("it asks the host for nothing");
    }
    asked.refused(", with each ask of the host denied")
}
