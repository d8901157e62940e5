//! The plugin against a real server, natively: the same code as in the sandbox.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use catalogue_http::{CLUSTER, Catalogue, DATA, Device, Settings};
use fief_sdk::block::{BlockDevice, Event, Holder};
use fief_sdk::settings::{Setting, Settings as _};
use fief_sdk::storage::{
    Access, Attachment, Clones, Format, Pool, Preallocation, Renames, StorageBackend, Style, VolumeSpec,
};
use fief_sdk::{Error, ErrorCode, Result, native, timer};
use fief_tests::Nginx;
use futures_util::future::{Either, join_all, select};
use tempfile::TempDir;

/// An odd number of clusters, the last of them not whole.
const SIZE: usize = 5 * CLUSTER as usize + 4096;

struct World {
    server: Nginx,
    folder: TempDir,
    pool: Pool<Settings>,
}

fn byte(at: usize) -> u8 {
    (at / 512 * 7 + at % 512) as u8
}

impl World {
    fn new() -> World {
        let server = Nginx::start(None);
        let folder = tempfile::tempdir().unwrap();
        native::grant("server", &format!("127.0.0.1:{}", server.port()));
        native::grant_directory("overlays", folder.path());
        let set = |key: &str, value: &str| Setting { key: key.into(), value: value.into() };
        let settings = Settings::read(&[
            set("server", "127.0.0.1"),
            set("port", &server.port().to_string()),
            set("directory", "overlays"),
        ]);
        let pool = Pool { name: "images".into(), settings: settings.unwrap() };
        let world = World { server, folder, pool };
        world.publish('1', &(0..SIZE).map(byte).collect::<Vec<_>>());
        world
    }

