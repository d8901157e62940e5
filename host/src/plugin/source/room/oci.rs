//! A plugin in a registry (OCI Distribution Specification 1.1): the artefact of one component, as the CNCF's "Wasm OCI
//! Artifact layout" has it. What is a plugin is its one layer of the type `application/wasm`; its configuration is not read.

use futures_util::StreamExt;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
    OciDescriptor, OciManifest, WASM_LAYER_MEDIA_TYPE,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

use super::{AGENT, SILENCE, fits, request, status};
use crate::error::{Failure, Kind, Result};
use crate::plugin::source::order::{Found, Login};
use crate::types::Digest;

/// Types of a layer that is a component: the layout's, and the one that tools wrote before there was a layout.
const LAYERS: &[&str] = &["application/wasm", WASM_LAYER_MEDIA_TYPE];
const MANIFESTS: &[&str] =
    &[OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE];
/// A manifest with one layer takes a kilobyte (the specification has registries take 4 MiB).
const MANIFEST_MAX: usize = 4 << 20;
/// The client follows redirects wherever they lead, also to plain http, which nothing of it can forbid; so plain http goes
/// by a proxy at a port that no program can have.
const NOWHERE: &str = "http://127.0.0.1:0";
/// Types and layers that are named where they are wrong.
const NAMED_MAX: usize = 4;

/// # Errors
/// `NotFound`; `Denied` where the registry wants to know who asks or bytes are not of their digest; `Usage` where there is
/// no one plugin; `Unreachable`.
pub(super) async fn fetch(
    reference: &str,
    login: Option<&Login>,
    plain_http: bool,
    ca: &[Vec<u8>],
) -> Result<(Found, Vec<u8>)> {
    let reference: Reference =
        reference.parse().map_err(|error| Failure::usage("this names nothing in a registry").because(error))?;
    let wrong = |error: OciDistributionError| said(error, login.is_some());
    let client = client(&reference, plain_http, ca)?;
    let auth =
        login.map_or(RegistryAuth::Anonymous, |login| RegistryAuth::Basic(login.user.clone(), login.password.clone()));
    let (text, _) = client.pull_manifest_raw(&reference, &auth, MANIFESTS).await.map_err(wrong)?;
    if text.len() > MANIFEST_MAX {
        return Err(Failure::usage("its manifest is longer than manifests may be"));
    }
    let manifest = Digest::of(&text);
    if reference.digest().is_some_and(|digest| digest != manifest.to_string()) {
        return Err(Failure::denied("the registry sends another manifest than was asked for"));
    }
    let (layer, digest) = layer(&text)?;
    let mut stream = client.pull_blob_stream(&reference, layer.as_str()).await.map_err(wrong)?;
    fits(stream.content_length.unwrap_or_default())?;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| wrong(OciDistributionError::IoError(error)))?;
        fits((bytes.len() + piece.len()) as u64)?;
        bytes.extend_from_slice(&piece);
    }
    if Digest::of(&bytes) != digest {
        return Err(Failure::denied(format!("the registry sends other bytes than the layer {digest}")));
    }
    Ok((Found { length: bytes.len(), manifest: Some(manifest) }, bytes))
}

