//! A plugin that a server has: the process that asks it is started, told what to fetch, and not believed.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use oci_client::Reference;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::order::{ANSWER_MAX, Answer, Found, Order, What};
use super::{FetchOptions, Fetched, Source, SourceRecord, login};
use crate::config::reader;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::{Gate, identity};
use crate::plugin::component::PLUGIN_MAX;
use crate::sys::confine::{self, Life, Room};

/// An order is read before anything else is done.
const SEND_WAIT: Duration = Duration::from_secs(10);
/// What the process has beyond the operator's time to say that this is over.
const GRACE: Duration = Duration::from_secs(5);
const HINT_CA: &str = "name a file of certificates (PEM), as in --ca /etc/ssl/our-ca.pem";

/// # Errors
/// `Usage` for options that do not fit, and what the server or the way to it is at fault for.
pub(super) fn https(gate: &Gate, address: &reqwest::Url, options: &FetchOptions) -> Result<Fetched> {
    let order = order(What::Https { address: address.to_string() }, options)?;
    fetched(gate, &order, Source::Https(address.clone()), options)
}

/// The same of a registry.
pub(super) fn oci(gate: &Gate, reference: &Reference, options: &FetchOptions) -> Result<Fetched> {
    let registry = reference.registry();
    if options.plain_http && !is_here(registry) {
        return Err(Failure::usage(format!("--plain-http is for a registry on this host, and {registry} is none"))
            .hint(
                "leave it away; where the registry's certificate is by an authority of your own, name that by --ca",
            ));
    }
    let login = options.registry_auth.as_deref().map(|file| login::read(file, reference)).transpose()?;
    let what = What::Oci { reference: reference.whole(), login, plain_http: options.plain_http };
    fetched(gate, &order(what, options)?, Source::Oci(reference.clone()), options)
}

/// Whether a registry's `HOST[:PORT]` is this very host by any resolver.
fn is_here(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn order(what: What, options: &FetchOptions) -> Result<Order> {
    let mut ca = Vec::new();
    for path in &options.ca {
        ca.extend(certificates(path)?);
    }
    Ok(Order { what, ca, timeout_ms: u64::try_from(options.timeout.as_millis()).unwrap_or(u64::MAX) })
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>> {
    let shown = path.display();
    let text = reader::read_file(path).map_err(|failure| failure.hint(HINT_CA))?;
    let found: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&text).map(|one| one.map(|one| one.as_ref().to_vec())).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Failure::usage(format!("{shown} holds no certificate")).hint(HINT_CA)),
        Err(error) => Err(Failure::usage(format!("{shown} cannot be read as certificates"))
            .because(std::io::Error::other(error.to_string()))
            .hint(HINT_CA)),
    }
}

fn fetched(gate: &Gate, order: &Order, source: Source, options: &FetchOptions) -> Result<Fetched> {
    let shown = source.to_string();
    let uid = identity::fetcher_uid(gate.policy())?;
    let deadline = Instant::now().checked_add(options.timeout.saturating_add(GRACE));
    let (found, bytes) =
        ask(order, uid, deadline).map_err(|failure| failure.while_doing(format!("cannot fetch {shown}")))?;
    Ok(Fetched { bytes, record: SourceRecord { from: shown.clone(), manifest: found.manifest }, shown })
}

/// # Errors
/// What the process says, and what became of it where it says nothing.
fn ask(order: &Order, uid: Option<u32>, deadline: Option<Instant>) -> Result<(Found, Vec<u8>)> {
    let saying = || "cannot start the process that fetches".to_owned();
    let (mut here, there) = UnixStream::pair().context(saying)?;
    here.set_write_timeout(Some(SEND_WAIT)).context(saying)?;
    let order = serde_json::to_vec(order).context(saying)?;
    let executable: PathBuf = crate::sys::process::sandbox_executable();
    let child = confine::spawn(&executable, Room::Fetching, there, uid, Life::OfItsParent).context(saying)?;
    let mut child = Ended(child);
    here.write_all(&order).and_then(|()| here.shutdown(Shutdown::Write)).context(saying)?;
    let answer = listen(&mut here, deadline);
    let status = child.end(answer.is_ok());
    let mut answer = answer?;
    let Some(end) = answer.iter().take(ANSWER_MAX).position(|byte| *byte == b'\n') else { return Err(lost(status)) };
    let head: Answer = serde_json::from_slice(&answer[..end]).map_err(|_| lost(status))?;
    let found = head?;
    let bytes = answer.split_off(end + 1);
    if bytes.len() == found.length { Ok((found, bytes)) } else { Err(lost(status)) }
}

/// All that it says until it ends, and no more than it may.
fn listen(stream: &mut UnixStream, deadline: Option<Instant>) -> Result<Vec<u8>> {
    const MOST: usize = ANSWER_MAX + PLUGIN_MAX;
    let mut heard = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Failure::new(Kind::TimedOut, "the process that fetches did not end in time"));
        }
        let read = stream.set_read_timeout(left).and_then(|()| stream.read(&mut piece));
        match read {
            Ok(0) => return Ok(heard),
            Ok(length) if heard.len() + length <= MOST => heard.extend_from_slice(&piece[..length]),
            Ok(_) => return Err(Failure::other("the process that fetches says more than it may")),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The deadline is looked at above.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context(|| "the process that fetches is not heard".to_owned()),
        }
    }
}

/// It says no answer that can be read: a server sent it what it cannot hold, or broke it.
fn lost(status: Option<ExitStatus>) -> Failure {
    let mut failure = Failure::other("the process that fetches ended without an answer")
        .hint("what the server sends is at fault, most likely: download the plugin by other means, and name the file");
    failure.causes.extend(match status {
        Some(status) => match (status.signal(), status.code()) {
            (Some(signal), _) => Some(format!("signal {signal} ended it")),
            (None, Some(code)) => Some(format!("it ended with code {code}")),
            (None, None) => None,
        },
        None => None,
    });
    failure
}

/// Ended, at the latest, when it is dropped.
struct Ended(Child);

impl Ended {
    /// How it ended by itself, where it closed its socket; else it is ended here.
    fn end(&mut self, closed: bool) -> Option<ExitStatus> {
        if !closed {
            // Fails where it has ended meanwhile.
            let _ = self.0.kill();
        }
        self.0.wait().ok()
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_is_asked_without_tls() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in ["localhost.example:5000", "10.0.0.1:5000", "registry.example", "127.0.0.1.example"] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).unwrap();
            let failure = certificates(&file).unwrap_err();
            assert!(failure.kind == Kind::Usage && failure.message.contains("ca.pem"), "{failure}");
        }
    }

    #[test]
    fn what_says_too_much_or_nothing_is_given_up() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let talks = std::thread::spawn(move || while there.write_all(&[0; 1 << 20]).is_ok() {});
        assert!(listen(&mut here, None).unwrap_err().message.contains("more than it may"));
        drop(here);
        talks.join().unwrap();
        let (mut here, _there) = UnixStream::pair().unwrap();
        let soon = Instant::now() + Duration::from_millis(50);
        assert_eq!(listen(&mut here, Some(soon)).unwrap_err().kind, Kind::TimedOut);
    }
}
