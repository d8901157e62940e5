//! `fief network leases`

use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row, time};
use crate::error::Result;
use crate::network::{Lease, Network};
use crate::types::NetworkName;

/// List the addresses that a network's DHCP server has given out
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    name: NetworkName,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = context.gate()?;
    context.list(&Network::leases(&gate, &args.name)?)
}

/// dnsmasq writes 0 for a lease that does not end.
fn expiry(lease: &Lease) -> Option<String> {
    (lease.expires != 0).then(|| time(lease.expires))
}

impl Row for Lease {
    const KIND: &'static str = "lease";
    const COLUMNS: &'static [Column] =
        &[Column::left("ADDRESS"), Column::left("MAC"), Column::left("HOST"), Column::left("EXPIRES")];
    fn name(&self) -> String {
        self.address.clone()
    }
    fn cells(&self) -> Vec<Cell> {
        vec![
            self.address.as_str().into(),
            self.mac.as_str().into(),
            Cell::optional(self.host_name.as_deref()),
            Cell::optional(expiry(self)),
        ]
    }
    fn json(&self) -> Value {
        json!({ "address": self.address, "mac": self.mac, "host-name": self.host_name, "expires": expiry(self) })
    }
}
