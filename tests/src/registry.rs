//! A real registry of OCI artefacts, Debian's `docker-registry`, in a host's network namespace.
//!
//! ```text
//!   Registry::open     on loopback, without TLS, for everybody
//!   Registry::closed   with TLS and a password
//!      └▸ push         by the client that fief fetches with
//! ```

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tempfile::TempDir;

use crate::{Namespace, eventually};

/// What a machine under load takes to start one.
const STARTED: Duration = Duration::from_secs(30);
/// Who may use a closed one; the second line is of the first (bcrypt, as htpasswd -B makes it).
pub const LOGIN: (&str, &str) = ("alice", "wonder");
const HTPASSWD: &str = "alice:$2b$05$MIZT1tmS4JuU7I0fbGk8nuKhvXSkbObBxivz6wmmCkGpoyITe1XwC\n";
/// What an artefact of WebAssembly has as its configuration (CNCF, Wasm OCI Artifact layout).
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub const WASM: &str = "application/wasm";

/// Ended when dropped.
pub struct Registry {
    folder: TempDir,
    /// `HOST:PORT`.
    address: String,
    authority: Option<Authority>,
    server: Child,
}

impl Registry {
    /// # Panics
    /// Where docker-registry is not installed: `cargo xtask setup test` installs it.
    #[track_caller]
    pub fn open(namespace: &Namespace, port: u16) -> Registry {
        Registry::start(namespace, port, None)
    }

    /// With a certificate of this authority; it wants to know [`LOGIN`].
    #[track_caller]
    pub fn closed(namespace: &Namespace, port: u16, authority: Authority) -> Registry {
        Registry::start(namespace, port, Some(authority))
    }

