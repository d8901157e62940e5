//! Requests signed as AWS has it (Signature Version 4): the server knows by it who asks, and that nothing was changed on the way.
//! Pure.

use std::fmt::Write as _;

use fief_sdk::secrets;
use fief_sdk::{Error, Result, SecretName};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Who asks.
pub(crate) struct Key {
    id: String,
    secret: Vec<u8>,
    region: String,
}

impl Key {
    /// # Errors
    /// `denied`, `not-found`: of the secret. `invalid`: the id or the region is no word.
    pub(crate) fn new(id: &str, secret: &SecretName, region: &str) -> Result<Self> {
        let word = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        for (setting, text) in [("key-id", id), ("region", region)] {
            if !word(text) {
                return Err(Error::invalid(format!(
                    "setting {setting}: {text:?} is no word of letters, digits and -_."
                )));
            }
        }
        Ok(Key { id: id.to_owned(), secret: secrets::reveal(secret)?, region: region.to_owned() })
    }

    /// The header fields `x-amz-date`, `x-amz-content-sha256` and `Authorization`. `seconds` since 1970; `query` is encoded and
    /// sorted.
    pub(crate) fn sign(
        &self,
        method: &str,
        host: &str,
        path: &str,
        query: &str,
        body: &[u8],
        seconds: u64,
    ) -> [(&'static str, String); 3] {
        const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";
        let (date, time) = date(seconds);
        let digest = hex(&Sha256::digest(body));
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{time}\n\n{SIGNED}\n{digest}"
        );
        let scope = format!("{date}/{}/s3/aws4_request", self.region);
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let mut key = [b"AWS4", self.secret.as_slice()].concat();
        for part in [date.as_str(), &self.region, "s3", "aws4_request"] {
            key = mac(&key, part);
        }
        let signature = hex(&mac(&key, &text));
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={SIGNED}, Signature={signature}", self.id);
        [("x-amz-date", time), ("x-amz-content-sha256", digest), ("Authorization", authorization)]
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As `YYYYMMDD`, and with the time of day (ISO 8601, basic).
fn date(seconds: u64) -> (String, String) {
    // Days from 1970 to year, month and day: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let date = format!("{year:04}{month:02}{day:02}");
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let time = format!("{date}T{hour:02}{minute:02}{second:02}Z");
    (date, time)
}

/// Percent-encoded as signatures want it: all but letters, digits and `-._~`, and the slash of paths.
pub(crate) fn encode(text: &str, slash: bool) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'/' if slash => encoded.push('/'),
            _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => encoded.push(byte.into()),
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key {
            id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_vec(),
            region: "us-east-1".into(),
        }
    }

    /// The example "GET Bucket (List Objects)" of AWS's documentation of signatures in the header.
    #[test]
    fn a_request_is_signed_as_the_documentation_has_it() {
        let host = "examplebucket.s3.amazonaws.com";
        let signed = key().sign("GET", host, "/", "max-keys=2&prefix=J", b"", 1_369_353_600);
        assert_eq!(signed[0].1, "20130524T000000Z");
        assert_eq!(signed[1].1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(
            signed[2].1.ends_with("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
            "{}",
            signed[2].1
        );
    }

    #[test]
    fn days_are_counted_as_the_calendar_has_them() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_868_800, "20000301T000000Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(date(seconds).1, text);
        }
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(encode("a+b/c ü~", true), "a%2Bb/c%20%C3%BC~");
        assert_eq!(encode("a/b", false), "a%2Fb");
    }
}
