//! What the two sides agree on at login (RFC 7143, section 13).

use super::frame::{Digests, LONGEST_DATA};
use super::text::value;

/// What an operator wants of a digest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wish {
    #[default]
    None,
    /// With a target that has them.
    Prefer,
    /// With nothing else.
    Require,
}

impl Wish {
    fn offered(self) -> &'static str {
        match self {
            Wish::None => "None",
            Wish::Prefer => "CRC32C,None",
            Wish::Require => "CRC32C",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    pub header: Wish,
    pub data: Wish,
}

/// Longest sequence of data that one R2T, or one read's status, stands for.
const BURST: u32 = 1 << 20;
/// Data of a write that goes with its command, unasked.
const FIRST_BURST: u32 = 256 << 10;
/// R2Ts that the target may have open for one command.
const OUTSTANDING: u32 = 8;

/// What holds for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    pub digests: Digests,
    /// Most bytes of one data segment that the target takes.
    pub segment: u32,
    pub first_burst: u32,
    pub burst: u32,
    /// Data may not go before the target asks for it, but for `immediate`.
    pub asks_first: bool,
    /// Data may go in the PDU of its command.
    pub immediate: bool,
}

impl Default for Agreed {
    /// The defaults of section 13.
    fn default() -> Self {
        Agreed {
            digests: Digests::default(),
            segment: 8192,
            first_burst: 65536,
            burst: 262_144,
            asks_first: true,
            immediate: true,
        }
    }
}