    #[track_caller]
    fn start(namespace: &Namespace, port: u16, authority: Option<Authority>) -> Registry {
        let folder = tempfile::Builder::new().prefix("fief-registry-").tempdir().expect("a folder for a registry");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let address = format!("127.0.0.1:{port}");
        let mut text = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: {address}\n",
            at("store")
        );
        if let Some(authority) = &authority {
            let [certificate, key] = [authority.certificate(), authority.key()];
            let files = format!("certificate: {}, key: {}", certificate.display(), key.display());
            text.push_str(&format!("  tls: {{{files}}}\n"));
            text.push_str(&format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", at("htpasswd")));
            std::fs::write(at("htpasswd"), HTPASSWD).expect("who may use a registry");
        }
        std::fs::write(at("config.yml"), text).expect("a registry's configuration");
        let log = std::fs::File::create(at("log")).expect("a registry's log");
        let server = namespace
            .command("docker-registry")
            .args(["serve", &at("config.yml")])
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second descriptor"))
            .stderr(log)
            .spawn()
            .expect("docker-registry; `cargo xtask setup test` installs it");
        let mut registry = Registry { folder, address, authority, server };
        let address = registry.address.clone();
        listens(namespace, &address, || {
            let over = registry.server.try_wait().is_ok_and(|status| status.is_some());
            assert!(!over, "the registry ended: {}", registry.log());
        });
        registry
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// What trusts a closed one.
    pub fn ca(&self) -> std::path::PathBuf {
        self.authority.as_ref().map(Authority::file).unwrap_or_default()
    }

    /// What the server said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Puts an artefact under `name:tag`, of these layers: each with its type and its bytes. Gives the digest of its manifest.
    ///
    /// # Panics
    /// Where the registry refuses.
    #[track_caller]
    pub fn push(&self, namespace: &Namespace, name: &str, layers: &[(&str, &[u8])]) -> String {
        let reference: Reference = format!("{}/{name}", self.address).parse().expect("a name in a registry");
        let layers: Vec<ImageLayer> =
            layers.iter().map(|(kind, bytes)| ImageLayer::new(bytes.to_vec(), (*kind).to_owned(), None)).collect();
        let (protocol, login, ca) = match &self.authority {
            None => (ClientProtocol::Http, RegistryAuth::Anonymous, Vec::new()),
            Some(authority) => {
                let data = std::fs::read(authority.file()).expect("an authority's certificate");
                let ca = vec![Certificate { encoding: CertificateEncoding::Pem, data }];
                let (user, password) = LOGIN;
                (ClientProtocol::Https, RegistryAuth::Basic(user.to_owned(), password.to_owned()), ca)
            }
        };
        let pushed = std::thread::scope(|scope| {
            let push = scope.spawn(|| {
                namespace.enter();
                let _ = rustls::crypto::ring::default_provider().install_default();
                let config = ClientConfig { protocol, extra_root_certificates: ca, ..ClientConfig::default() };
                let client = Client::try_from(config).expect("a client of registries");
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let of = Config::new(b"{}".to_vec(), CONFIG.to_owned(), None);
                runtime.block_on(client.push(&reference, &layers, of, &login, None))
            });
            push.join().expect("a thread that pushes")
        });
        let pushed = pushed.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        let digest = pushed.manifest_url.rsplit('/').next().unwrap_or_default().to_owned();
        assert!(digest.starts_with("sha256:"), "{}", pushed.manifest_url);
        digest
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Waits until something takes connections there; `look` panics where nothing will.
#[track_caller]
pub(crate) fn listens(namespace: &Namespace, address: &str, mut look: impl FnMut()) {
    let connects = || {
        std::thread::scope(|scope| {
            let tried = scope.spawn(|| {
                namespace.enter();
                std::net::TcpStream::connect(address).is_ok()
            });
            tried.join().unwrap_or_default()
        })
    };
    eventually(&format!("something listens on {address}"), STARTED, || {
        look();
        connects().then_some(())
    });
}

/// A certificate authority, and the certificate of a server on 127.0.0.1 that it made; in files.
pub struct Authority {
    folder: TempDir,
}

impl Authority {
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Authority {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let folder = tempfile::Builder::new().prefix("fief-authority-").tempdir().expect("a folder for certificates");
        let made = || -> Result<(String, String, String), rcgen::Error> {
            let (root_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
            let mut root = CertificateParams::new(Vec::new())?;
            root.distinguished_name.push(rcgen::DnType::CommonName, "an authority of a test");
            root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let root_text = root.self_signed(&root_key)?.pem();
            let issuer = Issuer::new(root, root_key);
            let server = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
            Ok((root_text, server.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
        };
        let (root, certificate, key) = made().expect("certificates");
        for (name, text) in [("ca.pem", root), ("server.pem", certificate), ("server.key", key)] {
            std::fs::write(folder.path().join(name), text).expect("a folder for certificates");
        }
        Authority { folder }
    }

    /// What trusts it.
    pub fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn certificate(&self) -> std::path::PathBuf {
        self.folder.path().join("server.pem")
    }

    pub fn key(&self) -> std::path::PathBuf {
        self.folder.path().join("server.key")
    }
}

/// A server of files by https, Python's own, that also does what a bad one does (`web.py`). Ended when dropped.
pub struct Web {
    address: String,
    server: Child,
}

impl Web {
    /// Serves the files of a folder.
    ///
    /// # Panics
    /// Where python3 is not installed: `cargo xtask setup test` installs it.
    #[track_caller]
    pub fn start(namespace: &Namespace, port: u16, authority: &Authority, folder: &Path) -> Web {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web.py");
        let server = namespace
            .command("/usr/bin/python3")
            .args([program, &port.to_string()])
            .args([authority.certificate(), authority.key(), folder.to_owned()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3; `cargo xtask setup test` installs it");
        let mut web = Web { address: format!("127.0.0.1:{port}"), server };
        let address = web.address.clone();
        listens(namespace, &address, || {
            assert!(web.server.try_wait().is_ok_and(|status| status.is_none()), "the web server ended");
        });
        web
    }

    /// `https://HOST:PORT/PATH`.
    pub fn at(&self, path: &str) -> String {
        format!("https://{}/{path}", self.address)
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
