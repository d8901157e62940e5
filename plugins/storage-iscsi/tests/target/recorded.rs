//! Exchanges that a real target took part in, kept in `tests/recorded` and held against the code of today: what the
//! target said gives the same answers, and what we say is, byte for byte, what that target understood.
//!
//! `FIEF_RECORD=1` makes them anew; a change of what is sent shows as a change of these files.
//!
//! ```text
//!   file: { who: 0 connect, 1 we, 2 the target │ length, u32 little-endian │ bytes }
//! ```

use std::cell::RefCell;
use std::path::PathBuf;

use fief_sdk::native::grant_secret;
use fief_sdk::{Error, Result};
use storage_iscsi::control::offered;
use storage_iscsi::exchange::{Carrier, Exchange, discover};
use storage_iscsi::fence::Key;
use storage_iscsi::fence::acts::{release, stand};
use storage_iscsi::scsi::{command, lun};
use storage_iscsi::settings::IscsiPool;
use storage_iscsi::stream::{Plain, Stream, now};
use storage_iscsi::unit;

use crate::bed::{Bed, MIB, holder, pattern, pool};

const CONNECT: u8 = 0;
const WE: u8 = 1;
const TARGET: u8 = 2;
/// On the tape alone: the connection is cut here.
const CUT: u8 = 3;
const ISID: [u8; 6] = [0x80, 1, 2, 3, 4, 5];

type Frame = (u8, Vec<u8>);

