//! A plugin at an address of the web. What type the server says it is of does not matter: its bytes are looked at.

use reqwest::redirect::{Attempt, Policy};

use super::{AGENT, SILENCE, fits, request, status};
use crate::error::{Failure, Result};
use crate::plugin::source::order::Found;

/// Redirects that are followed: a name that moved, to a release, to where files lie.
const REDIRECTS_MAX: usize = 5;

/// # Errors
/// `Denied` for a certificate that is not trusted or a redirect to plain http, `NotFound`, `Unreachable`, `Usage` for what
/// is too large.
pub(super) async fn fetch(address: &str, ca: &[Vec<u8>]) -> Result<(Found, Vec<u8>)> {
    let ca: std::result::Result<Vec<_>, _> = ca.iter().map(|one| reqwest::Certificate::from_der(one)).collect();
    let client = reqwest::Client::builder()
        .user_agent(AGENT)
        .redirect(Policy::custom(follow))
        .referer(false)
        .connect_timeout(SILENCE)
        .read_timeout(SILENCE)
        .tls_certs_merge(ca.map_err(|error| request(&error))?)
        .build()
        .map_err(|error| Failure::other("TLS cannot be set up here").because(error))?;
    let mut response = client.get(address).send().await.map_err(|error| request(&error))?;
    if !response.status().is_success() {
        return Err(status(response.status().as_u16(), &response.url().origin().ascii_serialization()));
    }
    fits(response.content_length().unwrap_or_default())?;
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| request(&error))? {
        fits((bytes.len() + piece.len()) as u64)?;
        bytes.extend_from_slice(&piece);
    }
    Ok((Found { length: bytes.len(), manifest: None }, bytes))
}

fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.url().scheme() != "https" {
        let to = format!("to {}, which is not https", attempt.url().origin().ascii_serialization());
        return attempt.error(to);
    }
    if attempt.previous().len() > REDIRECTS_MAX {
        return attempt.error(format!("more than {REDIRECTS_MAX} times"));
    }
    attempt.follow()
}
