//! `fief network start`

use std::net::IpAddr;

use crate::cli::Context;
use crate::cli::each::each;
use crate::cli::output::Format;
use crate::error::Result;
use crate::gate::{Care, Mode};
use crate::network::{Network, NetworkState};
use crate::types::{NetworkName, Span};

/// Bring networks up; one that is up stays as it is, and what it lost is put back
///
///     fief network start lan                          # undone unless the gateway still answers
///     fief network start lan --confirm-within 60s     # undone unless `fief network confirm lan` comes in time
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<NetworkName>,
    /// Undo all unless `fief network confirm` comes within this time
    #[arg(long, value_name = "TIME")]
    confirm_within: Option<Span>,
    /// A machine that has to answer afterwards, besides the gateway; where you come from by ssh if it is not given
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<IpAddr>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let care = Care {
        peer: args.peer.or_else(|| ssh_peer(&ssh_connection()?)),
        confirm_within: args.confirm_within.map(|span| span.0),
    };
    let gate = context.gate_for_change()?.careful(care);
    let mut on_trial = Vec::new();
    let done = each(context, "network", &args.names, |name| {
        let mut network = Network::open(&gate, name)?;
        let before = Network::state(&gate, name)?;
        network.up()?;
        let trial = context.mode() == Mode::Perform && Network::state(&gate, name)? == NetworkState::Trial;
        Ok(match before {
            NetworkState::Up | NetworkState::Trial => "already up",
            NetworkState::Down | NetworkState::Partial if trial => {
                on_trial.push(name.clone());
                "started on trial"
            }
            NetworkState::Down | NetworkState::Partial => "started",
        })
    });
    if matches!(context.format(), Format::Table | Format::Wide) {
        for name in on_trial {
            let left = Network::trial(&gate, &name)?.map_or(0, |trial| trial.left().as_secs());
            context.print(&format!("It is undone in {left} s, unless you say: fief network confirm {name}\n"))?;
        }
    }
    done
}

/// `SSH_CONNECTION` of this process, or of the nearest of those that it comes from: sudo takes it out of the
/// environment that it gives on.
fn ssh_connection() -> Option<String> {
    // Deeper than shells, sudo and a terminal's multiplexer nest.
    const ANCESTORS: usize = 16;
    if let Ok(own) = std::env::var("SSH_CONNECTION") {
        return Some(own);
    }
    let mut process = std::process::id();
    for _ in 0..ANCESTORS {
        process = parent(process)?;
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let said = environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(b"SSH_CONNECTION="));
        if let Some(said) = said {
            return Some(String::from_utf8_lossy(said).into_owned());
        }
    }
    None
}

/// Field 4 of /proc/PID/stat (proc(5)).
fn parent(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
    (parent > 1).then_some(parent)
}

/// The client's address in what sshd(8) tells a session: `CLIENT PORT SERVER PORT`.
fn ssh_peer(connection: &str) -> Option<IpAddr> {
    // A link-local address carries its link after a percent sign.
    connection.split_whitespace().next()?.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_ssh_session_comes_from_is_its_peer() {
        assert_eq!(ssh_peer("192.0.2.7 51820 192.0.2.1 22"), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(ssh_peer("fe80::1%eth0 51820 fe80::2%eth0 22"), Some("fe80::1".parse().unwrap()));
        assert_eq!(parent(std::process::id()).is_some(), std::os::unix::process::parent_id() > 1);
        assert_eq!(ssh_peer(""), None);
        assert_eq!(ssh_peer("UNKNOWN 65535 UNKNOWN 65535"), None);
    }
}
