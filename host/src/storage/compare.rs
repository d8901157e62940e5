//! A pool, as two versions of its plugin see it. Nothing is changed: both gates are for dry runs.

use std::fmt::Display;

use super::Pool;
use crate::error::Result;
use crate::gate::Gate;
use crate::plugin::compared::{Compared, Differs};
use crate::sandbox::protocol::VolumeFacts;
use crate::types::PoolName;

/// Asks both for the pool's facts and for its volumes. `older` and `newer` keep to one version each.
///
/// # Errors
/// Where there is no such pool.
pub fn compare(older: &Gate, newer: &Gate, name: &PoolName) -> Result<Compared> {
    let mut old = Pool::look(older, name)?;
    let mut new = Pool::look(newer, name)?;
    let (was, is) = (old.info(), new.info());
    let (was, is) = match (was, is) {
        (Ok(was), Ok(is)) => (was, is),
        (old, new) => return Ok(Compared::without(old, new)),
    };
    let mut differ = Vec::new();
    let mut differs = |what: &str, was: &dyn Display, is: &dyn Display| {
        differ.push(Differs::Answer(format!("{what} is {is}, and was {was}")))
    };
    if was.identity != is.identity {
        differs("its identity", &was.identity, &is.identity);
    }
    if was.reachable_from_peers != is.reachable_from_peers {
        differs("whether other hosts reach it", &was.reachable_from_peers, &is.reachable_from_peers);
    }
    let (had, has) = match (old.volumes(), new.volumes()) {
        (Ok(had), Ok(has)) => (had, has),
        (old, new) => return Ok(Compared::without(old, new)),
    };
    for volume in &had {
        let Some(now) = has.iter().find(|now| now.name == volume.name) else {
            differ.push(Differs::Answer(format!("its volume {} is missing", volume.name)));
            continue;
        };
        if now.size != volume.size || now.format != volume.format || now.backing != volume.backing {
            let message = format!("its volume {} is another: {}, and was {}", volume.name, told(now), told(volume));
            differ.push(Differs::Answer(message));
        }
    }
    let more = has.iter().filter(|now| !had.iter().any(|volume| volume.name == now.name));
    differ.extend(more.map(|now| Differs::Answer(format!("there is a volume {} that was not", now.name))));
    Ok(Compared::of(differ))
}

fn told(volume: &VolumeFacts) -> String {
    let backing = volume.backing.as_ref().map(|backing| format!(" on {backing}")).unwrap_or_default();
    format!("{} bytes, {:?}{backing}", volume.size, volume.format).to_lowercase()
}
