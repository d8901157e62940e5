//! `fief pool check`

use crate::cli::Context;
use crate::cli::findings::{self, found};
use crate::error::Result;
use crate::sandbox::protocol::{Finding, Severity, VolumeFacts};
use crate::storage::{Pool, PoolInfo};
use crate::types::{ByteSize, PoolName};

/// Less than this part of a pool left is worth a warning.
const LOW: u64 = 20;

/// Ask a pool's plugin about the pool and all its volumes; exit code 6 where something is amiss
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    name: PoolName,
    /// What the pool leads to now is what it is to lead to, though it led elsewhere before
    #[arg(long)]
    accept_identity: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let gate = if args.accept_identity { context.gate_for_change()? } else { context.gate()? };
    let mut pool = Pool::open(&gate, &args.name)?;
    let info = pool.info()?;
    let known = if args.accept_identity {
        pool.accept_identity(&info.identity)?;
        Some(info.identity.clone())
    } else {
        pool.known_identity()?
    };
    let volumes = pool.volumes()?;
    let mut findings = judge(args.name.as_str(), &info, &volumes);
    findings.extend(other_storage(args.name.as_str(), known.as_deref(), &info.identity));
    findings::report(context, &format!("pool {}", args.name), findings)
}

fn other_storage(pool: &str, known: Option<&str>, found: &str) -> Option<Finding> {
    let known = known.filter(|known| *known != found)?;
    let remedy = format!("put the server or the disk back; or fief pool check {pool} --accept-identity");
    let message = format!("leads to other storage than it did: it was {known:?}, and is {found:?} now");
    Some(Finding { remedy: Some(remedy), ..found_blocker(pool, message) })
}

fn found_blocker(pool: &str, message: String) -> Finding {
    found(Severity::Blocker, "other-storage", pool, message)
}

fn judge(pool: &str, info: &PoolInfo, volumes: &[VolumeFacts]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let room = (info.capacity.map(ByteSize::bytes), info.available.map(ByteSize::bytes));
    if let (Some(capacity), Some(available)) = room {
        if available == 0 {
            let remedy = Some("delete volumes, or give the pool more room".to_owned());
            findings.push(Finding { remedy, ..found(Severity::Blocker, "no-room", pool, "no room is left") });
        } else if available < capacity / LOW {
            let left = ByteSize::from_bytes(available).human();
            findings.push(found(Severity::Warning, "low-room", pool, format!("{left} are left")));
        }
        // What the volumes may still grow by.
        let promised: u64 = volumes.iter().map(|v| v.size.saturating_sub(v.allocated.unwrap_or(v.size))).sum();
        if promised > available {
            let message = format!(
                "the volumes may grow by {}, and {} are available",
                ByteSize::from_bytes(promised).human(),
                ByteSize::from_bytes(available).human()
            );
            findings.push(found(Severity::Note, "overcommitted", pool, message));
        }
    }
    for volume in volumes {
        let Some(backing) = &volume.backing else { continue };
        // A plugin may give the backing image as a volume's name or as its file's.
        let stem = backing.rsplit_once('.').map_or(backing.as_str(), |(stem, _)| stem);
        if !volumes.iter().any(|other| other.name == *backing || other.name == stem) {
            let object = format!("{pool}/{}", volume.name);
            let message = format!("stands on {backing}, which the pool does not list");
            findings.push(found(Severity::Warning, "backing-unknown", &object, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::operation::ImageFormat;

    #[test]
    fn a_full_pool_an_overcommitted_one_and_a_lost_backing_image_are_found() {
        let info = |available| PoolInfo {
            identity: String::new(),
            capacity: Some(ByteSize::from_mib(1000)),
            available: Some(ByteSize::from_mib(available)),
            reachable_from_peers: false,
        };
        let volume = |name: &str, backing: Option<&str>| VolumeFacts {
            name: name.to_owned(),
            size: 300 << 20,
            allocated: Some(100 << 20),
            format: ImageFormat::Qcow2,
            backing: backing.map(str::to_owned),
        };
        let codes = |available, volumes: &[VolumeFacts]| -> Vec<String> {
            judge("default", &info(available), volumes).into_iter().map(|finding| finding.code).collect()
        };
        assert_eq!(codes(900, &[volume("a", None), volume("b", Some("a"))]), Vec::<String>::new());
        assert_eq!(codes(0, &[volume("a", None)]), ["no-room", "overcommitted"]);
        assert_eq!(codes(40, &[]), ["low-room"]);
        assert_eq!(codes(900, &[volume("b", Some("gone"))]), ["backing-unknown"]);
    }
}
