//! A logical unit: its name as a volume, and what it says of itself.

use fief_sdk::{Error, ErrorCode, Result};

use crate::exchange::Carrier;
use crate::scsi::capacity::{Capacity, Mode};
use crate::scsi::inquiry::{self, Limits, Provisioning, Standard};
use crate::scsi::{command, lun};

const PREFIX: &str = "lun";

/// The volume of a unit: `lun0`, `lun17`.
pub fn volume_name(number: u32) -> String {
    format!("{PREFIX}{number}")
}

/// The unit of a volume, by one spelling alone.
pub fn number(volume: &str) -> Option<u32> {
    let number = volume.strip_prefix(PREFIX)?.parse().ok()?;
    (volume_name(number) == volume && lun::encode(number).is_some()).then_some(number)
}

/// All that we need to know of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub lun: [u8; 8],
    pub standard: Standard,
    /// What names it wherever it is seen from; empty where it has no such page.
    pub designators: Vec<String>,
    pub capacity: Capacity,
    pub mode: Mode,
    pub limits: Limits,
    pub provisioning: Provisioning,
    pub rotates: bool,
}

impl Unit {
    /// Whether this is what `before` was, so that its guest may go on: the same names, the same blocks, and none of them
    /// gone.
    pub fn is_still(&self, before: &Unit) -> bool {
        self.standard == before.standard
            && self.designators == before.designators
            && self.capacity.block == before.capacity.block
            && self.capacity.blocks >= before.capacity.blocks
    }

    /// For people.
    pub fn describe(&self) -> String {
        let names = self.designators.join(" ");
        let Standard { vendor, product, .. } = &self.standard;
        format!("{vendor} {product} {names}, {} bytes in blocks of {}", self.capacity.bytes(), self.capacity.block)
    }
}

/// What is behind a number.
///
/// # Errors
/// `corrupt` where the answer is none.
pub async fn standard(carrier: &impl Carrier, lun: [u8; 8]) -> Result<Standard> {
    let data = carrier.carry(command::inquiry(lun, None), "cannot ask the unit what it is").await?;
    Standard::read(&data).ok_or_else(|| Error::corrupt("the unit does not say what it is"))
}

pub async fn capacity(carrier: &impl Carrier, lun: [u8; 8]) -> Result<Capacity> {
    let data = carrier.carry(command::read_capacity(lun), "cannot ask the unit how large it is").await?;
    Capacity::read(&data).ok_or_else(|| Error::corrupt("the unit says that it has a size that no disk has"))
}

/// What it is, how large, and what it can do.
///
/// # Errors
/// `not-found`: there is no disk behind this number.
pub async fn identify(carrier: &impl Carrier, lun: [u8; 8]) -> Result<Unit> {
    let standard = standard(carrier, lun).await?;
    if !standard.disk {
        return Err(Error::not_found("there is no disk behind this number"));
    }
    let pages = page(carrier, lun, inquiry::SUPPORTED).await?;
    let has = |wanted: u8| inquiry::supported(&pages).contains(&wanted);
    let mut told = Vec::new();
    for wanted in [inquiry::IDENTIFICATION, inquiry::LIMITS, inquiry::CHARACTERISTICS, inquiry::PROVISIONING] {
        told.push(if has(wanted) { page(carrier, lun, wanted).await? } else { Vec::new() });
    }
    Ok(Unit {
        lun,
        standard,
        designators: inquiry::designators(&told[0]),
        limits: Limits::read(&told[1]),
        rotates: inquiry::rotates(&told[2]),
        provisioning: Provisioning::read(&told[3]),
        mode: Mode::read(&[]),
        capacity: capacity(carrier, lun).await?,
    })
}

/// Asks for the mode too. A unit that another reserved does not tell it (SPC-4, table 32): it is taken to have a cache.
///
/// # Errors
/// As [`identify`].
pub async fn examine(carrier: &impl Carrier, lun: [u8; 8]) -> Result<Unit> {
    let unit = identify(carrier, lun).await?;
    match mode(carrier, lun).await {
        Ok(mode) => Ok(Unit { mode, ..unit }),
        Err(error) if matches!(error.code, ErrorCode::InUse(_)) => Ok(unit),
        Err(error) => Err(error),
    }
}

/// What its cache does.
///
/// # Errors
/// `in-use`: another reserved the unit.
pub async fn mode(carrier: &impl Carrier, lun: [u8; 8]) -> Result<Mode> {
    Ok(Mode::read(&optional(carrier.carry(command::mode_sense(lun), "cannot ask the unit for its cache").await)?))
}

async fn page(carrier: &impl Carrier, lun: [u8; 8], page: u8) -> Result<Vec<u8>> {
    optional(carrier.carry(command::inquiry(lun, Some(page)), "cannot ask the unit for what it can do").await)
}

/// A unit that does not know a question has nothing to say to it.
fn optional(answer: Result<Vec<u8>>) -> Result<Vec<u8>> {
    match answer {
        Err(error) if matches!(error.code, ErrorCode::Unsupported | ErrorCode::Invalid) => Ok(Vec::new()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_has_one_name() {
        assert_eq!(number("lun0"), Some(0));
        assert_eq!(number("lun16383"), Some(16383));
        for bad in ["lun", "lun01", "lun+1", "lun16384", "LUN1", "disk1", "lun1 ", "lun-1"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
