//! `qemu-img`, confined: it runs as the plugin's user and is handed open files. It is told the whole chain of an
//! image as JSON, so that it follows no name that stands in one.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde_json::{Value, json};

use super::open::Layer;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::ImageFormat;
use crate::sys::confined::Confined;
use crate::types::{ByteSize, DiskFormat};

/// What any run may take, a busy host included.
const DEADLINE: Duration = Duration::from_secs(60);
/// A copy on storage slower than this, in bytes a second, is given up.
const SLOWEST: u64 = 8 << 20;

/// A run of `qemu-img` that may have to write `bytes`, as this user.
pub(super) fn qemu_img(gate: &Gate, user: Option<u32>, bytes: ByteSize) -> Confined {
    let deadline = DEADLINE + Duration::from_secs(bytes.bytes() / SLOWEST);
    let mut tool = Confined::new(&gate.policy().host.qemu_img, deadline);
    tool.user(user);
    tool
}

/// A conversion of a disk of so many bytes into a new file, which tells the gate's meter how far it is. What it reads and
/// what it writes are the caller's to add, in this order.
pub(super) fn convert(gate: &Gate, user: Option<u32>, format: DiskFormat, bytes: ByteSize) -> Confined {
    let (name, options) = match format {
        DiskFormat::Raw | DiskFormat::Qcow2 | DiskFormat::Vmdk | DiskFormat::Vdi => (format.as_str(), None),
        DiskFormat::Vhdx => (format.as_str(), Some("subformat=dynamic")),
        // Else the size is rounded to what cylinders, heads and sectors can tell.
        DiskFormat::Vhd => ("vpc", Some("subformat=dynamic,force_size=on")),
    };
    let mut tool = converting(gate, user, name, bytes);
    if let Some(options) = options {
        tool.argument("-o").argument(options);
    }
    tool
}

/// The same into a disk that is there. It is flushed at the end; where it is `blank`, zeroes are not written.
pub(super) fn convert_onto(gate: &Gate, user: Option<u32>, blank: bool, bytes: ByteSize) -> Confined {
    let mut tool = converting(gate, user, "raw", bytes);
    tool.argument("-n").argument("-t").argument("writeback");
    if blank {
        tool.argument("--target-is-zero");
    }
    tool
}

fn converting(gate: &Gate, user: Option<u32>, format: &str, bytes: ByteSize) -> Confined {
    let mut tool = qemu_img(gate, user, bytes);
    tool.argument("convert").argument("-p").argument("-O").argument(format);
    let meter = gate.meter().clone();
    meter.begin(bytes.bytes());
    tool.hearing(move |said| {
        if let Some(parts) = share(said) {
            meter.share(parts);
        }
    });
    tool
}

/// Hands over a connection to what serves a raw disk, and gives the word by which the tool speaks with it.
pub(super) fn hand_served(tool: &mut Confined, served: &OwnedFd, export: &str, write: bool) -> Result<String> {
    let number = tool.hand_number(served).context(|| "cannot copy a descriptor".into())?;
    let node = json!({
        "driver": "raw",
        "read-only": !write,
        "file": {
            "driver": "nbd",
            "server": { "type": "fd", "str": number.to_string() },
            "export": export,
            "read-only": !write,
        },
    });
    Ok(format!("json:{node}"))
}

/// The last of `    (12.34/100%)\r`, in hundredths of a percent.
fn share(said: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(said);
    let (before, _) = text.rsplit_once("/100%)")?;
    let (_, number) = before.rsplit_once('(')?;
    let (whole, hundredths) = number.split_once('.')?;
    Some(whole.parse::<u64>().ok()? * 100 + hundredths.parse::<u64>().ok()?)
}

/// Hands a chain over, and gives the word by which the tool opens it. The top is written to where `write` says so.
pub(super) fn hand(tool: &mut Confined, layers: &[Layer], write: bool) -> Result<String> {
    Ok(format!("json:{}", hand_node(tool, layers, write)?))
}

/// The same as a block node.
pub(super) fn hand_node(tool: &mut Confined, layers: &[Layer], write: bool) -> Result<Value> {
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
    Ok(below)
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
        None if finished.broken_off => Err(Failure::other(doing).because(io::Error::other("it was broken off"))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_share_that_the_tool_told_counts() {
        assert_eq!(share(b"    (0.00/100%)\r    (12.34/100%)\r"), Some(1234));
        assert_eq!(share(b"    (100.00/100%)\r\n"), Some(10_000));
        for nothing in [&b""[..], b"34/100%)", b"(x/100%)", b"    (50.00/10"] {
            assert_eq!(share(nothing), None);
        }
    }
}
