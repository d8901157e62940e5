//! How many connections there are, in all and from one address. A stranger is whoever has not shown a pinned certificate
//! yet: of those there are few at a time, so that nobody outside keeps peers out who are in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Strangers, in all and from one address: a host that opens eight streams at once is eight strangers for a moment.
const STRANGERS: (usize, usize) = (64, 16);
/// Connections of peers, in all and of one address: each is a thread and a few descriptors.
const PEERS: (usize, usize) = (256, 64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Stranger,
    Peer,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Admission(Arc<Mutex<BTreeMap<(Standing, IpAddr), usize>>>);

/// A connection that is counted for as long as this lives.
#[derive(Debug)]
pub(super) struct Place {
    of: Admission,
    key: (Standing, IpAddr),
}

impl Admission {
    pub(super) fn stranger(&self, from: IpAddr) -> Option<Place> {
        self.enter(Standing::Stranger, neighbourhood(from), STRANGERS)
    }

    pub(super) fn count(&self) -> usize {
        self.counts().values().sum()
    }

    fn enter(&self, standing: Standing, from: IpAddr, (all, each): (usize, usize)) -> Option<Place> {
        let mut counts = self.counts();
        let there: usize = counts.iter().filter(|((other, _), _)| *other == standing).map(|(_, count)| count).sum();
        let count = counts.entry((standing, from)).or_default();
        if there >= all || *count >= each {
            if *count == 0 {
                counts.remove(&(standing, from));
            }
            return None;
        }
        *count += 1;
        Some(Place { of: self.clone(), key: (standing, from) })
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<(Standing, IpAddr), usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// It is a peer's. None: there are too many of those.
    pub(super) fn known(self) -> Option<Place> {
        self.of.enter(Standing::Peer, self.key.1, PEERS)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.of.counts();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.into(),
            None => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_few_and_peers_have_places_of_their_own() {
        let admission = Admission::default();
        let from = |last: u8| IpAddr::from([10, 0, 0, last]);
        let mut places: Vec<Place> = (0..STRANGERS.1).map(|_| admission.stranger(from(1)).unwrap()).collect();
        assert!(admission.stranger(from(1)).is_none() && admission.stranger(from(2)).is_some());
        // One of them turns out to be a peer.
        let peer = places.pop().unwrap().known().unwrap();
        places.push(admission.stranger(from(1)).unwrap());
        let mut last = 10;
        while places.len() < STRANGERS.0 {
            last += 1;
            places.push(admission.stranger(from(last)).unwrap());
        }
        assert!(admission.stranger(from(9)).is_none(), "there are too many in all");
        assert_eq!(admission.count(), STRANGERS.0 + 1);
        drop(peer);
        drop(places);
        assert_eq!(admission.count(), 0);
        assert!(admission.counts().is_empty());
    }

    #[test]
    fn addresses_of_one_link_are_one() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
