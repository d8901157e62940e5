//! Answers with one name of 24 MiB.

hostile::list!("hostile-long-answer", all);

fn all(_: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
    Ok(vec![hostile::calm::volume(&"x".repeat(24 << 20), 1)])
}
