//! DHCP and DNS of a network: one dnsmasq, under a watcher that starts it again where it dies.
//!
//! ```text
//!   gate ── starts ─▸ fief watch-dhcp DIRECTORY ── starts, restarts ─▸ dnsmasq
//!     └─ reads watch.json, dnsmasq.pid ◂──────────────────────────────────┘
//! ```

mod configuration;
mod find;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
#[cfg(not(test))]
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Done, Gate, Operation, Outcome};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::operation::Dhcp;
use crate::gate::served::{Plan, Reserved, ServeDirectory, State, VERB};
use crate::sys::process;
use crate::types::{InterfaceName, NetworkName, ProcessId};

/// From its start until dnsmasq has bound its sockets.
const START_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks at whether it has.
const START_STEP: Duration = Duration::from_millis(5);
/// For the watcher to end dnsmasq and itself.
const STOP_GRACE: Duration = Duration::from_secs(2);

fn directory(gate: &Gate, network: &NetworkName) -> ServeDirectory {
    ServeDirectory(gate.layout().network(network).join("dhcp"))
}

pub(super) fn act(gate: &Gate, operation: &Operation) -> Result<Done> {
    let Operation::DhcpServe { network, bridge, dhcp } = operation else {
        return Err(Failure::other(format!("{operation:?} is no act on a DHCP server")));
    };
    let outcome = serve(gate, network, bridge, dhcp)
        .map_err(|failure| failure.while_doing(format!("cannot serve DHCP on bridge {bridge}")))?;
    Ok(Done { outcome, descriptors: Vec::new() })
}

/// Ends the server and its watcher, by their names where nothing else is known of them, and removes their files.
pub(super) fn undo(gate: &Gate, operation: &Operation, outcome: Option<&Outcome>) -> Result<()> {
    match (operation, outcome) {
        (_, Some(Outcome::Unchanged | Outcome::Assumed)) => Ok(()),
        (Operation::DhcpServe { network, .. }, _) => {
            let directory = directory(gate, network);
            let watcher = match outcome {
                Some(Outcome::Served { watcher, .. }) => Some(*watcher),
                _ => None,
            };
            stop(&directory, watcher)?;
            match fs::remove_dir_all(&directory.0) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(error).context(|| format!("cannot remove {}", directory.0.display()))
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// What is missing of the server; none where it serves.
pub(super) fn missing(gate: &Gate, operation: &Operation) -> Result<Option<String>> {
    match operation {
        Operation::DhcpServe { network, bridge, .. } => Ok(match serving(&directory(gate, network)) {
            Some(_) => None,
            None => Some(format!("no DHCP server answers on bridge {bridge}")),
        }),
        _ => Ok(None),
    }
}

/// The state of a server that lives under a watcher that lives and has bound its sockets.
fn serving(directory: &ServeDirectory) -> Option<State> {
    let state = directory.state()?;
    let server = state.server?;
    let stands = process::alive(state.watcher) && process::alive(server) && directory.ready() == Some(server.pid);
    stands.then_some(state)
}

fn serve(gate: &Gate, network: &NetworkName, bridge: &InterfaceName, dhcp: &Dhcp) -> Result<Outcome> {
    let dhcp = &configuration::with_cards(dhcp, &Reserved::of(gate.layout(), network).read()?);
    configuration::check(dhcp)?;
    let link = super::link::owned_bridge(network, bridge)?;
    let inside = |(address, prefix): &(std::net::IpAddr, u8)| match address {
        std::net::IpAddr::V4(address) => configuration::fits(dhcp, *address, *prefix),
        std::net::IpAddr::V6(_) => false,
    };
    if !link.addresses.iter().any(inside) {
        return Err(Failure::conflict(format!(
            "bridge {bridge} has no address in the network of the range {} to {}",
            dhcp.range_start, dhcp.range_end
        ))
        .hint("the bridge gets its address first, with the prefix of the netmask"));
    }

    let directory = directory(gate, network);
    let plan = Plan {
        program: gate.policy().host.dnsmasq.clone(),
        arguments: configuration::arguments(&directory),
        link: link.index,
    };
    let file = configuration::file(bridge, dhcp);
    let same = directory.plan().is_ok_and(|p| p == plan)
        && fs::read_to_string(directory.configuration()).is_ok_and(|text| text == file);
    if same && serving(&directory).is_some() {
        return Ok(Outcome::Unchanged);
    }

    stop(&directory, None)?;
    let saying = || format!("cannot write {}", directory.0.display());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory.0).context(saying)?;
    fs::write(directory.configuration(), file).context(saying)?;
    directory.set_plan(&plan)?;
    let started = start(&directory);
    if started.is_err() {
        stop(&directory, None)?;
    }
    let watcher = started?;
    Ok(Outcome::Served { watcher, directory: directory.0 })
}

#[cfg(not(test))]
fn this_program() -> Command {
    let mut command = Command::new(process::executable());
    command.arg0("fief");
    command
}

/// The program of the unit tests is a watcher in one of its tests.
#[cfg(test)]
fn this_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "network::watch::tests::watcher_process"]);
    command
}

fn start(directory: &ServeDirectory) -> Result<ProcessId> {
    let log_path = directory.0.join("watch.log");
    let log = fs::File::create(&log_path).context(|| format!("cannot write {}", log_path.display()))?;
    let mut child = this_program()
        .arg(VERB)
        .arg(&directory.0)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context(|| "cannot start the watcher of the DHCP server".into())?;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if let Some(state) = serving(directory) {
            return Ok(state.watcher);
        }
        if let Some(State { last_end: Some(end), .. }) = directory.state() {
            return Err(died(&end));
        }
        if let Some(status) = child.try_wait().context(|| "cannot wait for the watcher".into())? {
            return Err(died(&format!("the watcher ended ({status}): {}", last_words(&log_path))));
        }
        if Instant::now() >= deadline {
            // Without a state file it is not found by its own words.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::new(
                Kind::TimedOut,
                format!("dnsmasq has not bound its sockets in {} s", START_LIMIT.as_secs()),
            ));
        }
        std::thread::sleep(START_STEP);
    }
}

fn died(end: &str) -> Failure {
    let mut failure = Failure::other("dnsmasq does not stay up");
    failure.causes = end.lines().map(str::to_owned).collect();
    failure.hint("another server may hold port 53 or 67 of that address (`ss -ulnp`); policy.toml says where dnsmasq is: [host] dnsmasq")
}

/// The end of a short file, as text.
fn last_words(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let tail = &bytes[bytes.len().saturating_sub(2048)..];
    String::from_utf8_lossy(tail).trim().to_owned()
}

/// Ends whatever serves from this directory. The watcher goes first, or it would start dnsmasq again.
fn stop(directory: &ServeDirectory, watcher: Option<ProcessId>) -> Result<()> {
    let saying = || format!("cannot end the DHCP server of {}", directory.0.display());
    let state = directory.state();
    let known = watcher.into_iter().chain(state.as_ref().map(|s| s.watcher)).chain(find::watchers(directory));
    for watcher in known {
        process::end(watcher, STOP_GRACE).context(saying)?;
    }
    // It may have started one more before it ended: its last state, and what runs.
    let known = directory.state().and_then(|s| s.server).into_iter().chain(find::servers(directory));
    for server in known {
        process::end(server, STOP_GRACE).context(saying)?;
    }
    directory.forget_state()?;
    match fs::remove_file(directory.pid_file()) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context(saying),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
