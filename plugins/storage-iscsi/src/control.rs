//! Control calls: a session for each, logged in to, asked, and said goodbye to.

use std::time::{Duration, Instant};

use fief_sdk::storage::{
    Access, Attachment, Format, IscsiNode, PoolInfo, StorageBackend, Transport, Volume, VolumeSpec,
};
use fief_sdk::{Error, ErrorCode, Result};

use crate::StorageIscsi;
use crate::exchange::{Carrier, Connect, Exchange, discover};
use crate::isid;
use crate::protocol::discovery::Offered;
use crate::protocol::login::Refusal;
use crate::protocol::offer::Wish;
use crate::scsi::{command, lun};
use crate::settings::{IscsiPool, Settings, portal};
use crate::stream::{Plain, Stream, now};
use crate::unit::{self, number, volume_name};

pub type Session = Exchange<Plain, ()>;

/// Longest name of a volume: `lun16383`.
const LONGEST_NAME: u32 = 8;
/// How often a discovery is begun, and how long after the first one may be begun anew: a portal that says nothing takes
/// half of a call's time until that is noticed.
const DISCOVERIES: u32 = 3;
const DISCOVERY: Duration = Duration::from_secs(5);
/// Between two of them, in milliseconds.
const PAUSE: u32 = 100;
/// Names of targets that a message lists.
const LISTED: usize = 8;

/// Logs in, asks, and says goodbye.
pub fn with<T>(pool: &IscsiPool, isid: [u8; 6], ask: impl AsyncFnOnce(&Session) -> Result<T>) -> Result<T> {
    now(async {
        let session = match Session::open(pool, isid).await {
            Ok(session) => session,
            Err(refused @ Connect::Refused(Refusal::NoSuchTarget)) => {
                let error = refused.error(pool);
                return Err(with_names(error, offered::<Plain>(pool, isid).await));
            }
            Err(refused) => return Err(refused.error(pool)),
        };
        let outcome = ask(&session).await;
        session.close().await;
        outcome
    })
}

/// The names of the targets that the portal offers. A discovery that is cut, or whose portal falls silent, is begun anew,
/// while there is time left in this call.
pub async fn offered<S: Stream>(pool: &IscsiPool, isid: [u8; 6]) -> Result<Vec<String>> {
    let until = Instant::now() + DISCOVERY;
    for _ in 1..DISCOVERIES {
        match discover::<S>(pool, isid).await {
            Err(error) if is_passing(&error) && Instant::now() < until => S::pause(PAUSE).await,
            outcome => return names(outcome),
        }
    }
    names(discover::<S>(pool, isid).await)
}

fn names(offered: Result<Vec<Offered>>) -> Result<Vec<String>> {
    offered.map(|all| all.into_iter().map(|one| one.name).collect())
}

fn is_passing(error: &Error) -> bool {
    matches!(error.code, ErrorCode::Unreachable | ErrorCode::Timeout)
}

/// A wrong name is answered with the right ones, where the portal tells them.
fn with_names(mut error: Error, offered: Result<Vec<String>>) -> Error {
    let more = match offered {
        Ok(names) if names.is_empty() => "; it shows none to this initiator".to_owned(),
        Ok(names) if names.len() > LISTED => {
            format!("; it has {} and {} more", names[..LISTED].join(", "), names.len() - LISTED)
        }
        Ok(names) => format!("; it has {}", names.join(", ")),
        // Why it tells nothing is another matter than the wrong name.
        Err(_) => String::new(),
    };
    error.message.push_str(&more);
    error
}

/// The unit's number, or `not-found`.
pub fn unit_of(pool: &IscsiPool, name: &str) -> Result<(u32, [u8; 8])> {
    let found = number(name).and_then(|number| lun::encode(number).map(|lun| (number, lun)));
    found.ok_or_else(|| missing(pool, name))
}

fn missing(pool: &IscsiPool, name: &str) -> Error {
    Error::not_found(format!(
        "there is no volume {name} in pool {}: its volumes are the disks of target {}, named lun0, lun1 and so on",
        pool.name, pool.settings.target
    ))
}

async fn volume(session: &impl Carrier, number: u32, lun: [u8; 8]) -> Result<Option<Volume>> {
    let standard = match unit::standard(session, lun).await {
        // Targets that answer for a unit that is not there, and targets that do not.
        Err(error) if error.code == ErrorCode::NotFound => return Ok(None),
        standard => standard?,
    };
    if !standard.disk {
        return Ok(None);
    }
    let capacity = unit::capacity(session, lun).await?;
    Ok(Some(Volume {
        name: volume_name(number),
        size: capacity.bytes(),
        allocated: None,
        format: Format::Raw,
        backing: None,
    }))
}

async fn numbers(session: &impl Carrier) -> Result<Vec<u32>> {
    const ROOM: u32 = 8 + 8 * lun::MOST as u32;
    Ok(lun::listed(&session.carry(command::report_luns(ROOM), "cannot list the units").await?))
}

fn find(pool: &IscsiPool, name: &str) -> Result<Option<Volume>> {
    let Ok((number, lun)) = unit_of(pool, name) else { return Ok(None) };
    with(pool, isid::new()?, async |session| volume(session, number, lun).await)
}

