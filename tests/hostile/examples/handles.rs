//! Opens files and never closes them.

hostile::list!("hostile-handles", all);

fn all(pool: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
    let path = pool.settings.directory.path().join("bait");
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open(&path) {
        hoard.push(file);
    }
    // Being told that there are no more is no reason to stop.
    panic!("no more than {} handles", hoard.len());
}