    /// An image `base`; its digest is not looked at, but by whoever compares.
    fn publish(&self, digest: char, bytes: &[u8]) {
        fs::write(self.server.root().join("base.raw"), bytes).unwrap();
        let digest = digest.to_string().repeat(64);
        let size = bytes.len();
        let index = format!(r#"{{"images":[{{"name":"base","file":"base.raw","size":{size},"sha256":"{digest}"}}]}}"#);
        fs::write(self.server.root().join("index.json"), index).unwrap();
    }

    fn clone(&self, name: &str) -> Result<fief_sdk::storage::Volume> {
        Catalogue::clone(&self.pool, "base", None, name, Style::Linked)
    }

    async fn open(&self, volume: &str) -> Result<Device> {
        let holder = Holder { host: "h".into(), name: "n".into(), domain: "d".into(), generation: 1 };
        Device::open(&self.pool, volume, Access::Exclusive, Some(&holder)).await
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.unwrap_err().code
}

/// Where a task leaves what it has.
type Slot<T> = std::rc::Rc<std::cell::Cell<Option<T>>>;

async fn event(device: &Device, seconds: u32) -> Option<Event> {
    match select(Box::pin(device.next_event()), Box::pin(timer::wait(seconds * 1000))).await {
        Either::Left((event, _)) => Some(event),
        Either::Right(_) => None,
    }
}

/// What a volume holds, by the device and by a model that had the same writes.
async fn holds(device: &Device, model: &[u8]) {
    for at in (0..model.len()).step_by(96 << 10) {
        let length = (model.len() - at).min(96 << 10);
        let read = device.read(at as u64, length as u32).await.unwrap();
        assert!(read == model[at..at + length], "the bytes from {at} on are others");
    }
}

#[test]
fn verbs_twice_come_to_the_same_end() {
    let world = World::new();
    let pool = &world.pool;
    Catalogue::info(pool).unwrap();
    let image = Catalogue::find(pool, "base").unwrap();
    assert_eq!((image.size, image.backing), (SIZE as u64, None));
    let spec = |name: &str| VolumeSpec {
        name: name.into(),
        size: 512,
        format: Format::Raw,
        preallocation: Preallocation::Sparse,
    };
    assert!(Catalogue::create(pool, &spec("a")).unwrap_err().message.contains("--linked images/IMAGE images/a"));
    let made = world.clone("a").unwrap();
    assert_eq!((made.size, made.backing.as_deref(), made.allocated), (SIZE as u64, Some("base"), Some(0)));
    assert_eq!(world.names(), ["a.overlay", "base.image"]);
    assert_eq!(code(world.clone("a")), ErrorCode::AlreadyExists);
    assert_eq!(code(world.clone("base")), ErrorCode::AlreadyExists);
    assert_eq!(code(Catalogue::clone(pool, "a", None, "b", Style::Linked)), ErrorCode::Unsupported);
    assert_eq!(code(Catalogue::clone(pool, "base", None, "b", Style::Full)), ErrorCode::Unsupported);
    assert_eq!(code(Catalogue::clone(pool, "none", None, "b", Style::Linked)), ErrorCode::NotFound);
    for _ in 0..2 {
        assert_eq!(Catalogue::resize(pool, "a", 1 << 20).unwrap().size, 1 << 20);
        assert_eq!(Catalogue::rename(pool, "a", "c").unwrap().name, "c");
        Catalogue::rename(pool, "c", "a").unwrap();
    }
    assert_eq!(code(Catalogue::resize(pool, "a", 4096)), ErrorCode::Invalid);
    assert_eq!(code(Catalogue::resize(pool, "base", 1 << 20)), ErrorCode::Unsupported);
    assert_eq!(code(Catalogue::rename(pool, "a", "base")), ErrorCode::AlreadyExists);
    let all = Catalogue::all(pool).unwrap();
    assert_eq!(all.iter().map(|volume| volume.name.as_str()).collect::<Vec<_>>(), ["a", "base"]);
    assert!(matches!(Catalogue::attach(pool, "base", Access::ReadOnly), Ok(Attachment::Served)));
    assert!(matches!(Catalogue::attach(pool, "a", Access::Exclusive), Ok(Attachment::Served)));
    assert_eq!(code(Catalogue::attach(pool, "base", Access::Exclusive)), ErrorCode::Denied);
    assert_eq!(code(Catalogue::attach(pool, "a", Access::Handover)), ErrorCode::Unsupported);
    assert_eq!(code(Catalogue::delete(pool, "base")), ErrorCode::Unsupported);
    for _ in 0..2 {
        Catalogue::delete(pool, "a").unwrap();
    }
    assert_eq!(world.names(), ["base.image"], "what is known of an image stays");
}

#[test]
fn what_is_written_lies_on_top_and_the_image_stays() {
    let world = World::new();
    let size = SIZE as u64 + CLUSTER;
    world.clone("a").unwrap();
    Catalogue::resize(&world.pool, "a", size).unwrap();
    let mut model: Vec<u8> = (0..SIZE).map(byte).collect();
    model.resize(usize::try_from(size).unwrap(), 0);
    native::block_on(async {
        let device = world.open("a").await.unwrap();
        assert_eq!((device.geometry().size, device.geometry().read_only), (size, false));
        holds(&device, &model).await;
        // Within a cluster, over the border of two, a whole one, at the image's end and past it; many at a time.
        let writes =
            [(1024, 512), (CLUSTER - 512, 1024), (2 * CLUSTER, CLUSTER), (5 * CLUSTER, 8192), (size - 512, 512)];
        let writes: Vec<(u64, u64)> =
            writes.into_iter().chain((0..16).map(|at| (3 * CLUSTER + at * 4096, 4096))).collect();
        let done =
            join_all(writes.iter().enumerate().map(|(number, (offset, length))| {
                device.write(*offset, vec![number as u8 + 1; *length as usize], false)
            }));
        done.await.into_iter().for_each(|done| done.unwrap());
        for (number, (offset, length)) in writes.iter().enumerate() {
            model[*offset as usize..(*offset + *length) as usize].fill(number as u8 + 1);
        }
        holds(&device, &model).await;
        device.write_zeroes(3 * CLUSTER + 4096, 2 * CLUSTER, false, false).await.unwrap();
        model[3 * CLUSTER as usize + 4096..5 * CLUSTER as usize + 4096].fill(0);
        holds(&device, &model).await;
        device.discard(2 * CLUSTER, 4096).await.unwrap();
        model[2 * CLUSTER as usize..2 * CLUSTER as usize + 4096].fill(0);
        device.close().await.unwrap();
        let again = world.open("a").await.unwrap();
        holds(&again, &model).await;
        again.close().await.unwrap();
        let reader = Device::open(&world.pool, "a", Access::ReadOnly, None).await.unwrap();
        assert_eq!(code(reader.write(0, vec![0; 512], false).await), ErrorCode::Denied);
        let image = Device::open(&world.pool, "base", Access::ReadOnly, None).await.unwrap();
        holds(&image, &(0..SIZE).map(byte).collect::<Vec<_>>()).await;
        assert_eq!(code(image.write(0, vec![0; 512], false).await), ErrorCode::Denied);
    });
    assert_eq!(fs::read(world.server.root().join("base.raw")).unwrap(), (0..SIZE).map(byte).collect::<Vec<_>>());
    assert_eq!(Catalogue::find(&world.pool, "a").unwrap().allocated, Some(7 * CLUSTER));
}

/// A sandbox that is killed leaves in the file whatever it had written: what was flushed is there, and what was not is either
/// there or the image's.
#[test]
fn what_was_not_flushed_is_the_images_again_after_a_crash() {
    let world = World::new();
    world.clone("a").unwrap();
    native::block_on(async {
        let device = world.open("a").await.unwrap();
        device.write(0, vec![1; 512], true).await.unwrap();
        device.write(CLUSTER, vec![2; 512], false).await.unwrap();
        drop(device);
        let again = world.open("a").await.unwrap();
        assert_eq!(again.read(0, 1024).await.unwrap(), [vec![1; 512], (512..1024).map(byte).collect()].concat());
        let cluster = CLUSTER as usize;
        assert_eq!(again.read(CLUSTER, 512).await.unwrap(), (cluster..cluster + 512).map(byte).collect::<Vec<_>>());
        // What lies there from before does not shine through what is zeroed now.
        again.write_zeroes(CLUSTER, CLUSTER, false, true).await.unwrap();
        assert!(again.read(CLUSTER, 4096).await.unwrap().iter().all(|byte| *byte == 0));
    });
    let file = fs::File::open(world.folder.path().join("a.overlay")).unwrap();
    let mut bits = [0];
    file.read_exact_at(&mut bits, 4096).unwrap();
    assert_eq!(bits, [0b11]);
    let mut first = [0];
    file.read_exact_at(&mut first, DATA).unwrap();
    assert_eq!(first, [1]);
}

#[test]
fn an_image_that_was_changed_is_refused_and_never_mixed() {
    let world = World::new();
    world.clone("a").unwrap();
    let old: Vec<u8> = (0..SIZE).map(byte).collect();
    let modified = fs::metadata(world.server.root().join("base.raw")).unwrap().modified().unwrap();
    let date = |seconds: u64| {
        let file = fs::File::options().write(true).open(world.server.root().join("base.raw")).unwrap();
        file.set_modified(modified + Duration::from_secs(seconds)).unwrap();
    };
    native::block_on(async {
        let device = world.open("a").await.unwrap();
        assert_eq!(device.read(0, 512).await.unwrap(), old[..512]);
        // In place, of the same length: the server has another ETag.
        world.publish('2', &vec![9; SIZE]);
        date(5);
        assert_eq!(code(device.read(0, 512).await), ErrorCode::Corrupt);
        assert_eq!(code(device.write(0, vec![1; 512], false).await), ErrorCode::Corrupt);
        device.write(CLUSTER, vec![1; CLUSTER as usize], true).await.unwrap();
        assert!(matches!(event(&device, 5).await, Some(Event::Degraded(why)) if why.contains("changed on the server")));
        for refused in [
            Catalogue::attach(&world.pool, "a", Access::Exclusive),
            Catalogue::attach(&world.pool, "base", Access::ReadOnly),
        ] {
            let error = refused.unwrap_err();
            assert!(error.code == ErrorCode::Corrupt && error.message.contains("another name"), "{}", error.message);
        }
        assert_eq!(code(world.clone("b")), ErrorCode::Corrupt);
        fs::remove_file(world.server.root().join("base.raw")).unwrap();
        assert_eq!(code(device.read(0, 512).await), ErrorCode::NotFound);
        // The right one is back.
        world.publish('1', &old);
        date(0);
        assert_eq!(device.read(0, 512).await.unwrap(), old[..512]);
        assert_eq!(event(&device, 5).await, Some(Event::Restored));
        Catalogue::attach(&world.pool, "a", Access::Exclusive).unwrap();
    });
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let mut world = World::new();
    world.clone("a").unwrap();
    let port = world.server.port();
    native::block_on(async {
        let device = std::rc::Rc::new(world.open("a").await.unwrap());
        // More reads than there are streams; and a stream that the server has ended is no reason to wait.
        let reads = join_all((0..32).map(|at| device.read(at * 4096, 4096))).await;
        assert!(reads.into_iter().all(|read| read.is_ok()));
        world.server.kill();
        let reading = device.clone();
        let done = Slot::default();
        let waiting = done.clone();
        fief_sdk::spawn(async move { waiting.set(Some(reading.read(4096, 512).await)) });
        assert!(matches!(event(&device, 5).await, Some(Event::Degraded(_))));
        assert!(done.take().is_none(), "it waits");
        world.server.restart();
        assert_eq!(event(&device, 20).await, Some(Event::Restored));
        let read = loop {
            match done.take() {
                Some(read) => break read,
                None => timer::wait(10).await,
            }
        };
        assert_eq!(read.unwrap(), (4096..4608).map(byte).collect::<Vec<_>>());
        world.server.freeze();
        let reading = device.clone();
        let waiting = done.clone();
        fief_sdk::spawn(async move { waiting.set(Some(reading.read(8192, 512).await)) });
        assert!(matches!(event(&device, 10).await, Some(Event::Degraded(_))));
        world.server.thaw();
        assert_eq!(event(&device, 10).await, Some(Event::Restored));
        // Letting go does not wait.
        world.server.kill();
        let reading = device.clone();
        let waiting = done.clone();
        fief_sdk::spawn(async move { waiting.set(Some(reading.read(8192, 512).await)) });
        assert!(matches!(event(&device, 5).await, Some(Event::Degraded(_))));
        done.take();
        device.close().await.unwrap();
        let refused = loop {
            match done.take() {
                Some(refused) => break refused,
                None => timer::wait(10).await,
            }
        };
        assert_eq!(code(refused), ErrorCode::WrongState);
    });
    native::grant("server", &format!("127.0.0.1:{port}"));
    let away: Error = Catalogue::info(&world.pool).unwrap_err();
    assert_eq!(away.code, ErrorCode::Unreachable);
}