fn client(reference: &Reference, plain_http: bool, ca: &[Vec<u8>]) -> Result<Client> {
    let registry = reference.resolve_registry().to_owned();
    let host = registry.rsplit_once(':').map_or(registry.as_str(), |(host, _)| host).to_owned();
    let config = ClientConfig {
        protocol: if plain_http { ClientProtocol::HttpsExcept(vec![registry]) } else { ClientProtocol::Https },
        extra_root_certificates: ca
            .iter()
            .map(|one| Certificate { encoding: CertificateEncoding::Der, data: one.clone() })
            .collect(),
        platform_resolver: None,
        read_timeout: Some(SILENCE),
        connect_timeout: Some(SILENCE),
        user_agent: AGENT,
        http_proxy: Some(NOWHERE.to_owned()),
        no_proxy: plain_http.then_some(host),
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(|error| Failure::other("TLS cannot be set up here").because(error))
}

/// The digest of the one layer that is a component, as the registry spells it and as it is. Pure.
///
/// # Errors
/// `Usage` where the artefact is not one plugin.
fn layer(manifest: &[u8]) -> Result<(String, Digest)> {
    let odd =
        |what: String| Failure::usage(what).hint("a plugin's artefact has one layer of the type application/wasm");
    let manifest: OciManifest =
        serde_json::from_slice(manifest).map_err(|error| odd(format!("its manifest cannot be read: {error}")))?;
    let layers = match manifest {
        OciManifest::Image(image) => image.layers,
        OciManifest::ImageIndex(index) => {
            let digests = index.manifests.iter().take(NAMED_MAX).map(|one| one.digest.clone());
            let causes = digests.collect();
            return Err(Failure { causes, ..Failure::usage("this is an index of several artefacts") }
                .hint("name one of them by its digest: oci://REGISTRY/NAME@sha256:…"));
        }
    };
    let layer = match &layers[..] {
        [one] => one,
        [] => return Err(odd("the artefact has no layers".to_owned())),
        several => return Err(odd(format!("the artefact has {} layers", several.len()))),
    };
    let OciDescriptor { media_type, digest, size, .. } = layer;
    if !LAYERS.contains(&media_type.as_str()) {
        return Err(odd(format!("the artefact's layer is of the type {media_type:?}: this is no plugin")));
    }
    fits(u64::try_from(*size).unwrap_or(u64::MAX))?;
    let known: Digest =
        digest.parse().map_err(|why| odd(format!("the digest of the artefact's layer is none: {why}")))?;
    Ok((digest.clone(), known))
}

/// What a registry, or the way to it, is at fault for.
fn said(error: OciDistributionError, known: bool) -> Failure {
    let denied = |what: String| {
        Failure::denied(what).hint(if known {
            "what --registry-auth names may not read this"
        } else {
            "where this is not for everybody: --registry-auth FILE, as docker login writes it"
        })
    };
    match error {
        OciDistributionError::RegistryError { envelope, url } => {
            let place = origin(&url);
            let of = |codes: &[OciErrorCode]| envelope.errors.iter().any(|error| codes.contains(&error.code));
            let causes: Vec<String> =
                envelope.errors.iter().take(NAMED_MAX).map(|error| error.message.clone()).collect();
            let failure = if of(&[OciErrorCode::Unauthorized, OciErrorCode::Denied]) {
                denied(format!("{place} does not give it to us"))
            } else if of(&[
                OciErrorCode::ManifestUnknown,
                OciErrorCode::NameUnknown,
                OciErrorCode::NotFound,
                OciErrorCode::BlobUnknown,
            ]) {
                status(404, &place)
            } else if of(&[OciErrorCode::Toomanyrequests]) {
                status(429, &place)
            } else {
                Failure::other(format!("{place} refuses"))
            };
            Failure { causes, ..failure }
        }
        OciDistributionError::ServerError { code, url, message: _ } => status(code, &origin(&url)),
        OciDistributionError::UnauthorizedError { url } => denied(format!("{} does not give it to us", origin(&url))),
        OciDistributionError::AuthenticationFailure(_) => denied("the registry does not know us".to_owned()),
        OciDistributionError::RequestError(error) => asked(&error),
        OciDistributionError::DigestError(error) => digest(&error),
        OciDistributionError::IoError(error) => {
            let inner = error.get_ref();
            if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<DigestError>()) {
                digest(error)
            } else if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<reqwest::Error>()) {
                asked(error)
            } else {
                Failure::new(Kind::Unreachable, "what the registry sends broke off").because(error).hint("try again")
            }
        }
        other => Failure::other("the registry answers what is not understood").because(other),
    }
}

/// The client does not tell where it was led before it came to nothing.
fn asked(error: &reqwest::Error) -> Failure {
    let failure = request(error);
    match failure.kind {
        Kind::Unreachable if error.is_connect() => failure.hint(
            "is the address right, and does the registry run? where it leads to plain http, that is not followed",
        ),
        _ => failure,
    }
}

fn digest(error: &DigestError) -> Failure {
    Failure::denied("the registry sends other bytes than it says").because(error)
}

fn origin(url: &str) -> String {
    reqwest::Url::parse(url).map_or_else(|_| "the registry".to_owned(), |url| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn manifest(layers: &Value) -> Vec<u8> {
        let config = json!({ "mediaType": "application/vnd.wasm.config.v0+json", "digest": "sha256:00", "size": 2 });
        serde_json::to_vec(&json!({ "schemaVersion": 2, "config": config, "layers": layers })).unwrap()
    }

    fn one(kind: &str, digest: &str, size: i64) -> Value {
        json!({ "mediaType": kind, "digest": digest, "size": size })
    }

    #[test]
    fn an_artefact_is_a_plugin_by_its_one_layer() {
        let digest = Digest::of(b"abc").to_string();
        let wasm = one("application/wasm", &digest, 3);
        assert_eq!(layer(&manifest(&json!([wasm]))).unwrap(), (digest.clone(), Digest::of(b"abc")));
        let index =
            json!({ "schemaVersion": 2, "manifests": [one("application/vnd.oci.image.manifest.v1+json", &digest, 3)] });
        for (text, why) in [
            (manifest(&json!([])), "has no layers"),
            (manifest(&json!([wasm, wasm])), "has 2 layers"),
            (manifest(&json!([one("application/vnd.oci.image.layer.v1.tar+gzip", &digest, 3)])), "tar+gzip"),
            (manifest(&json!([one("application/wasm", "sha256:ab", 3)])), "digest"),
            (manifest(&json!([one("application/wasm", &digest, 65 << 20)])), "larger than a plugin"),
            (manifest(&json!([one("application/wasm", &digest, -1)])), "larger than a plugin"),
            (serde_json::to_vec(&index).unwrap(), "index of several"),
            (b"[".to_vec(), "cannot be read"),
        ] {
            let failure = layer(&text).unwrap_err();
            assert!(failure.kind == Kind::Usage && failure.message.contains(why), "{failure}");
        }
    }
}
