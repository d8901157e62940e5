//! Who holds a volume for writing: a record beside its image, and what may be done about it.

use std::cmp::Ordering;

use fief_sdk::block::Holder;
use fief_sdk::{Error, Result};

/// Longest record that is read.
pub(crate) const MOST: u32 = 4096;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) holder: Holder,
    /// The holder let go. What it was stays known, so that an older generation of it never comes back.
    pub(crate) released: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It says so already.
    Ours,
    Write,
}

impl Record {
    pub(crate) fn held(holder: &Holder) -> Self {
        Record { holder: holder.clone(), released: false }
    }

    /// JSON, for people who look at the server.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Holder { host, name, domain, generation } = &self.holder;
        let record = serde_json::json!({
            "fief-lease": 1, "host": host, "name": name, "domain": domain, "generation": generation,
            "released": self.released,
        });
        format!("{record}\n").into_bytes()
    }

    /// # Errors
    /// `corrupt`: not a record of ours.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let read = || {
            let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
            let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
            let holder = Holder {
                host: text("host")?,
                name: text("name")?,
                domain: text("domain")?,
                generation: value.get("generation")?.as_u64()?,
            };
            let released = value.get("released")?.as_bool()?;
            (value.get("fief-lease")?.as_u64()? == 1).then_some(Record { holder, released })
        };
        read().ok_or_else(|| Error::corrupt("the lease beside the volume is not one that fief wrote"))
    }

    /// None where nobody holds it now.
    pub(crate) fn holder(self) -> Option<Holder> {
        (!self.released).then_some(self.holder)
    }

    /// In this very generation. What a host is called, for people, may change.
    pub(crate) fn is_held_by(&self, holder: &Holder) -> bool {
        self.is_of(holder) && self.holder.generation == holder.generation && !self.released
    }

    fn is_of(&self, other: &Holder) -> bool {
        self.holder.host == other.host && self.holder.domain == other.domain
    }
}

/// Whether `wanted` may hold the volume, as its record stands. Generations count the attachments of the volume, whoever
/// made them.
///
/// # Errors
/// `in-use` names the other holder; `wrong-state`: a newer generation was seen, which `force` does not heal.
pub(crate) fn decide(current: Option<&Record>, wanted: &Holder, force: bool) -> Result<Decision> {
    let Some(current) = current else { return Ok(Decision::Write) };
    let ours = current.is_of(wanted);
    if !ours && !current.released && !force {
        return Err(taken(&current.holder));
    }
    match current.holder.generation.cmp(&wanted.generation) {
        Ordering::Less => Ok(Decision::Write),
        Ordering::Equal if ours && !current.released => Ok(Decision::Ours),
        Ordering::Equal if ours => Ok(Decision::Write),
        Ordering::Equal | Ordering::Greater => Err(older(current, wanted)),
    }
}

/// Whether `holder` still holds the volume.
///
/// # Errors
/// It does not, and who does.
pub(crate) fn still(current: Option<&Record>, holder: &Holder) -> Result<()> {
    match current {
        Some(current) if !current.is_of(holder) && !current.released => Err(taken(&current.holder)),
        Some(current) if current.holder.generation > holder.generation => Err(older(current, holder)),
        Some(current) if current.is_held_by(holder) => Ok(()),
        _ => Err(Error::wrong_state(format!(
            "domain {} has not taken the volume's lease in generation {}",
            holder.domain, holder.generation
        ))),
    }
}

pub(crate) fn taken(by: &Holder) -> Error {
    Error::in_use(
        format!("domain {} on {}", by.domain, by.name),
        format!("domain {} on host {} holds the volume (generation {})", by.domain, by.name, by.generation),
    )
}

fn older(current: &Record, wanted: &Holder) -> Error {
    Error::wrong_state(format!(
        "the volume was attached in generation {} since (domain {} on host {}); generation {} may write no more",
        current.holder.generation, current.holder.domain, current.holder.name, wanted.generation
    ))
}

#[cfg(test)]
mod tests {
    use fief_sdk::ErrorCode;

    use super::*;

    fn holder(host: &str, generation: u64) -> Holder {
        Holder { host: host.into(), name: format!("{host}.example"), domain: "web".into(), generation }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record::held(&holder("a", 7));
        assert_eq!(Record::decode(&record.encode()).unwrap(), record);
        let text = String::from_utf8(record.encode()).unwrap();
        assert!(text.contains(r#""generation":7"#), "{text}");
        for bad in ["", "{}", "7", "[[[[", r#"{"fief-lease":2,"host":"a","name":"a","domain":"d","generation":1}"#] {
            assert!(Record::decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_host_holds_a_volume_and_its_generations_only_grow() {
        let free = Record { released: true, ..Record::held(&holder("a", 5)) };
        let held = Record::held(&holder("a", 5));
        let code =
            |current: Option<&Record>, wanted: &Holder, force| decide(current, wanted, force).map_err(|e| e.code);
        assert_eq!(code(None, &holder("b", 1), false), Ok(Decision::Write));
        assert_eq!(code(Some(&held), &holder("a", 5), false), Ok(Decision::Ours));
        assert_eq!(code(Some(&held), &holder("a", 6), false), Ok(Decision::Write));
        assert!(matches!(code(Some(&held), &holder("b", 9), false), Err(ErrorCode::InUse(who)) if who.contains("web")));
        assert_eq!(code(Some(&held), &holder("b", 6), true), Ok(Decision::Write));
        assert_eq!(code(Some(&held), &holder("b", 5), true), Err(ErrorCode::WrongState));
        assert_eq!(code(Some(&held), &holder("a", 4), true), Err(ErrorCode::WrongState));
        assert_eq!(code(Some(&free), &holder("b", 6), false), Ok(Decision::Write));
        assert_eq!(code(Some(&free), &holder("a", 5), false), Ok(Decision::Write));
        assert_eq!(code(Some(&free), &holder("a", 4), false), Err(ErrorCode::WrongState));
    }

    #[test]
    fn only_the_holder_of_this_generation_may_go_on() {
        let held = Record::held(&holder("a", 5));
        assert!(still(Some(&held), &holder("a", 5)).is_ok());
        assert_eq!(still(Some(&held), &holder("a", 4)).unwrap_err().code, ErrorCode::WrongState);
        assert_eq!(still(Some(&held), &holder("a", 6)).unwrap_err().code, ErrorCode::WrongState);
        assert!(matches!(still(Some(&held), &holder("b", 5)).unwrap_err().code, ErrorCode::InUse(_)));
        assert_eq!(still(None, &holder("a", 5)).unwrap_err().code, ErrorCode::WrongState);
    }
}