/// What we propose, for a session of commands or for discovery alone.
pub fn proposed(wishes: Wishes, discovery: bool) -> Vec<(String, String)> {
    let mut keys = vec![
        ("HeaderDigest", wishes.header.offered().to_owned()),
        ("DataDigest", wishes.data.offered().to_owned()),
        ("MaxRecvDataSegmentLength", LONGEST_DATA.to_string()),
        ("DefaultTime2Wait", "0".to_owned()),
        ("DefaultTime2Retain", "0".to_owned()),
        ("ErrorRecoveryLevel", "0".to_owned()),
    ];
    if !discovery {
        keys.extend([
            ("InitialR2T", "No".to_owned()),
            ("ImmediateData", "Yes".to_owned()),
            ("MaxBurstLength", BURST.to_string()),
            ("FirstBurstLength", FIRST_BURST.to_string()),
            ("MaxOutstandingR2T", OUTSTANDING.to_string()),
            ("MaxConnections", "1".to_owned()),
            ("DataPDUInOrder", "Yes".to_owned()),
            ("DataSequenceInOrder", "Yes".to_owned()),
        ]);
    }
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What the target's answers make of our proposals. It may have given a key as an answer or of its own accord; what
/// results is the same: numbers are the smaller one, `InitialR2T` is yes where one side says so, `ImmediateData` where
/// both do.
///
/// # Errors
/// A value that cannot be used, with its key.
pub fn agreed(wishes: Wishes, answered: &[(String, String)]) -> Result<Agreed, String> {
    let mut agreed = Agreed {
        digests: Digests {
            header: digest("HeaderDigest", wishes.header, answered)?,
            data: digest("DataDigest", wishes.data, answered)?,
        },
        ..Agreed::default()
    };
    // Below 512 bytes, or past 2^24 - 1, no length is legal.
    let number = |key: &str, unsaid: u32| match value(answered, key) {
        None | Some("Irrelevant" | "Reject" | "NotUnderstood") => Ok(unsaid),
        Some(text) => number(text).filter(|length| (512..1 << 24).contains(length)).ok_or_else(|| wrong(key, text)),
    };
    agreed.segment = number("MaxRecvDataSegmentLength", agreed.segment)?;
    agreed.burst = number("MaxBurstLength", agreed.burst)?.min(BURST);
    agreed.first_burst = number("FirstBurstLength", agreed.first_burst)?.min(FIRST_BURST).min(agreed.burst);
    agreed.asks_first = value(answered, "InitialR2T") != Some("No");
    agreed.immediate = value(answered, "ImmediateData") == Some("Yes");
    for (key, only) in [("DataPDUInOrder", "Yes"), ("DataSequenceInOrder", "Yes"), ("ErrorRecoveryLevel", "0")] {
        if let Some(other) = value(answered, key).filter(|&said| said != only && said != "Irrelevant") {
            return Err(wrong(key, other));
        }
    }
    Ok(agreed)
}

fn digest(key: &str, wish: Wish, answered: &[(String, String)]) -> Result<bool, String> {
    match (wish, value(answered, key)) {
        (Wish::None | Wish::Prefer, Some("None") | None) => Ok(false),
        (Wish::Prefer | Wish::Require, Some("CRC32C")) => Ok(true),
        (Wish::Require, said) => Err(format!(
            "the target does not do {key}=CRC32C (it said {:?}), and the pool asks for it",
            said.unwrap_or("nothing")
        )),
        (Wish::None | Wish::Prefer, Some(other)) => Err(wrong(key, other)),
    }
}

fn wrong(key: &str, value: &str) -> String {
    format!("the target answered {key}={value:?}, which was not offered")
}

/// Numbers are decimal or `0x…` (section 6.1).
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Keys of which the target tells, rather than asks for an answer (section 13: declarative ones, and its own errors).
const TOLD: &[&str] =
    &["TargetName", "TargetAlias", "TargetAddress", "TargetPortalGroupTag", "MaxRecvDataSegmentLength", "SessionType"];

/// What to answer to keys that the target proposed of its own accord.
pub fn answers(ours: &[(String, String)], theirs: &[(String, String)]) -> Vec<(String, String)> {
    let unasked = theirs.iter().filter(|(key, _)| !TOLD.contains(&key.as_str()) && value(ours, key).is_none());
    unasked
        .map(|(key, proposed)| {
            let answer = match key.as_str() {
                "InitialR2T"
                | "ImmediateData"
                | "DataPDUInOrder"
                | "DataSequenceInOrder"
                | "MaxBurstLength"
                | "FirstBurstLength"
                | "DefaultTime2Wait" => proposed.as_str(),
                "MaxConnections" | "MaxOutstandingR2T" => "1",
                "ErrorRecoveryLevel" | "DefaultTime2Retain" => "0",
                "HeaderDigest" | "DataDigest" => "None",
                "IFMarker" | "OFMarker" | "RDMAExtensions" => "No",
                _ => "NotUnderstood",
            };
            (key.clone(), answer.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[(&str, &str)]) -> Vec<(String, String)> {
        text.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_smaller_number_and_the_stricter_word_hold() {
        let answered = pairs(&[
            ("MaxRecvDataSegmentLength", "0x10000"),
            ("FirstBurstLength", "65536"),
            ("MaxBurstLength", "16776192"),
            ("InitialR2T", "No"),
            ("ImmediateData", "Yes"),
            ("HeaderDigest", "CRC32C"),
            ("DataDigest", "None"),
        ]);
        let wishes = Wishes { header: Wish::Prefer, data: Wish::Prefer };
        let agreed = agreed(wishes, &answered).unwrap();
        assert_eq!((agreed.segment, agreed.first_burst, agreed.burst), (65536, 65536, BURST));
        assert_eq!((agreed.asks_first, agreed.immediate), (false, true));
        assert_eq!(agreed.digests, Digests { header: true, data: false });
    }

    #[test]
    fn a_digest_that_is_asked_for_is_not_given_up() {
        let wishes = Wishes { header: Wish::Require, data: Wish::None };
        let refused = agreed(wishes, &pairs(&[("HeaderDigest", "None")])).unwrap_err();
        assert!(refused.contains("HeaderDigest=CRC32C"), "{refused}");
        assert!(agreed(wishes, &[]).is_err());
    }

    #[test]
    fn nonsense_is_refused_by_its_key() {
        for (key, bad) in [
            ("MaxBurstLength", "0"),
            ("MaxRecvDataSegmentLength", "99999999999"),
            ("FirstBurstLength", "many"),
            ("DataPDUInOrder", "No"),
            ("HeaderDigest", "MD5"),
        ] {
            let refused = agreed(Wishes::default(), &pairs(&[(key, bad)])).unwrap_err();
            assert!(refused.contains(key), "{refused}");
        }
    }

    #[test]
    fn what_the_target_proposes_is_answered_and_what_it_tells_is_not() {
        let ours = proposed(Wishes::default(), false);
        let theirs = pairs(&[
            ("TargetPortalGroupTag", "1"),
            ("MaxBurstLength", "262144"),
            ("IFMarker", "Yes"),
            ("X-com.example.key", "1"),
        ]);
        assert_eq!(answers(&ours, &theirs), pairs(&[("IFMarker", "No"), ("X-com.example.key", "NotUnderstood")]));
    }
}
