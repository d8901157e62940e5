//! Who may write, as the unit itself keeps it: what is in a key, and what the keys of a unit mean for one who wants it.
//!
//! A registration has room for eight bytes and no words:
//!
//! ```text
//!   63    56 55          36 35      24 23                 0
//!    mark      host          domain      generation
//!    f1        20 bits of    12 bits     the lowest 24 bits
//!              a hash
//! ```
//! So a key tells one's own from another's, and an older generation from a newer; the host behind another's key is told
//! by its hash, and by the initiator's name in the target's own list of sessions. Two owners whose hashes are equal
//! would be taken for one, once in four thousand million pairs.

pub mod acts;

use fief_sdk::block::Holder;
use fief_sdk::{Error, Result};

use crate::isid;
use crate::scsi::reservation::Keys;

/// First byte of every key of fief's.
const MARK: u64 = 0xf1;
const GENERATION_BITS: u32 = 24;
const DOMAIN_BITS: u32 = 12;
const HOST_BITS: u32 = 20;

/// First byte of a note's key (notes.rs): who registers one holds nothing by it.
const NOTE: u64 = 0xf2;

/// The key of a note.
pub fn note_key(note: u64) -> u64 {
    NOTE << 56 | note & ((1 << 56) - 1)
}

/// The note of a key; none for one that is another's.
pub fn note_of(key: u64) -> Option<u64> {
    (key >> 56 == NOTE).then_some(key & ((1 << 56) - 1))
}

/// What a holder is registered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

fn hash(words: &[&str], bits: u32) -> u64 {
    let digest = isid::digest(words);
    digest.iter().take(8).fold(0, |number: u64, &byte| number << 8 | u64::from(byte)) >> (64 - bits)
}

impl Key {
    pub fn of(holder: &Holder) -> Self {
        let host = hash(&[&holder.host], HOST_BITS);
        let domain = hash(&[&holder.host, &holder.domain], DOMAIN_BITS);
        let generation = holder.generation & ((1 << GENERATION_BITS) - 1);
        Key(MARK << 56 | host << (DOMAIN_BITS + GENERATION_BITS) | domain << GENERATION_BITS | generation)
    }

    /// None for a key that is not fief's.
    pub fn read(number: u64) -> Option<Self> {
        (number >> 56 == MARK).then_some(Key(number))
    }

    pub fn number(self) -> u64 {
        self.0
    }

    fn owner(self) -> u64 {
        self.0 >> GENERATION_BITS
    }

    /// Of the same host and domain.
    fn is_owned_with(self, other: Key) -> bool {
        self.owner() == other.owner()
    }

    /// Generations grow, and may come round at the end of their 24 bits.
    fn is_older_than(self, other: Key) -> bool {
        const HALF: u64 = 1 << (GENERATION_BITS - 1);
        let ahead = other.0.wrapping_sub(self.0) & ((1 << GENERATION_BITS) - 1);
        self.is_owned_with(other) && (1..HALF).contains(&ahead)
    }

    /// What a key can say of its holder.
    pub fn holder(self) -> Holder {
        let host = self.owner() >> DOMAIN_BITS & ((1 << HOST_BITS) - 1);
        let domain = self.owner() & ((1 << DOMAIN_BITS) - 1);
        Holder {
            host: format!("key-{host:05x}"),
            name: format!("the host with key {:#018x}", self.0),
            domain: format!("key-{domain:03x}"),
            generation: self.0 & ((1 << GENERATION_BITS) - 1),
        }
    }
}

/// For people.
pub fn describe(number: u64) -> String {
    match Key::read(number) {
        Some(key) => format!("another fief host or domain (key {:#018x})", key.number()),
        None => format!("something that is not fief (key {number:#018x})"),
    }
}

/// What a unit says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub keys: Keys,
    /// Who has the reservation.
    pub held: Option<u64>,
}

impl Seen {
    /// Every key that is there, that of the reservation too.
    fn all(&self) -> impl Iterator<Item = u64> {
        let held = self.held.filter(|held| !self.keys.keys.contains(held));
        self.keys.keys.iter().copied().chain(held)
    }
}

/// Whom `ours` has to put out in order to hold the unit; nobody where it is free, or ours already.
///
/// # Errors
/// `in-use`: another holds it, and `force` was not said. `wrong-state`: a newer generation of ours does.
pub fn claim(seen: &Seen, ours: Key, force: bool) -> Result<Vec<u64>> {
    let mut out = Vec::new();
    for number in seen.all().filter(|&number| number != ours.0) {
        match Key::read(number) {
            Some(key) if key.is_older_than(ours) => out.push(number),
            Some(key) if ours.is_older_than(key) => {
                return Err(Error::wrong_state(format!(
                    "a newer attachment of this domain holds the unit (generation {}, this is {})",
                    key.holder().generation,
                    ours.holder().generation
                )));
            }
            Some(_) | None if force => out.push(number),
            Some(_) | None => {
                let who = describe(number);
                return Err(Error::in_use(who.clone(), format!("the unit is held by {who}")));
            }
        }
    }
    Ok(out)
}

/// What a server that already held the unit finds after a new login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The reservation is ours: this session has to be registered.
    Held,
    /// Nobody has it, as after a restart of the target: it has to be reserved again.
    Lapsed,
}

/// `known`: how many changes of keys the unit had counted when it was last ours; none the first time.
///
/// # Errors
/// What fences us: another's key, or a unit whose keys were changed by others while it stayed on.
pub fn standing(seen: &Seen, ours: Key, known: Option<u32>) -> Result<Standing> {
    if !claim(seen, ours, false)?.is_empty() {
        return Err(Error::wrong_state("the unit is held for an older attachment of this domain"));
    }
    match seen.held {
        Some(_) => Ok(Standing::Held),
        // The count begins anew when a unit is powered on. One that has gone on means that somebody put us out.
        None if known.is_some_and(|known| seen.keys.changes > known) => {
            Err(Error::in_use("another initiator", "another took the unit meanwhile, and has let go of it again"))
        }
        None => Ok(Standing::Lapsed),
    }
}

#[cfg(test)]
mod tests;
