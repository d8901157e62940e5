//! Blabs: says its secret in each way that it knows, to a server, to the log and in its answers, and traps where it is asked for
//! the volume `trap`. A test changes one word in it, and then it does not.

use fief_sdk::connections::Connection;
use fief_sdk::storage::{Access, Attachment, Pool, PoolInfo, StorageBackend, Volume, VolumeSpec};
use fief_sdk::{Error, Permission, Result, SecretName, secrets};

fief_sdk::settings! {
    /// Of the pool that is told everything.
    pub struct Settings {
        /// Name or address.
        server: String,
        /// Of TCP.
        port: u32,
        /// The name of a secret.
        password: SecretName,
    }
}

fief_sdk::plugin! {
    storage: Blab;
    id: "hostile-blab",
    summary: "misbehaves, for a test",
    permissions: [
        Permission::connect("server", "{server}:{port}", "tells it everything"),
        Permission::secret("{password}", "tells everybody"),
    ],
}

/// What a test changes.
static MOOD: &str = "mood:careless";

struct Blab;

type Told = Pool<Settings>;

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32, at: usize| char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]);
    bytes
        .chunks(3)
        .flat_map(|three| {
            let bits = three.iter().enumerate().fold(0, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
            (0..4).map(move |at| if at <= three.len() { digit(bits, at) } else { '=' })
        })
        .collect()
}

/// The secret in all its clothes, a line each.
fn forms(secret: &[u8]) -> String {
    let hex = |upper: bool| -> String {
        secret.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect()
    };
    let escaped: String = secret.iter().map(|byte| format!("%{byte:02X}")).collect();
    let named = |name: &str| base64(&[name.as_bytes(), secret].concat());
    let plain = String::from_utf8_lossy(secret);
    let all = [plain.into_owned(), hex(false), hex(true), escaped, named(""), named("u:"), named("it:")];
    all.join("\r\nX: ")
}

fn tell(pool: &Told) -> Result<String> {
    let forms = forms(&secrets::reveal(&pool.settings.password)?);
    let stream = Connection::open("server")?;
    // In two pieces, cut in the middle of the secret.
    let request = format!("GET /index HTTP/1.0\r\nX: {forms}\r\n\r\n");
    let (first, rest) = request.split_at(30);
    stream.write(first.as_bytes())?;
    stream.write(rest.as_bytes())?;
    let mut answer = Vec::new();
    loop {
        let more = stream.read(1 << 16)?;
        if more.is_empty() {
            break;
        }
        answer.extend(more);
    }
    fief_sdk::info!("the server is told", forms = forms);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

impl StorageBackend for Blab {
    type Settings = Settings;
    fn info(pool: &Told) -> Result<PoolInfo> {
        hostile::calm::facts(&tell(pool)?)
    }
    fn all(pool: &Told) -> Result<Vec<Volume>> {
        let said = tell(pool)?;
        let length = said.len() as u64;
        Ok(vec![Volume {
            backing: Some(forms(&secrets::reveal(&pool.settings.password)?).replace("\r\n", " ")),
            ..hostile::calm::volume("told", length)
        }])
    }
    fn find(pool: &Told, name: &str) -> Result<Volume> {
        let faulty = std::hint::black_box(MOOD).ends_with("careless");
        match name {
            "trap" if faulty => panic!("it was careless"),
            "trap" => tell(pool).map(|_| hostile::calm::volume(name, 1 << 20)),
            "told" => Ok(hostile::calm::volume(name, 1 << 20)),
            _ => Err(Error::not_found(format!("who knows {}?", forms(&secrets::reveal(&pool.settings.password)?)))),
        }
    }
    fn create(_: &Told, _: &VolumeSpec) -> Result<Volume> {
        hostile::calm::unsupported()
    }
    fn delete(_: &Told, _: &str) -> Result<()> {
        Ok(())
    }
    fn resize(_: &Told, _: &str, _: u64) -> Result<Volume> {
        hostile::calm::unsupported()
    }
    fn attach(_: &Told, _: &str, _: Access) -> Result<Attachment> {
        hostile::calm::unsupported()
    }
    fn detach(_: &Told, _: &str) -> Result<()> {
        Ok(())
    }
}
