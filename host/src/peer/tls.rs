//! TLS between hosts: version 1.3 alone, a certificate on both sides, and trust in exactly one certificate for each host.
//! No authorities, names, dates or resumed sessions: who is removed is refused at the next connection.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme, version,
};

use super::Identity;
use crate::error::{Failure, Kind, Result};
use crate::types::Digest;

/// What a connection is for, as its first TLS message says (RFC 7301).
pub(super) const PEER: &[u8] = b"fief-peer";
pub(super) const PAIR: &[u8] = b"fief-pair";

/// The session's own bytes, from RFC 8446, section 7.5.
const BINDING: &[u8] = b"EXPORTER-fief-pairing";

/// Whose certificates are good.
pub(super) enum Whose {
    Exactly(Digest),
    /// As the function says, asked in each handshake.
    Known(Box<dyn Fn(Digest) -> bool + Send + Sync>),
    /// Anyone's who has its key. For a pairing, which checks by other means.
    Anyone,
}

impl fmt::Debug for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whose::Exactly(fingerprint) => write!(f, "Exactly({fingerprint})"),
            Whose::Known(_) => f.write_str("Known"),
            Whose::Anyone => f.write_str("Anyone"),
        }
    }
}

#[derive(Debug)]
struct Pins {
    whose: Whose,
    provider: Arc<CryptoProvider>,
}

impl Pins {
    fn new(whose: Whose) -> Arc<Pins> {
        Arc::new(Pins { whose, provider: provider() })
    }

    fn check(&self, certificate: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), Error> {
        let good = rest.is_empty()
            && match &self.whose {
                Whose::Exactly(fingerprint) => Digest::of(certificate) == *fingerprint,
                Whose::Known(known) => known(Digest::of(certificate)),
                Whose::Anyone => true,
            };
        if good { Ok(()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn no_older() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.3 alone is spoken here".into()))
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(certificate, rest).map(|()| ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_older()
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Pins {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(certificate, rest).map(|()| ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_older()
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

/// `ring`'s, with the quickest cipher first: 128 bits are as good here, and memory goes through it.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let made = PROVIDER.get_or_init(|| {
        let mut provider = ring::default_provider();
        provider.cipher_suites = vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ];
        Arc::new(provider)
    });
    made.clone()
}

fn failed(error: Error) -> Failure {
    Failure::other("TLS cannot be set up").because(error)
}

/// For whoever connects.
pub(super) fn client(identity: &Identity, whose: Whose, protocol: &[u8]) -> Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13]);
    let mut config = builder
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Pins::new(whose))
        .with_client_auth_cert(identity.chain(), identity.key())
        .map_err(failed)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// For whoever listens.
pub(super) fn server(identity: &Identity, whose: Whose, protocol: &[u8]) -> Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13]);
    let mut config = builder
        .map_err(failed)?
        .with_client_cert_verifier(Pins::new(whose))
        .with_single_cert(identity.chain(), identity.key())
        .map_err(failed)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// No name is asked for: a host is its certificate.
pub(super) fn nobody() -> ServerName<'static> {
    ServerName::IpAddress(std::net::IpAddr::from([0, 0, 0, 0]).into())
}

/// What both sides of one session know and nobody else does, with both certificates in it.
pub(super) fn binding<Side>(
    session: &rustls::ConnectionCommon<Side>,
    server: Digest,
    client: Digest,
) -> Result<super::proof::Bytes> {
    let context = format!("{server} {client}");
    session.export_keying_material([0; 32], BINDING, Some(context.as_bytes())).map_err(failed)
}

/// The certificate of the other side; none before the handshake is over.
pub(super) fn fingerprint(session: &rustls::CommonState) -> Option<Digest> {
    session.peer_certificates()?.first().map(|certificate| Digest::of(certificate))
}

/// Whether a handshake failed because the other side's certificate is nobody's.
pub(super) fn is_unknown(error: &std::io::Error) -> bool {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(error, Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)))
}

/// Why a connection to `whom` failed, where it is TLS that says so.
pub(super) fn refusal(error: &std::io::Error, whom: &str) -> Option<Failure> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::AlertReceived(AlertDescription::AccessDenied) => Failure::denied(format!("{whom} does not know this host"))
            .hint("it was removed there, or one of the two was set up anew: pair them again (fief peer invite, fief peer add)"),
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            Failure::denied(format!("{whom} takes no such connection now"))
                .hint("a token is good while its invitation is open: fief peer invite")
        }
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            Failure::denied(format!("{whom} is another host: its certificate is not the one that was expected"))
                .hint("check the address; if the host was set up anew, remove the peer and pair them again")
        }
        other => Failure::new(Kind::Unreachable, format!("{whom} does not speak as a host of fief does")).because(other.clone()),
    })
}
