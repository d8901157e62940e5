//! Networks with a plugin that is played by the test, and all else real, in network namespaces of their own.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::*;
use crate::config::policy::{HostInterface, PluginGrants, Policy};
use crate::gate::Mode;
use crate::gate::operation::{Dhcp, Reach};
use crate::layout::Layout;
use crate::sandbox::protocol::Port as RawPort;
use crate::sys::netns::{Guest, ip, within};

mod mended;

/// What a host-only plugin does, and what the test makes it do besides.
#[derive(Default)]
struct Script {
    calls: Vec<&'static str>,
    fail_after_bridge: bool,
    plug_to: Option<&'static str>,
}

struct Played {
    gate: Gate,
    script: Arc<Mutex<Script>>,
}

impl Caller for Played {
    fn call(&mut self, ledger: &mut Ledger, subject: &Subject, call: Call) -> Result<Return> {
        let (Subject::Network(network), Call::Network { bridge, function, .. }) = (subject, call) else {
            panic!("not about a network")
        };
        let network = network.clone();
        let bridge: InterfaceName = bridge.parse().unwrap();
        let mut script = self.script.lock().unwrap();
        let mut act = |operation| {
            self.gate.perform(&Actor::Plugin("network-host-only".parse().unwrap()), ledger, operation, Vec::new())
        };
        match function {
            NetworkCall::Up => {
                script.calls.push("up");
                let (network, bridge) = (|| network.clone(), || bridge.clone());
                act(Operation::BridgeCreate {
                    network: network(),
                    bridge: bridge(),
                    stp: false,
                    mtu: None,
                    mac: None,
                })?;
                if script.fail_after_bridge {
                    return Err(Failure::new(Kind::PluginFault, "the plugin trapped"));
                }
                act(Operation::BridgeAddress {
                    network: network(),
                    bridge: bridge(),
                    address: "10.77.0.1/24".parse().unwrap(),
                })?;
                act(Operation::BridgeReach { network: network(), bridge: bridge(), reach: Reach::HostOnly })?;
                act(Operation::DhcpServe {
                    network: network(),
                    bridge: bridge(),
                    dhcp: Dhcp {
                        range_start: "10.77.0.100".parse().unwrap(),
                        range_end: "10.77.0.199".parse().unwrap(),
                        netmask: "255.255.255.0".parse().unwrap(),
                        router: None,
                        dns: vec![],
                        domain: None,
                        lease_seconds: 600,
                        reservations: vec![],
                    },
                })?;
                Ok(Return::Nothing)
            }
            NetworkCall::Plug { .. } => Ok(Return::Port(RawPort::Bridge {
                bridge: script.plug_to.map_or(bridge.to_string(), str::to_owned),
                admit_address: None,
                mtu: None,
                vlan: None,
            })),
            NetworkCall::Check => Ok(Return::Findings(vec![])),
        }
    }
}

/// A host with its root, and networks whose plugin is played.
struct Host {
    root: TempDir,
    gate: Gate,
    script: Arc<Mutex<Script>>,
}

impl Host {
    fn new() -> Host {
        let root = tempfile::tempdir().unwrap();
        let mut policy = Policy::default();
        policy.networks.insert("host-only".into(), "network-host-only".parse().unwrap());
        let grants = PluginGrants {
            interfaces: vec![HostInterface::Bridges],
            bridges: vec!["fief-*".into(), "br*".into()],
            ..PluginGrants::default()
        };
        policy.plugins.insert("network-host-only".parse().unwrap(), grants);
        let gate = Gate::new(Layout::new(root.path()), Arc::new(policy), Mode::Perform);
        Host { root, gate, script: Arc::default() }
    }

    fn played(&self, gate: &Gate) -> Asked {
        Asked { caller: Box::new(Played { gate: gate.clone(), script: self.script.clone() }), settings: Vec::new() }
    }

    fn network(&self, name: &str) -> Network {
        let name: NetworkName = name.parse().unwrap();
        let mut network = if Store::new(self.gate.layout(), &name).exists() {
            Network::open(&self.gate, &name).unwrap()
        } else {
            let definition = NetworkDefinition { name, kind: "host-only".into(), settings: Default::default() };
            Network::of(&self.gate, definition)
                .inspect(|network| network.store.write_definition(&network.definition).unwrap())
                .unwrap()
        };
        network.asked = Some(self.played(&self.gate));
        network
    }

    fn state(&self) -> NetworkState {
        Network::state(&self.gate, &lab()).unwrap()
    }

