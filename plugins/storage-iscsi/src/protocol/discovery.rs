//! What a portal offers: SendTargets (RFC 7143, appendix C) in a discovery session.

use super::text::Pairs;

/// The text that asks.
pub const QUESTION: &[(&str, &str)] = &[("SendTargets", "All")];

/// A target and where it is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    pub name: String,
    /// `HOST:PORT,GROUP`; none where it is at the portal that was asked.
    pub addresses: Vec<String>,
}

/// Each name is followed by its addresses.
pub fn offered(pairs: &Pairs) -> Vec<Offered> {
    let mut targets: Vec<Offered> = Vec::new();
    for (key, value) in pairs {
        match (key.as_str(), targets.last_mut()) {
            ("TargetName", _) => targets.push(Offered { name: value.clone(), addresses: Vec::new() }),
            ("TargetAddress", Some(target)) => target.addresses.push(value.clone()),
            _ => {}
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_belong_to_the_name_before_them() {
        let pairs = |all: &[(&str, &str)]| -> Pairs {
            all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let found = offered(&pairs(&[
            ("TargetAddress", "10.9.9.9:3260,1"),
            ("TargetName", "iqn.a"),
            ("TargetAddress", "10.0.0.1:3260,1"),
            ("TargetAddress", "[fe80::1]:3260,2"),
            ("TargetName", "iqn.b"),
        ]));
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].addresses.len()), ("iqn.a", 2));
        assert_eq!((found[1].name.as_str(), found[1].addresses.len()), ("iqn.b", 0));
    }
}
