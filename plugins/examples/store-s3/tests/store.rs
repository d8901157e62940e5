//! The plugin against a fake of a store, natively: what a real one does seldom. The real one is in `tests/tests/storage/objects.rs`.
#![allow(clippy::unwrap_used)]

mod fake;

use std::rc::Rc;

use fake::{FakeStore, Trouble};
use fief_sdk::block::{BlockDevice, Event, Holder};
use fief_sdk::settings::{Setting, Settings as _};
use fief_sdk::storage::{Access, Format, Pool, Preallocation, StorageBackend, VolumeSpec};
use fief_sdk::{ErrorCode, Result, native, timer};
use futures_util::future::{Either, join_all, select};
use store_s3::{Device, Settings, Store};

const SIZE: u64 = 1 << 20;
const CHUNK: u64 = 64 << 10;

fn pool(store: &FakeStore) -> Pool<Settings> {
    native::grant("server", &store.address());
    native::grant_secret("s3", b"secret");
    let set = |key: &str, value: &str| Setting { key: key.into(), value: value.into() };
    let settings = [("server", "store"), ("bucket", "vms"), ("key-id", "me"), ("secret", "s3"), ("chunk", "64KiB")];
    let settings: Vec<Setting> = settings.into_iter().map(|(key, value)| set(key, value)).collect();
    Pool { name: "objects".into(), settings: Settings::read(&settings).unwrap() }
}

fn spec(name: &str, size: u64) -> VolumeSpec {
    VolumeSpec { name: name.into(), size, format: Format::Raw, preallocation: Preallocation::Sparse }
}

async fn open(pool: &Pool<Settings>) -> Device {
    let holder = Holder { host: "h".into(), name: "n".into(), domain: "d".into(), generation: 1 };
    Device::open(pool, "disk", Access::Exclusive, Some(&holder)).await.unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.unwrap_err().code
}

async fn event(device: &Device, seconds: u32) -> Option<Event> {
    match select(Box::pin(device.next_event()), Box::pin(timer::wait(seconds * 1000))).await {
        Either::Left((event, _)) => Some(event),
        Either::Right(_) => None,
    }
}

#[test]
fn verbs_twice_come_to_the_same_end_and_a_deletion_that_was_cut_off_goes_on() {
    let store = FakeStore::start();
    let pool = pool(&store);
    for _ in 0..2 {
        assert_eq!(Store::create(&pool, &spec("disk", SIZE)).unwrap().size, SIZE);
        assert_eq!(Store::resize(&pool, "disk", SIZE).unwrap().size, SIZE);
    }
    assert_eq!(code(Store::create(&pool, &spec("disk", SIZE + 512))), ErrorCode::AlreadyExists);
    assert_eq!(code(Store::resize(&pool, "disk", 512)), ErrorCode::Invalid);
    Store::create(&pool, &spec("other", 512)).unwrap();
    let all = Store::all(&pool).unwrap();
    assert_eq!(all.iter().map(|volume| volume.name.as_str()).collect::<Vec<_>>(), ["disk", "other"]);
    native::block_on(async {
        let device = open(&pool).await;
        device.write(0, vec![1; SIZE as usize], false).await.unwrap();
        device.close().await.unwrap();
    });
    assert_eq!(store.objects(), 2 + 16);
    store.is_in(Trouble::Refuses { method: "DELETE", after: 5 });
    assert_eq!(code(Store::delete(&pool, "disk")), ErrorCode::Denied);
    store.is_well();
    assert_eq!(code(Store::attach(&pool, "disk", Access::ReadOnly)), ErrorCode::WrongState);
    Store::find(&pool, "disk").unwrap();
    for _ in 0..2 {
        Store::delete(&pool, "disk").unwrap();
    }
    assert_eq!((store.objects(), code(Store::find(&pool, "disk"))), (1, ErrorCode::NotFound));
}

