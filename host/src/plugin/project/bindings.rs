//! Bindings out of a project's interfaces: what its language calls, and what calls it.

use std::path::{Path, PathBuf};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

use super::WORLD;
use crate::error::{Failure, Result};
use crate::plugin::printable;

/// Functions that are `async` in an interface and that C waits for all the same: the call takes as long as it takes, and the
/// instance stands still meanwhile.
const WAITS: &str = "-all";
/// The one of them that ends when something happens, and so must not hold up the others.
const EVENTS: &str = "export:fief:storage/block@0.1.0#[method]device.next-event";

/// The C of the world `plugin` that is below `wit`: `plugin.h`, `plugin.c`, and an object that says what the world is
/// (WIT's canonical ABI, by wit-bindgen).
///
/// # Errors
/// `Usage` with the place in the interfaces where they are wrong.
pub fn c(wit: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let wrong = |error: &dyn std::fmt::Display| {
        let mut failure = Failure::usage(format!("the interfaces below {} cannot be read", wit.display()));
        failure.causes.push(printable(&error.to_string()));
        failure.hint(format!("they are one package with a world {WORLD}; what it stands on is below deps"))
    };
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).map_err(|error| wrong(&format!("{error:#}")))?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(|error| wrong(&format!("{error:#}")))?;
    // What an export was lent is given back by the bindings, whichever way the author's code ends.
    let mut options = wit_bindgen_c::Opts { autodrop_borrows: wit_bindgen_c::Enabled::Yes, ..Default::default() };
    for filter in [EVENTS, WAITS] {
        options.async_.push(filter);
    }
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).map_err(|error| wrong(&format!("{error:#}")))?;
    Ok(files.iter().map(|(name, content)| (PathBuf::from(name), content.to_vec())).collect())
}
