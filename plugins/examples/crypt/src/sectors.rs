//! Sectors, encrypted and not. Pure.
//!
//! AES-256 in XTS mode (IEEE 1619), each sector of 512 bytes by itself with its number as the tweak, as dm-crypt's `plain64` has
//! it. A sector of nothing but zeroes on disk was never written, or was discarded: it reads as zeroes. That one written so comes
//! out as zeroes by chance does not happen.

use aes::Aes256;
use aes::cipher::KeyInit as _;
use xts_mode::{Xts128, get_tweak_default};

use crate::head::Keys;

/// In bytes.
pub(crate) const SECTOR: usize = 512;

pub(crate) struct Cipher(Xts128<Aes256>);

impl Cipher {
    pub(crate) fn new(keys: &Keys) -> Self {
        Cipher(Xts128::new(Aes256::new(&keys.data.into()), Aes256::new(&keys.tweak.into())))
    }

    /// Whole sectors, the first of them at `offset` of the volume.
    pub(crate) fn encrypt(&self, bytes: &mut [u8], offset: u64) {
        self.0.encrypt_area(bytes, SECTOR, u128::from(offset / SECTOR as u64), get_tweak_default);
    }

    pub(crate) fn decrypt(&self, bytes: &mut [u8], offset: u64) {
        let first = u128::from(offset / SECTOR as u64);
        for (number, sector) in (first..).zip(bytes.chunks_exact_mut(SECTOR)) {
            if sector.iter().any(|byte| *byte != 0) {
                self.0.decrypt_sector(sector, get_tweak_default(number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher() -> Cipher {
        Cipher::new(&Keys { data: [1; 32], tweak: [2; 32] })
    }

    #[test]
    fn what_is_encrypted_is_decrypted_at_its_place_alone() {
        let plain: Vec<u8> = (0..4 * SECTOR).map(|at| (at % SECTOR) as u8).collect();
        let mut bytes = plain.clone();
        cipher().encrypt(&mut bytes, 1 << 40);
        assert!(bytes[..SECTOR] != bytes[SECTOR..2 * SECTOR], "equal sectors look different");
        // The last two by themselves.
        let mut half = bytes[2 * SECTOR..].to_vec();
        cipher().decrypt(&mut half, (1 << 40) + 2 * SECTOR as u64);
        assert_eq!(half, plain[2 * SECTOR..]);
        let mut elsewhere = bytes.clone();
        cipher().decrypt(&mut elsewhere, 0);
        assert!(elsewhere != plain);
        cipher().decrypt(&mut bytes, 1 << 40);
        assert_eq!(bytes, plain);
    }

    #[test]
    fn zeroes_that_were_written_are_hidden_and_holes_are_zeroes() {
        let mut bytes = vec![0; SECTOR];
        cipher().decrypt(&mut bytes, 0);
        assert_eq!(bytes, [0; SECTOR]);
        cipher().encrypt(&mut bytes, 0);
        assert!(bytes.iter().filter(|byte| **byte == 0).count() < 32);
    }

    /// IEEE 1619-2007, annex B, vector 10: 512 bytes by AES-256 with the number 255 as the tweak; its first block.
    #[test]
    fn it_is_the_xts_of_the_standard() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let data = hex("2718281828459045235360287471352662497757247093699959574966967627");
        let tweak = hex("3141592653589793238462643383279502884197169399375105820974944592");
        let keys = Keys { data: data.try_into().unwrap(), tweak: tweak.try_into().unwrap() };
        let mut bytes: Vec<u8> = (0..SECTOR).map(|at| at as u8).collect();
        Cipher::new(&keys).encrypt(&mut bytes, 255 * SECTOR as u64);
        assert_eq!(bytes[..16], hex("1c3b3a102f770386e4836c99e370cf9b"));
    }
}
