//! Calls itself until the stack ends.

hostile::list!("hostile-recursion", all);

fn deeper(depth: u64) -> u64 {
    match std::hint::black_box(depth) {
        u64::MAX => 0,
        depth => deeper(depth + 1).wrapping_add(std::hint::black_box(depth)),
    }
}

fn all(_: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
    Ok(vec![hostile::calm::volume("deep", deeper(0))])
}
