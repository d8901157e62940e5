//! The `nft` program (nft(8)), fed with JSON and never with text.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::MemfdFlags;
use serde_json::Value;

use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;

/// A transaction takes milliseconds; past this another program holds the kernel's lock on the rules for good.
const LIMIT: Duration = Duration::from_secs(5);
/// What is read of its words, in bytes: a list of one table's chains fits.
const OUTPUT_MAX: u64 = 64 << 10;

/// Does all that `ruleset` says, or nothing.
pub(super) fn apply(gate: &Gate, ruleset: &Value) -> Result<()> {
    let answer =
        run(gate, &["--json", "--file", "-"], &serde_json::to_vec(ruleset).context(|| "cannot write JSON".into())?)?;
    if answer.ok { Ok(()) } else { Err(refused(&answer)) }
}

/// Whether a table is there with exactly these chains.
pub(super) fn stands(gate: &Gate, family: &str, table: &str, chains: &[&str]) -> Result<bool> {
    let answer = run(gate, &["--json", "--terse", "list", "table", family, table], b"")?;
    if !answer.ok {
        return Ok(false);
    }
    let listed: Value = serde_json::from_str(&answer.output).context(|| "cannot read what nft lists".into())?;
    let found: Vec<&str> =
        listed["nftables"].as_array().into_iter().flatten().filter_map(|item| item["chain"]["name"].as_str()).collect();
    let rules = listed["nftables"].as_array().into_iter().flatten().any(|item| item.get("rule").is_some());
    Ok(rules && found.len() == chains.len() && chains.iter().all(|chain| found.contains(chain)))
}

struct Answer {
    ok: bool,
    output: String,
    errors: String,
}

fn refused(answer: &Answer) -> Failure {
    let mut failure = Failure::other("nft refused");
    failure.causes =
        answer.errors.lines().filter(|l| l.starts_with("Error") || l.contains(": Error")).map(str::to_owned).collect();
    if answer.errors.contains("not permitted") {
        failure.kind = Kind::Denied;
        return failure.hint("packet filters need root (CAP_NET_ADMIN)");
    }
    failure.hint("`nft list ruleset` shows what is there; the kernel needs nf_tables with inet, netdev and fib")
}

/// Its input and output are memory, not pipes, so that neither side can wait for the other.
fn memory() -> Result<std::fs::File> {
    rustix::fs::memfd_create("nft", MemfdFlags::CLOEXEC).map(std::fs::File::from).context(|| "cannot get memory".into())
}

fn run(gate: &Gate, arguments: &[&str], input: &[u8]) -> Result<Answer> {
    let program = &gate.policy().host.nft;
    let saying = || format!("cannot run {}", program.display());
    let (mut stdin, mut stdout, mut stderr) = (memory()?, memory()?, memory()?);
    stdin.write_all(input).context(saying)?;
    stdin.seek(SeekFrom::Start(0)).context(saying)?;
    let copy = |file: &std::fs::File| file.try_clone().map(OwnedFd::from).map(Stdio::from).context(saying);
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(copy(&stdin)?)
        .stdout(copy(&stdout)?)
        .stderr(copy(&stderr)?)
        .spawn()
        .context(saying)
        .map_err(|failure| {
            failure.hint("install nftables, or say in policy.toml where it is: [host] nft = \"/…/nft\"")
        })?;
    let process = crate::sys::process::identify(child.id());
    let ended = match process {
        Some(process) => crate::sys::process::ended(process, LIMIT).context(saying)?,
        None => true,
    };
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().context(saying)?;
    if !ended {
        return Err(Failure::new(
            Kind::TimedOut,
            format!("{} did not end in {} s", program.display(), LIMIT.as_secs()),
        ));
    }
    let text = |file: &mut std::fs::File| -> Result<String> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).context(saying)?;
        file.take(OUTPUT_MAX).read_to_end(&mut bytes).context(saying)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Answer { ok: status.success(), output: text(&mut stdout)?, errors: text(&mut stderr)? })
}