    fn lab_files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.gate.layout().network(&lab()))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn servers(&self) -> usize {
        let place = self.root.path().to_str().unwrap();
        let output = std::process::Command::new("pgrep").args(["-c", "-f", place]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }
}

/// A test that fails leaves nothing running.
impl Drop for Host {
    fn drop(&mut self) {
        for definition in Network::all(&self.gate).unwrap_or_default() {
            let _ = Network::down(&self.gate, &definition.name, true);
        }
    }
}

fn lab() -> NetworkName {
    "lab".parse().unwrap()
}

fn nic() -> Nic {
    Nic { domain: "node1".parse().unwrap(), index: 0, mac: "52:54:00:00:00:01".parse().unwrap(), address: None }
}

fn links_now() -> String {
    let output = std::process::Command::new("ip").args(["-brief", "link"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn rules() -> String {
    let output = std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_network_goes_up_once_and_down_without_its_plugin_leaving_nothing() {
    within(|| {
        let host = Host::new();
        let mut lab_network = host.network("lab");
        assert_eq!(host.state(), NetworkState::Down);
        lab_network.up().unwrap();
        lab_network.up().unwrap();
        assert_eq!(host.script.lock().unwrap().calls, ["up"], "one that is up and whole stays as it is");
        assert_eq!(host.state(), NetworkState::Up);
        assert_eq!(lab_network.check().unwrap(), vec![]);
        assert_eq!(Network::leases(&host.gate, &lab()).unwrap(), vec![]);
        assert!(links_now().contains("fief-lab"));
        assert!(host.servers() >= 2);

        Network::down(&host.gate, &lab(), false).unwrap();
        Network::down(&host.gate, &lab(), false).unwrap();
        assert_eq!(host.state(), NetworkState::Down);
        assert!(!links_now().contains("fief-lab"));
        assert_eq!(rules(), "");
        assert_eq!(host.servers(), 0);
        assert_eq!(host.lab_files(), ["lock", "network.toml"]);

        Network::delete(&host.gate, &lab(), false).unwrap();
        assert_eq!(Network::all(&host.gate).unwrap(), vec![]);
        assert_eq!(Network::open(&host.gate, &lab()).err().unwrap().kind, Kind::NotFound);
    });
}

#[test]
fn a_start_that_fails_in_the_middle_is_undone() {
    within(|| {
        let host = Host::new();
        host.script.lock().unwrap().fail_after_bridge = true;
        let failure = host.network("lab").up().unwrap_err();
        assert_eq!(failure.kind, Kind::PluginFault);
        assert_eq!(failure.to_string(), "cannot start network lab: the plugin trapped");
        assert_eq!(host.state(), NetworkState::Down);
        assert!(!links_now().contains("fief-lab"));
        assert_eq!(host.lab_files(), ["lock", "network.toml"]);
    });
}

#[test]
fn what_a_killed_start_left_is_undone_before_the_next_one() {
    within(|| {
        let host = Host::new();
        let mut network = host.network("lab");
        network.up().unwrap();
        network.store.remove_record().unwrap();
        assert_eq!(host.state(), NetworkState::Partial);
        let findings = network.check().unwrap();
        assert_eq!(findings.iter().map(|f| f.code.as_str()).collect::<Vec<_>>(), ["host.partial"]);
        network.up().unwrap();
        assert_eq!(host.state(), NetworkState::Up);
        assert_eq!(host.servers(), 2);
        assert_eq!(Ledger::open(&network.store.ledger_file()).unwrap().entries().len(), 4);
    });
}

#[test]
fn what_other_tools_took_away_is_found_and_put_back() {
    within(|| {
        let host = Host::new();
        let mut network = host.network("lab");
        network.up().unwrap();
        ip("link del fief-lab");
        assert!(std::process::Command::new("nft").args(["flush", "ruleset"]).status().unwrap().success());
        let found: Vec<String> =
            network.check().unwrap().into_iter().map(|f| format!("{}: {}", f.code, f.message)).collect();
        assert_eq!(
            found,
            [
                "host.drift: there is no bridge fief-lab",
                "host.drift: there is no bridge fief-lab",
                "host.drift: the packet filter of bridge fief-lab is gone or was changed",
            ]
        );
        network.up().unwrap();
        assert_eq!(network.check().unwrap(), vec![]);
        assert!(rules().contains("fief-fief-lab"));
        let guest = Guest::new("v1", Some("fief-lab"), None);
        let asks = ["busybox", "udhcpc", "-n", "-q", "-f", "-t", "5", "-T", "1", "-i", "eth0", "-s", "/bin/true"];
        assert!(guest.run(&asks).status.success(), "a guest gets an address again");
        assert_eq!(Network::leases(&host.gate, &lab()).unwrap().len(), 1);
        // Its card is there until the kernel has cleared its namespace away.
        drop(guest);
        Network::down(&host.gate, &lab(), true).unwrap();
        assert_eq!(rules(), "");
        assert_eq!(host.servers(), 0);
    });
}

fn card_on(bridge: InterfaceName) -> Operation {
    Operation::TapCreate {
        domain: "node1".parse().unwrap(),
        tap: "t1".parse().unwrap(),
        bridge,
        mac: nic().mac,
        mtu: None,
        admit_address: None,
        spoofing: Default::default(),
        bandwidth: None,
    }
}

#[test]
fn a_network_with_a_card_on_it_goes_down_only_by_force() {
    within(|| {
        let host = Host::new();
        let mut network = host.network("lab");
        network.up().unwrap();
        let Port::Bridge { bridge, .. } = network.plug(&nic()).unwrap() else { panic!("no bridge") };
        assert_eq!(bridge.as_str(), "fief-lab");
        let tap = card_on(bridge);
        let mut ledger = Ledger::volatile();
        let made = host.gate.perform(&Actor::Operator, &mut ledger, tap, Vec::new()).unwrap();
        let view = bridge_view(&host.gate, &lab()).unwrap();
        assert_eq!((view.bridge.as_str(), view.stp, view.interfaces), ("fief-lab", false, vec!["t1".to_owned()]));
        assert!(view.id.starts_with("8000.02") && view.id.len() == 17, "{}", view.id);

        let failure = Network::down(&host.gate, &lab(), false).unwrap_err();
        assert_eq!(failure.kind, Kind::Conflict);
        assert!(failure.message.contains("t1"), "{failure}");
        assert_eq!(host.state(), NetworkState::Up);
        Network::down(&host.gate, &lab(), true).unwrap();
        assert_eq!(host.state(), NetworkState::Down);
        host.gate.undo(&mut ledger).unwrap();
        drop(made);
        assert_eq!(rules(), "");
        assert_eq!(bridge_view(&host.gate, &lab()).unwrap_err().kind, Kind::NotFound);
    });
}

#[test]
fn a_card_reaches_its_own_network_or_what_was_granted_by_name() {
    within(|| {
        let host = Host::new();
        let mut other = host.network("other");
        host.script.lock().unwrap().fail_after_bridge = false;
        other.up().unwrap();
        let mut network = host.network("lab");
        let mut plugged = |to: &'static str| {
            host.script.lock().unwrap().plug_to = Some(to);
            network.plug(&nic()).map_err(|failure| failure.kind)
        };
        assert_eq!(plugged("fief-other"), Err(Kind::Denied), "another network's, though the pattern names it");
        assert_eq!(plugged("eth0"), Err(Kind::Denied));
        assert_eq!(plugged("-br"), Err(Kind::PluginFault));
        assert!(plugged("br0").is_ok());
    });
}

#[test]
fn a_bridge_name_that_another_link_has_is_not_offered() {
    within(|| {
        let host = Host::new();
        ip("link add fief-lab type bridge");
        let mut network = host.network("lab");
        network.up().unwrap();
        let view = bridge_view(&host.gate, &lab()).unwrap();
        assert_ne!(view.bridge, "fief-lab");
        Network::down(&host.gate, &lab(), false).unwrap();
        assert!(links_now().contains("fief-lab"), "what fief did not make stays");
    });
}

#[test]
fn a_dry_run_starts_and_writes_nothing() {
    within(|| {
        let host = Host::new();
        host.network("lab");
        let dry = Gate::new(host.gate.layout().clone(), Arc::new(host.gate.policy().clone()), Mode::DryRun);
        let mut network = Network::open(&dry, &lab()).unwrap();
        network.asked = Some(host.played(&dry));
        network.up().unwrap();
        assert_eq!(host.state(), NetworkState::Down);
        assert!(!links_now().contains("fief-lab"));
        Network::delete(&dry, &lab(), false).unwrap();
        assert_eq!(Network::all(&host.gate).unwrap().len(), 1);
    });
}

#[test]
fn a_kind_that_no_plugin_serves_is_refused_with_those_that_are() {
    let host = Host::new();
    let definition = NetworkDefinition { name: lab(), kind: "vxlan".into(), settings: Default::default() };
    let failure = Network::define(&host.gate, definition).err().unwrap();
    assert_eq!(failure.kind, Kind::Usage);
    assert!(failure.hint.unwrap().contains("host-only"));
}
