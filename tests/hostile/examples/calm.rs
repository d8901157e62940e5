//! Behaves. What is appended to it does not: the core modules in `wat/`, and broken manifests.

hostile::list!("hostile-calm", all);

fn all(_: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
    Ok(vec![hostile::calm::volume("calm", 1 << 20)])
}
