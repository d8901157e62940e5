//! Never ends, inside a function of the host's, where no processor time is spent.

use std::time::Duration;

hostile::list!("hostile-sleep", all);

fn all(_: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
    std::thread::sleep(Duration::from_secs(1_000_000));
    Ok(Vec::new())
}
