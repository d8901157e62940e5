//! `fief fetch`: a process that asks strangers' servers for one plugin, as a user of its own, with bounded memory.
//!
//! ```text
//!   Order ─▸ https.rs  one address, few redirects, TLS all the way
//!         ─▸ oci.rs    a registry: token, manifest, one layer
//!              └▸ Answer and the bytes, once they are all there
//! ```
//! The client of registries takes answers of any size; that this process may not grow is what bounds them.

mod https;
mod oci;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::order::{Answer, Found, ORDER_MAX, Order, What};
use crate::error::{Context, Failure, Kind, Result};
use crate::plugin::component::PLUGIN_MAX;

/// A server that does not take a connection, or sends nothing, for so long is away.
const SILENCE: Duration = Duration::from_secs(30);
const AGENT: &str = concat!("fief/", env!("CARGO_PKG_VERSION"));

/// The whole life of the process; gives its exit code. The socket to the command is its standard input.
pub fn run() -> u8 {
    let Ok(mut socket) = socket() else { return 2 };
    let answer = order(&mut socket).and_then(|order| live(&order));
    let (head, bytes): (Answer, Vec<u8>) = match answer {
        Ok((found, bytes)) => (Ok(found), bytes),
        Err(failure) => (Err(failure), Vec::new()),
    };
    let said = serde_json::to_vec(&head).map_err(std::io::Error::from).and_then(|mut line| {
        line.push(b'\n');
        socket.write_all(&line)?;
        socket.write_all(&bytes)
    });
    u8::from(said.is_err())
}

fn socket() -> std::io::Result<UnixStream> {
    let socket: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(UnixStream::from(socket))
}

fn order(socket: &mut UnixStream) -> Result<Order> {
    let saying = || "cannot read what is to be fetched".to_owned();
    let mut text = Vec::new();
    socket.take(ORDER_MAX).read_to_end(&mut text).context(saying)?;
    serde_json::from_slice(&text).context(saying)
}

fn live(order: &Order) -> Result<(Found, Vec<u8>)> {
    // Said once: fails only where it was said before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start what waits for servers".to_owned())?;
    let limit = Duration::from_millis(order.timeout_ms);
    let work = async {
        match &order.what {
            What::Https { address } => https::fetch(address, &order.ca).await,
            What::Oci { reference, login, plain_http } => {
                oci::fetch(reference, login.as_ref(), *plain_http, &order.ca).await
            }
        }
    };
    let done = runtime.block_on(async { tokio::time::timeout(limit, work).await });
    // A name that is still being looked up holds nobody up.
    runtime.shutdown_background();
    done.unwrap_or_else(|_| {
        Err(Failure::new(Kind::TimedOut, "it took longer than it may").hint("--timeout TIME gives it longer"))
    })
}

/// What a body says of its length, and what has come of it, are held against this.
fn fits(length: u64) -> Result<()> {
    if length <= PLUGIN_MAX as u64 {
        return Ok(());
    }
    Err(Failure::usage(format!("it is larger than a plugin may be ({} MiB)", PLUGIN_MAX >> 20)))
}

/// What a request came to nothing by.
fn request(error: &reqwest::Error) -> Failure {
    let mut causes: Vec<String> = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        let text = next.to_string();
        // Some repeat what is below them.
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        source = next.source();
    }
    let plain = error.url().is_some_and(|url| url.scheme() == "http");
    let place = error.url().map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let certificate = causes.iter().any(|cause| cause.contains("certificate"));
    let (failure, hint) = if error.is_redirect() {
        (
            Failure::denied("the server leads elsewhere, where it is not followed"),
            "name the address that it is to come from",
        )
    } else if plain {
        (
            Failure::denied(format!("the server leads to {place}, and nothing is fetched over plain http")),
            "name another place to fetch it from",
        )
    } else if certificate {
        (
            Failure::denied(format!("{place} cannot prove who it is")),
            "where its certificate is by an authority of your own: --ca FILE",
        )
    } else if error.is_timeout() {
        (
            Failure::new(Kind::TimedOut, format!("{place} does not answer")),
            "is the address right, and does a firewall let it through?",
        )
    } else if error.is_connect() {
        (
            Failure::new(Kind::Unreachable, format!("{place} is not reached")),
            "is the address right, and does the server run?",
        )
    } else {
        (Failure::new(Kind::Unreachable, format!("what {place} sends broke off")), "try again")
    };
    Failure { causes, ..failure }.hint(hint)
}

/// What a status says that is none of success.
fn status(code: u16, place: &str) -> Failure {
    let said = format!("{place} answers {code}");
    match code {
        404 | 410 => Failure::not_found(said).hint("there is nothing under this name: look for a mistake in it"),
        401 | 403 => Failure::denied(said).hint("it wants to know who asks, or this is not for everybody"),
        429 | 500..=599 => Failure::new(Kind::Unreachable, said).hint("try again later"),
        _ => Failure::other(said),
    }
}