#[test]
fn many_writes_of_a_chunk_go_together_and_none_is_lost() {
    let store = FakeStore::start();
    let pool = pool(&store);
    Store::create(&pool, &spec("disk", SIZE)).unwrap();
    native::block_on(async {
        let device = open(&pool).await;
        let before = store.count("PUT");
        let writes = join_all((0..128).map(|at| device.write(at * 512, vec![at as u8 + 1; 512], at % 8 == 0))).await;
        assert!(writes.into_iter().all(|written| written.is_ok()));
        assert!(store.count("PUT") - before <= 3, "{} writes of one object", store.count("PUT") - before);
        // Over the border of two, and what was never written.
        device.write(CHUNK - 512, vec![9; 1024], false).await.unwrap();
        let read = device.read(CHUNK - 1024, 2048).await.unwrap();
        assert_eq!(read, [vec![127; 512], vec![9; 1024], vec![0; 512]].concat());
        device.write_zeroes(512, CHUNK, false, true).await.unwrap();
        assert_eq!(device.read(0, 1024).await.unwrap(), [vec![1; 512], vec![0; 512]].concat());
        device.discard(0, CHUNK).await.unwrap();
        assert!(device.read(0, 512).await.unwrap().iter().all(|byte| *byte == 0));
        device.close().await.unwrap();
    });
    assert_eq!(store.objects(), 2, "the volume's, and its second chunk");
}

/// An answer that is lost leaves open whether the object was written; the same request again must not be taken for a rival's.
#[test]
fn a_write_whose_answer_is_lost_is_sent_again_and_is_no_rivals() {
    let store = FakeStore::start();
    let pool = pool(&store);
    Store::create(&pool, &spec("disk", SIZE)).unwrap();
    native::block_on(async {
        let device = Rc::new(open(&pool).await);
        for trouble in [
            Trouble::LosesAnswers { times: 2 },
            Trouble::Says { status: 503, times: 2 },
            Trouble::Says { status: 409, times: 2 },
            Trouble::IsSilentFor { times: 1 },
        ] {
            for (number, at) in [0, CHUNK, 0].into_iter().enumerate() {
                store.is_in(trouble);
                let byte = number as u8 + 1;
                device.write(at, vec![byte; 4096], true).await.unwrap();
                assert_eq!(device.read(at, 4096).await.unwrap(), [byte; 4096]);
            }
        }
        store.is_well();
        device.close().await.unwrap();
        let again = open(&pool).await;
        assert_eq!(again.read(0, 4096).await.unwrap(), [3; 4096]);
        assert_eq!(again.read(CHUNK, 4096).await.unwrap(), [2; 4096]);
        // One that was not there before, either.
        store.is_in(Trouble::LosesAnswers { times: 1 });
        again.write(5 * CHUNK, vec![7; 512], true).await.unwrap();
        store.is_well();
        again.close().await.unwrap();
    });
}

#[test]
fn what_another_host_wrote_stays() {
    let store = FakeStore::start();
    let pool = pool(&store);
    Store::create(&pool, &spec("disk", SIZE)).unwrap();
    native::block_on(async {
        let (one, other) = (open(&pool).await, open(&pool).await);
        one.write(0, vec![1; 512], true).await.unwrap();
        other.write(0, vec![2; 512], true).await.unwrap();
        assert_eq!(code(one.write(512, vec![1; 512], true).await), ErrorCode::InUse("another host".into()));
        assert!(matches!(event(&one, 5).await, Some(Event::Fenced(_))));
        assert!(one.write(2 * CHUNK, vec![1; 512], true).await.is_err(), "it writes nowhere any more");
        assert_eq!(other.read(0, 1024).await.unwrap(), [vec![2; 512], vec![0; 512]].concat());
        other.write(512, vec![2; 512], true).await.unwrap();
    });
}

#[test]
fn a_bucket_that_is_gone_is_no_volume_of_zeroes() {
    let store = FakeStore::start();
    let pool = pool(&store);
    Store::create(&pool, &spec("disk", SIZE)).unwrap();
    native::block_on(async {
        let device = open(&pool).await;
        assert!(device.read(0, 512).await.unwrap().iter().all(|byte| *byte == 0));
        store.is_in(Trouble::HasNoBucket);
        assert_eq!(code(device.read(0, 512).await), ErrorCode::NotFound);
        assert_eq!(code(device.write(0, vec![1; 512], true).await), ErrorCode::NotFound);
    });
    assert_eq!(code(Store::info(&pool)), ErrorCode::NotFound);
}
