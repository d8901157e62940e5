//! Tries to read what lies outside of its directory, through WASI. Says `denied` where it could not, and lists what it
//! got where it could.

use std::path::{Path, PathBuf};

use fief_sdk::Error;
use fief_sdk::storage::Volume;

hostile::list!("hostile-escape", all);

fn all(pool: &HostilePool) -> fief_sdk::Result<Vec<Volume>> {
    let base = pool.settings.directory.path();
    let path = pool.settings.path.as_str();
    let ways: [PathBuf; 3] = [base.join(path), Path::new("/").join(path), PathBuf::from(path)];
    let mut got = Vec::new();
    for way in &ways {
        if let Ok(bytes) = std::fs::read(way) {
            got.push(hostile::calm::volume("read", bytes.len() as u64));
        }
        if std::fs::read_dir(way).is_ok() {
            got.push(hostile::calm::volume("listed", 1));
        }
        if std::fs::write(way, "owned").is_ok() {
            got.push(hostile::calm::volume("written", 1));
        }
        if std::fs::hard_link(way, base.join("stolen")).is_ok() {
            got.push(hostile::calm::volume("linked", 1));
        }
        if std::fs::rename(base.join("bait"), way.join("owned")).is_ok() {
            got.push(hostile::calm::volume("moved", 1));
        }
        if std::fs::create_dir(way.join("owned")).is_ok() {
            got.push(hostile::calm::volume("made", 1));
        }
    }
    match got.is_empty() {
        true => Err(Error::denied("nothing outside could be reached")),
        false => Ok(got),
    }
}
