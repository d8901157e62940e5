//! What fief has QEMU do for a disk that is attached natively: the nodes of a domain that runs, as one.

use super::super::fief::Fief;
use crate::command::Result;

const DOMAIN: &str = "native";

/// The disk's node with what is below it inside, as `qemu-img` takes it. The volume's pool becomes one that is native and
/// has these settings.
pub(super) fn node(fief: &Fief, volume: &str, settings: &[&str]) -> Result<String> {
    let pool = volume.split('/').next().unwrap_or_default();
    fief.quietly(&["pool", "delete", pool, "--yes"])?;
    fief.pool(pool, &[settings, &["transport=native"]].concat())?;
    fief.quietly(&["create", DOMAIN, "--memory", "32MiB", "--accelerator", "tcg", "--disk", volume])?;
    fief.start(DOMAIN)?;
    let words = fief.hypervisor();
    fief.stop(DOMAIN)?;
    fief.quietly(&["delete", DOMAIN, "--yes"])?;
    let words = words?;
    let given: Vec<&str> = words.windows(2).filter(|pair| pair[0] == "-blockdev").map(|pair| &*pair[1]).collect();
    let [below, top] = given.as_slice() else {
        return Err(format!("fief made {} nodes for {volume}, where two were expected", given.len()).into());
    };
    let name = below.split_once("\"node-name\":\"").and_then(|(_, rest)| rest.split_once('"')).map(|(name, _)| name);
    let name = name.ok_or_else(|| format!("a node of {volume} has no name"))?;
    let inside = top.replace(&format!("\"file\":\"{name}\""), &format!("\"file\":{below}"));
    match inside == *top {
        false => Ok(format!("json:{inside}")),
        true => Err(format!("the node of {volume} does not lie on {name}").into()),
    }
}
