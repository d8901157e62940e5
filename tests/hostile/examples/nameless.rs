//! Has no manifest at all.

hostile::backend!(|_| Ok(Vec::new()), hostile::calm::create, |_, _| Ok(()));

fief_sdk::export!(storage Hostile);
