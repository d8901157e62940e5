//! A network, as two versions of its plugin see it: what is amiss with it, and the port of a card that nobody has. Nothing is
//! changed: both gates are for dry runs.

use super::Network;
use crate::error::{Failure, Kind, Result};
use crate::gate::{Gate, Ledger};
use crate::plugin::Subject;
use crate::plugin::compared::{Compared, Differs};
use crate::sandbox::protocol::{Finding, NetworkCall, Port, Return, Severity};
use crate::types::NetworkName;

/// Asks both. `older` and `newer` keep to one version each.
///
/// # Errors
/// Where there is no such network.
pub fn compare(older: &Gate, newer: &Gate, name: &NetworkName) -> Result<Compared> {
    let (mut old, mut new) = (Network::open(older, name)?, Network::open(newer, name)?);
    let (was, is) = match (old.looks(), new.looks()) {
        (Ok(was), Ok(is)) => (was, is),
        (was, is) => return Ok(Compared::without(was, is)),
    };
    let mut differ: Vec<Differs> = broken(&was, &is).into_iter().map(Differs::Answer).collect();
    match (old.tries_a_card(), new.tries_a_card()) {
        (Ok(was), Ok(is)) if was == is => {}
        (Ok(was), Ok(is)) => {
            let message = format!("a card of it goes to {}, and went to {}", told(&is), told(&was));
            differ.push(Differs::Port(message));
        }
        // Neither has a port for such a card.
        (Err(was), Err(is)) if was.kind == is.kind => {}
        (was, is) => return Ok(Compared::without(was, is)),
    }
    Ok(Compared::of(differ))
}

/// What the newer one finds in the way of the network, and the older one did not.
fn broken(was: &[Finding], is: &[Finding]) -> Vec<String> {
    let known = |finding: &Finding| {
        was.iter()
            .any(|one| (one.severity, &one.code, &one.object) == (finding.severity, &finding.code, &finding.object))
    };
    let new = is.iter().filter(|finding| finding.severity == Severity::Blocker && !known(finding));
    new.map(|finding| format!("it finds in its way what the older one did not: {}", finding.message)).collect()
}

fn told(port: &Port) -> String {
    match port {
        Port::Bridge { bridge, admit_address, mtu, vlan } => {
            let mut words = format!("the bridge {bridge}");
            let details = [
                admit_address.as_ref().map(|address| format!(", with the address {address}")),
                mtu.map(|mtu| format!(", with an MTU of {mtu}")),
                vlan.map(|vlan| format!(", in the VLAN {vlan}")),
            ];
            details.into_iter().flatten().for_each(|detail| words.push_str(&detail));
            words
        }
        Port::User { network, forwards, restricted } => format!(
            "a user network {} with {} forwards{}",
            network.as_deref().unwrap_or("of the hypervisor's"),
            forwards.len(),
            if *restricted { ", closed" } else { "" }
        ),
    }
}

impl Network {
    fn looks(&mut self) -> Result<Vec<Finding>> {
        match self.only_asked(NetworkCall::Check)? {
            Return::Findings(findings) => Ok(findings),
            _ => Err(self.odd_answer("check")),
        }
    }

    fn tries_a_card(&mut self) -> Result<Port> {
        // A domain's name may be no longer than 64 bytes, and a locally administered address is nobody's (IEEE 802, 8.4).
        let (domain, mac) = ("fief-compares".to_owned(), "52:54:00:f1:ef:00".to_owned());
        match self.only_asked(NetworkCall::Plug { domain, index: 0, mac, address: None })? {
            Return::Port(port) => Ok(port),
            _ => Err(self.odd_answer("plug")),
        }
    }

    /// A call that may change nothing; nothing is held against the plugin for it.
    fn only_asked(&mut self, function: NetworkCall) -> Result<Return> {
        let mut ledger = Ledger::volatile();
        let subject = Subject::Network(self.definition.name.clone());
        let answer = self.asked(&mut ledger, &subject, function)?;
        if ledger.is_empty() {
            return Ok(answer);
        }
        let message = format!("plugin {} changed something in a call that only asks", self.plugin);
        Err(Failure::new(Kind::PluginFault, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, code: &str, message: &str) -> Finding {
        Finding { severity, code: code.into(), object: "lab".into(), message: message.into(), remedy: None }
    }

    #[test]
    fn only_what_newly_stands_in_the_way_counts() {
        let (blocker, warning) = (Severity::Blocker, Severity::Warning);
        let was = [finding(blocker, "no-bridge", "the bridge is gone"), finding(warning, "slow", "it is slow")];
        let same = [finding(blocker, "no-bridge", "there is no bridge")];
        assert!(broken(&was, &same).is_empty() && broken(&was, &[]).is_empty());
        let more = [finding(warning, "odd", "it is odd"), finding(blocker, "slow", "it is too slow")];
        assert_eq!(broken(&was, &more), ["it finds in its way what the older one did not: it is too slow"]);
    }

    #[test]
    fn ports_are_told_with_what_may_differ() {
        let bridge = |mtu| Port::Bridge { bridge: "fief-lab".into(), admit_address: None, mtu, vlan: None };
        assert_eq!(told(&bridge(None)), "the bridge fief-lab");
        assert_eq!(told(&bridge(Some(1400))), "the bridge fief-lab, with an MTU of 1400");
        let user = Port::User { network: None, forwards: Vec::new(), restricted: true };
        assert_eq!(told(&user), "a user network of the hypervisor's with 0 forwards, closed");
    }
}
