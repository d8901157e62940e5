//! `fief view`: a viewer on the domain's private VNC socket.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::cli::Context;
use crate::cli::output::Shown;
use crate::domain::state::{Admission, Request, admit};
use crate::domain::{client, store};
use crate::error::{Failure, Kind, Result};
use crate::types::DomainName;

/// Open a viewer on the screen of a guest
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The screen is served on a Unix socket that only the owner of the state may open. From another \
                        machine: ssh -L 5900:SOCKET HOST, then a viewer on localhost:5900."
)]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// Print the path of the socket, and start no viewer
    #[arg(long)]
    socket: bool,
}

/// Viewers that take a Unix socket, and how each is told of it; the first that is there is taken.
const VIEWERS: &[(&str, &str)] = &[("remote-viewer", "vnc+unix://"), ("vncviewer", ""), ("gvncviewer", "")];

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let (layout, name) = (context.layout(), &args.name);
    if !layout.domain(name).exists() {
        return Err(store::no_such(layout, name));
    }
    if let Admission::Deny { kind, because, hint } = admit(client::settled_start(layout, name)?, Request::Look) {
        return Err(Failure::new(kind, format!("domain {name} has nothing to show: {because}")).hint(hint));
    }
    let socket = layout.domain(name).join("vnc.sock");
    if !socket.exists() {
        return Err(Failure::conflict(format!("domain {name} has no screen"))
            .hint("give it one: write [graphics] kind = \"vnc\" with `fief edit`; it has it from its next start"));
    }
    if args.socket {
        let json = json!({ "name": name, "socket": socket });
        let text = format!("{}\n", socket.display());
        return context.show(&Shown { kind: "screen", name: name.to_string(), json, text });
    }
    Err(open(&socket))
}

/// Becomes the viewer; an error where there is none.
fn open(socket: &Path) -> Failure {
    for (program, scheme) in VIEWERS {
        let error = Command::new(program).arg(format!("{scheme}{}", socket.display())).exec();
        if error.kind() != std::io::ErrorKind::NotFound {
            return Failure::other(format!("cannot start the viewer {program}")).because(error);
        }
    }
    let known: Vec<&str> = VIEWERS.iter().map(|(program, _)| *program).collect();
    Failure::new(Kind::NotFound, format!("no viewer is installed here (looked for {})", known.join(", "))).hint(format!(
        "install one (apt install virt-viewer), or look from your own machine: ssh -L 5900:{} HOST, then a viewer on \
         localhost:5900",
        socket.display()
    ))
}
