//! For tests alone: volumes that are copied to a peer with no domain that moves. No build that people use has it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Coming, Departs, Part, arrival, arrive, depart};
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::Gate;
use crate::gate::operation::ImageFormat;
use crate::migration::copying::{Pace, Progress};
use crate::peer::{self, Caller, Service, Session, Stream};
use crate::storage::Pool;
use crate::types::{ByteSize, DomainName, PeerName, VolumeRef};

/// Its name among a host's services.
pub const SERVICE: &str = "copying-trial";
/// How often a copy that was cut off is taken up again.
const ATTEMPTS: u32 = 20;
const WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Purpose {
    target: VolumeRef,
    size: u64,
    format: ImageFormat,
    onto: bool,
    domain: DomainName,
    uuid: Uuid,
}

/// What becomes of a volume that came.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Order {
    Take(VolumeRef),
    GiveUp(VolumeRef),
}

/// The target's side.
#[derive(Debug)]
pub struct Desk(Gate);

impl Desk {
    pub fn new(gate: &Gate) -> Desk {
        Desk(gate.clone())
    }
}

fn read<T: for<'de> Deserialize<'de>>(body: &Value) -> Result<T> {
    serde_json::from_value(body.clone()).context(|| "an order that is none".to_owned())
}

impl Service for Desk {
    fn answer(&self, _: &Caller, body: Value) -> Result<Value> {
        match read(&body)? {
            Order::Take(volume) => arrival::taken(&self.0, &volume)?,
            Order::GiveUp(volume) => arrival::given_up(&self.0, &volume)?,
        }
        Ok(Value::Null)
    }

    fn admits(&self, _: &Caller, purpose: &Value) -> Result<()> {
        read::<Purpose>(purpose).map(drop)
    }

    fn stream(&self, _: Caller, purpose: Value, stream: Stream) -> peer::Streaming {
        let gate = self.0.clone();
        Box::pin(async move {
            let Purpose { target, size, format, onto, domain, uuid } = read(&purpose)?;
            let size = ByteSize::from_bytes(size);
            let coming = Coming { target, size, format, onto, domain, uuid, snapshots: Vec::new() };
            arrive(&gate, coming, Part::Disk, stream, &Progress::default()).await.map(drop)
        })
    }
}

/// The source's side: `FROM PEER TARGET [bandwidth=BYTES] [domain=NAME] [uuid=UUID] [once] [onto]`, or `take PEER TARGET`, or
/// `give-up PEER TARGET`. Says how many bytes went over.
pub fn run(gate: &Gate, words: &[String]) -> Result<String> {
    let wrong = || Failure::usage("FROM PEER TARGET …");
    let [what, peer, target, more @ ..] = words else { return Err(wrong()) };
    let peer: PeerName = peer.parse().map_err(|_| wrong())?;
    let target: VolumeRef = target.parse().map_err(|_| wrong())?;
    let value = |key: &str| more.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let order = match what.as_str() {
        "take" => Some(Order::Take(target.clone())),
        "give-up" => Some(Order::GiveUp(target.clone())),
        _ => None,
    };
    if let Some(order) = order {
        return peer::run(async {
            let session = Session::connect(gate, &peer, WITHIN).await?;
            session.request::<Value>(SERVICE, &order, WITHIN).await.map(|_| "done".to_owned())
        });
    }
    let from: VolumeRef = what.parse().map_err(|_| wrong())?;
    let facts = Pool::open(gate, &from.pool)?.volume(&from.volume)?;
    let purpose = Purpose {
        target,
        size: facts.size,
        format: facts.format,
        onto: more.iter().any(|word| word == "onto"),
        domain: value("domain").unwrap_or("copied").parse().map_err(|_| wrong())?,
        uuid: value("uuid").map_or(Ok(Uuid::nil()), str::parse).map_err(|_| wrong())?,
    };
    let pace = Arc::new(Pace::of(value("bandwidth").and_then(|bytes| bytes.parse().ok())));
    let progress = Arc::new(Progress::default());
    let attempts = if more.iter().any(|word| word == "once") { 1 } else { ATTEMPTS };
    peer::run(async {
        let mut attempt = 1;
        loop {
            let sent = async {
                let session = Session::connect(gate, &peer, WITHIN).await?;
                let stream = session.open_stream(SERVICE, &purpose, WITHIN).await?;
                depart(gate, &from, Departs::Disk, stream, &pace, &progress, std::future::pending()).await
            };
            match sent.await {
                Ok(last) => return Ok(format!("{last} {}", progress.sent())),
                Err(failure) if attempt < attempts && matches!(failure.kind, Kind::Unreachable | Kind::TimedOut) => {
                    tracing::info!(%failure, attempt, "the copy was cut off");
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    })
}