impl StorageBackend for StorageIscsi {
    type Settings = Settings;

    fn info(pool: &IscsiPool) -> Result<PoolInfo> {
        // A listing proves that commands are carried out, not just that one may log in.
        with(pool, isid::new()?, async |session| numbers(session).await)?;
        Ok(PoolInfo {
            // The name of a target is its own in all the world (RFC 7143, section 4.2.7).
            identity: format!("iscsi:{}", pool.settings.target.to_lowercase()),
            capacity: None,
            available: None,
            reachable_from_peers: true,
            max_name: LONGEST_NAME,
        })
    }

    fn all(pool: &IscsiPool) -> Result<Vec<Volume>> {
        with(pool, isid::new()?, async |session| {
            let mut all = Vec::new();
            for number in numbers(session).await? {
                let Some(lun) = lun::encode(number) else { continue };
                match volume(session, number, lun).await {
                    Ok(found) => all.extend(found),
                    // Nothing can be read any more: what is left would be an empty list.
                    Err(error) if matches!(error.code, ErrorCode::Unreachable | ErrorCode::Timeout) => {
                        return Err(error);
                    }
                    Err(error) => fief_sdk::warn!("left out of the list", lun = number, cause = error.message),
                }
            }
            Ok(all)
        })
    }

    fn find(pool: &IscsiPool, name: &str) -> Result<Volume> {
        find(pool, name)?.ok_or_else(|| missing(pool, name))
    }

    fn create(pool: &IscsiPool, spec: &VolumeSpec) -> Result<Volume> {
        const SECTOR: u64 = 512;
        if spec.format != Format::Raw {
            return Err(Error::unsupported(
                "a unit of an iSCSI target is a raw disk; leave the format out, or say raw",
            ));
        }
        let size = spec.size.checked_next_multiple_of(SECTOR).unwrap_or(spec.size);
        match find(pool, &spec.name)? {
            Some(there) if there.size == size => Ok(there),
            Some(there) => {
                Err(Error::already_exists(format!("volume {} is there already, with {} bytes", spec.name, there.size)))
            }
            None => Err(Error::unsupported(format!(
                "units are made on the target: make one of {size} bytes at {}, and it is here as lun and its number",
                pool.settings.portal
            ))),
        }
    }

    fn delete(pool: &IscsiPool, name: &str) -> Result<()> {
        match find(pool, name)? {
            None => Ok(()),
            Some(_) => Err(Error::unsupported(format!(
                "units are removed on the target: remove {name} of {} at {}, and it is gone here",
                pool.settings.target, pool.settings.portal
            ))),
        }
    }

    fn resize(pool: &IscsiPool, name: &str, size: u64) -> Result<Volume> {
        let there = find(pool, name)?.ok_or_else(|| missing(pool, name))?;
        if there.size == size {
            return Ok(there);
        }
        if size < there.size {
            return Err(Error::invalid(format!(
                "volume {name} has {} bytes and cannot shrink: what lies at its end would be lost",
                there.size
            )));
        }
        Err(Error::unsupported(format!(
            "units grow on the target: {name} has {} bytes there now; give it {size} at {}, then say the same again",
            there.size, pool.settings.portal
        )))
    }

    fn attach(pool: &IscsiPool, name: &str, access: Access) -> Result<Attachment> {
        let (number, lun) = unit_of(pool, name)?;
        let unit = with(pool, isid::new()?, async |session| unit::examine(session, lun).await)
            .map_err(|error| error.while_doing(format!("cannot attach volume {name}")))?;
        match access {
            Access::ReadOnly => {}
            Access::Exclusive | Access::Handover if unit.mode.write_protected => {
                return Err(Error::denied(format!("volume {name} is write-protected on the target")));
            }
            Access::Exclusive | Access::Handover => {}
        }
        match pool.settings.transport {
            Transport::Served => Ok(Attachment::Served),
            // The host asks whether that way is open: its own choice comes back as one of the other two.
            Transport::Native | Transport::Auto => native(pool, number),
        }
    }
}

/// What the hypervisor's own client needs; refused where it cannot do what the pool asks for.
fn native(pool: &IscsiPool, number: u32) -> Result<Attachment> {
    let settings = &pool.settings;
    let no =
        |what: &str| Err(Error::unsupported(format!("the hypervisor's own client {what}; set transport to served")));
    if settings.mutual_user.is_some() || settings.mutual_password.is_some() {
        return no("does not ask a target who it is (mutual-user, mutual-password)");
    }
    if settings.data_digest.0 == Wish::Require {
        return no("has no digests over data (data-digest)");
    }
    if settings.durable_writes {
        return no("answers writes that are not on stable storage yet (durable-writes)");
    }
    Ok(Attachment::Iscsi(IscsiNode {
        portal: portal(settings),
        target: settings.target.clone(),
        lun: number,
        initiator: Some(crate::settings::initiator(pool)),
        header_digest: settings.header_digest.0 == Wish::Require,
        user: settings.user.clone(),
        password: settings.password.as_ref().map(|secret| secret.0.clone()),
    }))
}
