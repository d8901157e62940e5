//! The name of a bridge that is offered to a plugin whose settings name none.

use sha2::{Digest, Sha256};

use crate::error::{Failure, Result};
use crate::types::{InterfaceName, NetworkName};

/// How many names are tried.
const TRIES: u32 = 16;

/// `fief-NAME` where it fits and is free, else `fief-` and ten digits that come from the name: the same each time.
///
/// # Errors
/// `Conflict` where `taken` says so of all of them.
pub(super) fn suggest(network: &NetworkName, taken: impl Fn(&InterfaceName) -> bool) -> Result<InterfaceName> {
    let plain = std::iter::once(format!("fief-{network}"));
    let hashed = (0..TRIES).map(|attempt| {
        let digest = Sha256::digest(format!("{network}/{attempt}"));
        let digits: String = digest.iter().take(5).map(|b| format!("{b:02x}")).collect();
        format!("fief-{digits}")
    });
    // A name that is too long does not parse.
    plain.chain(hashed).filter_map(|text| text.parse().ok()).find(|name| !taken(name)).ok_or_else(|| {
        Failure::conflict(format!("no name is free for a bridge of network {network}"))
            .hint("name one in the network's settings")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_shown_and_a_long_or_taken_one_is_hashed() {
        let suggested = |name: &str, taken: &[&str]| {
            suggest(&name.parse().unwrap(), |n| taken.contains(&n.as_str())).unwrap().to_string()
        };
        assert_eq!(suggested("lab", &[]), "fief-lab");
        assert_eq!(suggested("0123456789", &[]), "fief-0123456789");
        let long = suggested("a-network-with-a-long-name", &[]);
        assert_eq!(long.len(), 15);
        assert_eq!(long, suggested("a-network-with-a-long-name", &[]));
        assert_ne!(long, suggested("a-network-with-a-long-name-2", &[]));
        assert_ne!(suggested("lab", &["fief-lab"]), "fief-lab");
        assert_eq!(suggest(&"lab".parse().unwrap(), |_| true).unwrap_err().kind, crate::error::Kind::Conflict);
    }
}