thread_local! {
    static TAPE: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// A real stream, of which all is put on the tape.
struct Recording(Plain);

impl Stream for Recording {
    async fn connect() -> Result<Self> {
        TAPE.with_borrow_mut(|tape| tape.push((CONNECT, Vec::new())));
        Plain::connect().await.map(Recording)
    }
    async fn receive(&self, least: u32, most: u32) -> Result<Vec<u8>> {
        let bytes = self.0.receive(least, most).await?;
        TAPE.with_borrow_mut(|tape| tape.push((TARGET, bytes.clone())));
        Ok(bytes)
    }
    async fn send(&self, data: Vec<u8>) -> Result<()> {
        TAPE.with_borrow_mut(|tape| tape.push((WE, data.clone())));
        self.0.send(data).await
    }
    async fn pause(milliseconds: u32) {
        Plain::pause(milliseconds).await;
    }
}

/// The target of the tape.
struct Replay;

fn next(who: u8) -> Result<Vec<u8>> {
    let frame = TAPE.with_borrow_mut(|tape| if tape.is_empty() { None } else { Some(tape.remove(0)) });
    match frame {
        Some((there, bytes)) if there == who => Ok(bytes),
        Some((CUT, _)) => Err(Error::unreachable("it was cut")),
        Some((there, _)) => Err(Error::other("tape", format!("{there} is next, not {who}"))),
        None => Err(Error::other("tape", "it has ended")),
    }
}

impl Stream for Replay {
    async fn connect() -> Result<Self> {
        next(CONNECT).map(|_| Replay)
    }
    async fn receive(&self, _least: u32, _most: u32) -> Result<Vec<u8>> {
        next(TARGET)
    }
    async fn send(&self, data: Vec<u8>) -> Result<()> {
        let said = next(WE)?;
        match said == data {
            true => Ok(()),
            false => {
                Err(Error::other("tape", format!("another thing is said now:\n{data:02x?}\nthan was:\n{said:02x?}")))
            }
        }
    }
    async fn pause(_: u32) {}
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(name)
}

fn save(name: &str) {
    let mut bytes = Vec::new();
    for (who, said) in TAPE.take() {
        bytes.push(who);
        bytes.extend((said.len() as u32).to_le_bytes());
        bytes.extend(said);
    }
    std::fs::write(file(name), bytes).unwrap();
}

fn load(name: &str) {
    let bytes = std::fs::read(file(name)).unwrap();
    let mut rest = bytes.as_slice();
    let mut tape = Vec::new();
    while let Some((&who, behind)) = rest.split_first() {
        let (length, behind) = behind.split_first_chunk().unwrap();
        let (said, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        tape.push((who, said.to_vec()));
        rest = behind;
    }
    TAPE.set(tape);
}

/// The three exchanges; gives what came of each, in words.
async fn unit_exchange<S: Stream>(pool: &IscsiPool) -> Result<String> {
    let lun = lun::encode(1).unwrap();
    let session = Exchange::<S, ()>::open(pool, ISID).await.map_err(|refused| refused.error(pool))?;
    let unit = unit::examine(&session, lun).await?;
    let ours = Key::of(&holder("a", "web", 1));
    let stood = stand(&session, lun, ours, None).await?;
    let write = command::write(lun, 8, 24, pattern(4096, 12288, 1), true);
    session.carry(write, "cannot write").await?;
    let read = session.carry(command::read(lun, 8, 24, 12288), "cannot read").await?;
    session.carry(command::unmap(lun, 8, 8), "cannot discard").await?;
    session.carry(command::synchronize(lun), "cannot flush").await?;
    let past = session.carry(command::read(lun, 1 << 40, 1, 512), "cannot read").await.unwrap_err();
    release(&session, lun, ours).await?;
    session.close().await;
    let same = read == pattern(4096, 12288, 1);
    Ok(format!("{}; {stood:?}; {same}; {}", unit.describe(), past.message))
}

async fn discovery_exchange<S: Stream>(pool: &IscsiPool) -> Result<String> {
    let mut offered = discover::<S>(pool, ISID).await?;
    offered.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(format!("{offered:?}"))
}

async fn refused_exchange<S: Stream>(pool: &IscsiPool) -> Result<String> {
    match Exchange::<S, ()>::open(pool, ISID).await {
        Ok(_) => Ok("let in".to_owned()),
        Err(refused) => Ok(refused.error(pool).message),
    }
}

fn pools() -> [IscsiPool; 2] {
    grant_secret("ours", b"secret123456");
    grant_secret("wrong", b"wrong1234567");
    [("ours", "crc32c"), ("wrong", "none")].map(|(secret, digest)| {
        pool(&[("user", "alice"), ("password", secret), ("header-digest", digest), ("data-digest", digest)])
    })
}

const UNIT: &str = "IET VIRTUAL-DISK naa.3000000100000001 naa.60000000000000000e00000000010001 \
     t10.IET%20%20%20%20%2000010001, 1048576 bytes in blocks of 512; Some(Stood { changes: 1, taken: true }); true; \
     cannot read: illegal request, 21/00";
const OFFERED: &str = "[Offered { name: \"iqn.2026-01.test:disks\", addresses: [\"127.0.0.1:3260,1\"] }, \
     Offered { name: \"iqn.2026-01.test:more\", addresses: [\"127.0.0.1:3260,1\"] }]";
const REFUSED: &str =
    "cannot log in to target iqn.2026-01.test:disks: the target does not take the user and the password";

#[test]
fn a_real_target_says_what_is_expected_of_it() {
    let mut bed = Bed::with_disk(MIB);
    let more = bed.tgt.target("iqn.2026-01.test:more");
    bed.tgt.disk(more, 1, MIB);
    bed.tgt.chap(bed.target, "alice", "secret123456");
    let [right, wrong] = pools();
    let record = std::env::var_os("FIEF_RECORD").is_some();
    let keep = |name: &str| if record { save(name) } else { drop(TAPE.take()) };
    assert_eq!(now(unit_exchange::<Recording>(&right)).unwrap(), UNIT);
    keep("unit");
    assert_eq!(now(discovery_exchange::<Recording>(&pool(&[]))).unwrap(), OFFERED);
    keep("discovery");
    assert_eq!(now(refused_exchange::<Recording>(&wrong)).unwrap(), REFUSED);
    keep("refused");
}

#[test]
fn recorded_exchanges_go_as_they_went() {
    let [right, wrong] = pools();
    load("unit");
    assert_eq!(now(unit_exchange::<Replay>(&right)).unwrap(), UNIT);
    load("discovery");
    assert_eq!(now(discovery_exchange::<Replay>(&pool(&[]))).unwrap(), OFFERED);
    load("refused");
    assert_eq!(now(refused_exchange::<Replay>(&wrong)).unwrap(), REFUSED);
}

#[test]
fn a_discovery_that_is_cut_anywhere_is_begun_anew() {
    load("discovery");
    let whole = TAPE.take();
    // What comes after the answer is the goodbye, which nobody waits for in vain.
    let asked = whole.iter().rposition(|(who, _)| *who == TARGET).unwrap() - 1;
    for at in 0..asked {
        let cut: Vec<Frame> = whole[..at].iter().cloned().chain([(CUT, Vec::new())]).collect();
        TAPE.set(cut.iter().chain(&cut).chain(&whole).cloned().collect());
        let mut names = now(offered::<Replay>(&pool(&[]), ISID)).unwrap();
        names.sort();
        assert_eq!(names, ["iqn.2026-01.test:disks", "iqn.2026-01.test:more"], "cut at {at}");
        TAPE.set(cut.iter().cycle().take(3 * cut.len()).cloned().collect());
        assert!(now(offered::<Replay>(&pool(&[]), ISID)).is_err(), "three times is enough");
    }
}
