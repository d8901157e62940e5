//! Floods the log: a hundred thousand lines, one line of 8 MiB, and as much on both standard streams.

hostile::list!("hostile-flood", all);

fn all(_: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
    let long = "y".repeat(8 << 20);
    fief_sdk::info!("{long}");
    for line in 0..100_000 {
        fief_sdk::warn!("flood {line}", field = line);
    }
    for line in 0..1_000 {
        eprintln!("flood {line}");
    }
    Ok(vec![hostile::calm::volume("flood", 1)])
}
