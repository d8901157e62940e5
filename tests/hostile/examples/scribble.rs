//! Behaves: writes, reads, renames and removes files of its own in the directory that it was granted.

use fief_sdk::Error;
use fief_sdk::storage::Volume;

hostile::list!("hostile-scribble", all);

fn all(pool: &HostilePool) -> fief_sdk::Result<Vec<Volume>> {
    let base = pool.settings.directory.path();
    let (one, other) = (base.join("one"), base.join("below").join("other"));
    let text = "scribbled ".repeat(100_000);
    let work = || {
        std::fs::write(&one, &text)?;
        std::fs::rename(&one, &other)?;
        let read = std::fs::read(&other)?;
        std::fs::remove_file(&other)?;
        Ok(read.len() as u64)
    };
    match work() {
        Ok(length) => Ok(vec![hostile::calm::volume("scribbled", length)]),
        Err(error) => Err(Error::from_io(&error, "cannot scribble")),
    }
}
