//! `qemu-img`, confined: it runs as the plugin's user and is handed open files. It is told the whole chain of an
//! image as JSON, so that it follows no name that stands in one.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::open::Layer;
use super::place::Place;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::ImageFormat;
use crate::sys::confined::Confined;
use crate::types::ByteSize;

/// What any run may take, a busy host included.
const DEADLINE: Duration = Duration::from_secs(60);
/// A copy on storage slower than this, in bytes a second, is given up.
const SLOWEST: u64 = 8 << 20;

/// A run of `qemu-img` that may have to write `bytes`.
pub(super) fn qemu_img(gate: &Gate, place: &Place, bytes: ByteSize) -> Confined {
    let deadline = DEADLINE + Duration::from_secs(bytes.bytes() / SLOWEST);
    let mut tool = Confined::new(&gate.policy().host.qemu_img, deadline);
    tool.user(place.owner);
    tool
}

/// Hands a chain over, and gives the word by which the tool opens it. The top is written to where `write` says so.
pub(super) fn hand(tool: &mut Confined, layers: &[Layer], write: bool) -> Result<String> {
    let mut below = Value::Null;
    for (depth, layer) in layers.iter().enumerate().rev() {
        let write = write && depth == 0;
        layer.place.hand_over(&layer.file, write)?;
        let name = tool.hand(&layer.file).context(|| "cannot copy a descriptor".into())?;
        let mut node = json!({
            "driver": layer.format.as_str(),
            "read-only": !write,
            "file": { "driver": "file", "filename": name, "read-only": !write },
        });
        match layer.format {
            // Null where it stands alone: then nothing in its header is followed either.
            ImageFormat::Qcow2 => node["backing"] = below,
            ImageFormat::Raw => {}
        }
        below = node;
    }
    Ok(format!("json:{below}"))
}

pub(super) fn run(gate: &Gate, tool: Confined, doing: &str) -> Result<()> {
    let program = &gate.policy().host.qemu_img;
    let finished = match tool.run() {
        Ok(finished) => finished,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::new(Kind::Other, doing)
                .because(io::Error::other(format!("there is no {}", program.display())))
                .hint("install it (Debian: qemu-utils), or say where it is as qemu-img under [host] in policy.toml"));
        }
        Err(error) => return Err(error).context(|| format!("{doing}: cannot run {}", program.display())),
    };
    // An image's own words may stand in what the tool says.
    let words: String = finished.words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let failure = |kind| Failure::new(kind, doing).because(io::Error::other(words.clone()));
    match finished.status {
        Some(status) if status.success() => Ok(()),
        None => Err(Failure::new(Kind::TimedOut, doing)
            .because(io::Error::other(format!("{} took too long and was ended", program.display())))),
        Some(_) if words.contains("No space left on device") => Err(failure(Kind::NoRoom)),
        Some(_) if words.contains("\" lock") || words.contains("Failed to lock") => Err(failure(Kind::Conflict)
            .hint("the image is in use by another process, a running domain perhaps; stop that first")),
        Some(status) if words.is_empty() => Err(Failure::new(Kind::Other, doing)
            .because(io::Error::other(format!("{} ended with {status}", program.display())))),
        Some(_) => Err(failure(Kind::Other)),
    }
}
