//! The manifest of a package (DSP0243, 5.1): `SHA256(guest-disk1.vmdk)= 3a5b…`, a line for each file.

use std::collections::BTreeMap;

use crate::import::report::Report;
use crate::types::Checksum;

/// Files that a package may name.
const FILES_MAX: usize = 1_000;

/// By file; a line that is none is reported and counts for nothing.
pub(super) fn sums(text: &str, report: &mut Report) -> BTreeMap<String, Checksum> {
    let mut sums = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()).take(FILES_MAX) {
        match sum(line) {
            Ok((file, checksum)) => {
                sums.insert(file, checksum);
            }
            Err(why) => report.left(0, "manifest", format!("{line}: {why}, so that file is not checked")),
        }
    }
    sums
}

fn sum(line: &str) -> Result<(String, Checksum), String> {
    let (kind, rest) = line.split_once('(').ok_or("this is no checksum")?;
    let (file, digits) = rest.rsplit_once(')').ok_or("this is no checksum")?;
    let digits = digits.trim().strip_prefix('=').ok_or("this is no checksum")?.trim();
    // OpenSSL 3 writes SHA2-256.
    let kind = kind.trim().to_ascii_lowercase().replace("sha2-", "sha");
    if !matches!(kind.as_str(), "sha1" | "sha256") {
        return Err(format!("{kind} is no sum that fief makes"));
    }
    let checksum = format!("{kind}:{digits}").parse().map_err(|error| format!("{error}"))?;
    Ok((file.to_owned(), checksum))
}
