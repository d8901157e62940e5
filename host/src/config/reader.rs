//! Reads TOML with the place of every value, and gathers all mistakes instead of stopping at the first.
