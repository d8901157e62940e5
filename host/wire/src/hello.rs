//! The first frame each way: who is there, what the connection is for, and the version that both speak from then on.
//!
//! A host offers all versions that it speaks, and the newest that both have is taken. What a hello holds can only grow:
//! keys that a host does not know are a newer host's, and are passed over here, and nowhere else.

use serde::{Deserialize, Serialize};

use crate::Body;
use crate::frame::Trouble;

/// What this fief speaks, newest first. A version stays here until the release after the one that brought the next. 2: the
/// memory of a guest that runs may come by several connections.
pub const VERSIONS: &[u16] = &[2, 1];
/// Most versions that anybody offers.
const OFFERED_MAX: usize = 16;
/// Longest name, version of fief and the like, in bytes.
const WORD_MAX: usize = 128;

/// From the host that connects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Hello {
    pub versions: Vec<u16>,
    pub purpose: Purpose,
    #[serde(flatten)]
    pub who: Who,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Purpose {
    /// Requests and replies.
    Control,
    /// Bytes, as the control connection that gave the ticket has arranged.
    Stream { ticket: String },
}

/// What a host says of itself. Whether it is that host was settled before, by its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Who {
    /// Stable for as long as the host's root is there; a UUID.
    pub host: String,
    /// As its kernel has it.
    pub name: String,
    /// The version of fief.
    pub fief: String,
    /// Milliseconds since 1970-01-01T00:00:00Z, as its clock stands.
    pub clock: u64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Welcome {
    Accepted {
        version: u16,
        #[serde(flatten)]
        who: Who,
    },
    /// `failure` is as the host tells its own operator.
    Refused { failure: Body },
}

impl Who {
    /// # Errors
    /// Where a word of it is longer than any is.
    pub fn check(&self) -> Result<(), Trouble> {
        match [&self.host, &self.name, &self.fief].into_iter().any(|word| word.len() > WORD_MAX) {
            true => Err(Trouble::Wrong("a word that is too long".into())),
            false => Ok(()),
        }
    }
}

impl Hello {
    /// # Errors
    /// Where it holds more than any hello does.
    pub fn check(&self) -> Result<(), Trouble> {
        if self.versions.len() > OFFERED_MAX {
            return Err(Trouble::Wrong(format!("{} versions are offered", self.versions.len())));
        }
        self.who.check()
    }
}

/// The newest that both have.
pub fn newest_common(ours: &[u16], theirs: &[u16]) -> Option<u16> {
    ours.iter().copied().filter(|version| theirs.contains(version)).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::decode;

    #[test]
    fn the_newest_common_version_is_taken_and_none_where_there_is_none() {
        assert_eq!(newest_common(&[3, 2], &[1, 2, 3]), Some(3));
        assert_eq!(newest_common(&[3, 2], &[2, 1]), Some(2));
        assert_eq!(newest_common(&[3, 2], &[5, 4]), None);
        assert_eq!(newest_common(&[3, 2], &[]), None);
    }

    #[test]
    fn a_newer_host_may_say_more_and_none_says_less() {
        let hello: Hello = decode(
            br#"{"versions":[2,1],"purpose":"control","host":"h","name":"n","fief":"9.9","clock":1,"later":{"x":[]}}"#,
        )
        .unwrap();
        assert_eq!(newest_common(VERSIONS, &hello.versions), Some(2));
        assert_eq!(newest_common(VERSIONS, &[1]), Some(1));
        for wrong in [
            &br#"{"purpose":"control","host":"h","name":"n","fief":"1","clock":1}"#[..],
            br#"{"versions":[1],"host":"h","name":"n","fief":"1","clock":1}"#,
            br#"{"versions":[1],"purpose":"else","host":"h","name":"n","fief":"1","clock":1}"#,
            br#"{"versions":[1],"versions":[1],"purpose":"control","host":"h","name":"n","fief":"1","clock":1}"#,
            br#"{"versions":[70000],"purpose":"control","host":"h","name":"n","fief":"1","clock":1}"#,
            br#"{"versions":[1],"purpose":"control","host":"h","name":"n","fief":"1","clock":-1}"#,
            br#"{"versions":[1],"purpose":{"stream":{}},"host":"h","name":"n","fief":"1","clock":1}"#,
            b"",
            b"\xff",
        ] {
            assert!(decode::<Hello>(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
        assert!(Hello { versions: vec![1; 17], ..hello.clone() }.check().is_err());
        assert!(Who { name: "x".repeat(129), ..hello.who }.check().is_err());
    }

    #[test]
    fn a_hello_reads_back_as_itself() {
        let who = Who { host: "h".into(), name: "n".into(), fief: "1".into(), clock: 5 };
        for purpose in [Purpose::Control, Purpose::Stream { ticket: "t".into() }] {
            let hello = Hello { versions: vec![1], purpose, who: who.clone() };
            assert_eq!(decode::<Hello>(&serde_json::to_vec(&hello).unwrap()).unwrap(), hello);
        }
        for welcome in [Welcome::Accepted { version: 1, who }, Welcome::Refused { failure: Body::default() }] {
            assert_eq!(decode::<Welcome>(&serde_json::to_vec(&welcome).unwrap()).unwrap(), welcome);
        }
    }
}
