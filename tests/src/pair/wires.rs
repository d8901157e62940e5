//! The networks around two hosts: four bridges in a namespace of their own, and who is plugged into which.
//!
//! ```text
//!              lan                peers              stream             storage
//!   hosta      eth0 192.0.2.1     peer0 10.88.1.1    stream0 10.88.2.1  disk0 10.88.3.1
//!   hostb      eth0 192.0.2.2     peer0 10.88.1.2    stream0 10.88.2.2  disk0 10.88.3.2
//!   third      eth0 192.0.2.3
//!   storage                                                             disk0 10.88.3.4
//! ```
//! All /24. A port of the switch is named after who is plugged into it and the network: `hosta-lan`. What goes wrong on
//! these wires is in `trouble.rs`.

use std::sync::Arc;

use crate::Namespace;

use super::Side;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// The guests'.
    Lan,
    /// What hosts say to each other, and where nothing else is said, memory and disks as well.
    Peers,
    /// For memory and disks, where the hosts' settings name it.
    Stream,
    Storage,
}

/// Who is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Host(Side),
    /// A machine that guests talk to.
    Third,
    Storage,
}

/// The switch.
#[derive(Debug, Clone)]
pub struct Wires {
    switch: Arc<Namespace>,
}

impl Net {
    pub(crate) const ALL: [Net; 4] = [Net::Lan, Net::Peers, Net::Stream, Net::Storage];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Net::Lan => "lan",
            Net::Peers => "peers",
            Net::Stream => "stream",
            Net::Storage => "storage",
        }
    }

    /// How a machine calls its link there.
    pub const fn link(self) -> &'static str {
        match self {
            Net::Lan => "eth0",
            Net::Peers => "peer0",
            Net::Stream => "stream0",
            Net::Storage => "disk0",
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Net::Lan => "192.0.2",
            Net::Peers => "10.88.1",
            Net::Stream => "10.88.2",
            Net::Storage => "10.88.3",
        }
    }
}

impl At {
    const fn name(self) -> &'static str {
        match self {
            At::Host(side) => side.name(),
            At::Third => "third",
            At::Storage => "storage",
        }
    }

    const fn number(self) -> u8 {
        match self {
            At::Host(Side::A) => 1,
            At::Host(Side::B) => 2,
            At::Third => 3,
            At::Storage => 4,
        }
    }
}

/// The address of a machine on a network.
pub fn address(net: Net, at: At) -> String {
    format!("{}.{}", net.prefix(), at.number())
}

/// The switch's own address among peers, for a relay.
pub(super) fn relay() -> String {
    format!("{}.9", Net::Peers.prefix())
}

/// The port of the switch that it is plugged into.
pub(crate) fn port(net: Net, at: At) -> String {
    format!("{}-{}", at.name(), net.name())
}

impl Wires {
    pub(crate) fn new() -> Wires {
        let switch = Namespace::new();
        // Addresses of IPv6's own come a moment after a link does, and would be taken for something new.
        switch.run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1").expect_code(0);
        let bridge =
            |net: Net| format!("link add {name} type bridge forward_delay 0\nlink set {name} up\n", name = net.name());
        let bridges = Net::ALL.map(bridge).concat();
        switch.ips(&format!("{bridges}address add {}/24 dev {}\n", relay(), Net::Peers.name()));
        Wires { switch: Arc::new(switch) }
    }

    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    pub(crate) fn shared(&self) -> Arc<Namespace> {
        self.switch.clone()
    }

    /// Plugs a machine in.
    pub(crate) fn plug(&self, machine: &Namespace, at: At, nets: &[Net]) {
        machine.run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1").expect_code(0);
        let (mut here, mut there) = (String::new(), String::new());
        for &net in nets {
            let (port, link) = (port(net, at), net.link());
            here.push_str(&format!(
                "link add {port} type veth peer name {link} netns {machine}\nlink set {port} master {bridge} up\n",
                machine = machine.name(),
                bridge = net.name()
            ));
            there.push_str(&format!("address add {}/24 dev {link}\nlink set {link} up\n", address(net, at)));
        }
        self.switch.ips(&here);
        machine.ips(&there);
    }
}
