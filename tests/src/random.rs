//! Chance that can be had again: xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators").

pub struct Random(u64);

impl Random {
    /// The seed is `FIEF_CRASH_SEED`, or the time; it is printed, for a run like this one.
    pub fn from_environment() -> Random {
        let given = std::env::var("FIEF_CRASH_SEED").ok().map(|text| text.parse().expect("a number"));
        let now = || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64);
        let seed = given.unwrap_or_else(now);
        eprintln!("FIEF_CRASH_SEED={seed}");
        Random(seed | 1)
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }

    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at + 1));
        }
    }
}
