//! A value that must not show in a log, an error or a record.

/// The bytes of a secret. No `Display`, no `Serialize`, a `Debug` that says nothing; overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Longest, in bytes: a key file fits.
    pub const MAX: usize = 64 << 10;

    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(bytes)
    }
    /// The one way to the bytes; its callers are the places to read in a review.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Whoever might look is not known to the compiler, so the zeroes have to be there.
        std::hint::black_box(&self.0);
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let shown = format!("{:?}", Secret::new(b"canary".to_vec()));
        assert!(!shown.contains("canary") && !shown.contains("99"), "{shown}");
    }
}
