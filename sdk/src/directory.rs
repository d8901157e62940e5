//! What lies in a granted directory, while others make and delete there.

use std::io::{ErrorKind, Result};
use std::path::Path;

/// A listing is begun so often at most: each beginning anew is a file that went in that very moment.
const TRIES: u32 = 100;

/// The names in a directory, in no order. Those that are no text are left out.
///
/// In a sandbox a listing ends with `NotFound` where a file goes between being named and being looked at, with the others
/// untold. It is then begun anew.
///
/// # Errors
/// What the file system says: `NotFound` where the directory itself is gone.
pub fn names(path: &Path) -> Result<Vec<String>> {
    let mut tries = 1;
    loop {
        match listed(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES && path.is_dir() => tries += 1,
            other => return other,
        }
    }
}

fn listed(path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_tells_its_names_and_that_it_is_gone() {
        let folder = std::env::temp_dir().join(format!("fief-sdk-names-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a"), "").unwrap();
        assert_eq!(names(&folder).unwrap(), ["a"]);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names(&folder).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
