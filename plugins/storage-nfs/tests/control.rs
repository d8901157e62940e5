//! Control calls on a real server, natively: the same code as in the sandbox.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use fief_sdk::storage::{
    Access, Attachment, Clones, Fences, Format, Notes, Pool, Preallocation, Renames, StorageBackend, Style, VolumeSpec,
};
use fief_sdk::{ErrorCode, Result, native};
use fief_tests::ganesha::Versions;
use storage_nfs::{Settings, StorageNfs};

mod world;
use world::{World, holder, spec};

/// Verbs twice come to the same end, on either version.
fn verbs_twice(world: &World, pool: &Pool<Settings>) {
    let info = StorageNfs::info(pool).unwrap();
    assert_eq!(info, StorageNfs::info(pool).unwrap());
    assert!(info.capacity.unwrap() >= info.available.unwrap() && info.available.unwrap() > 0);

    for (name, format) in [("raw", Format::Raw), ("cow", Format::Qcow2)] {
        let made = StorageNfs::create(pool, &spec(name, 10 << 20, format)).unwrap();
        assert_eq!((made.size, made.format), (10 << 20, format));
        assert!(made.allocated.unwrap() < 1 << 20, "sparse");
        assert_eq!(StorageNfs::create(pool, &spec(name, 10 << 20, format)).unwrap(), made);
        let other = StorageNfs::create(pool, &spec(name, 11 << 20, format)).unwrap_err();
        assert_eq!(other.code, ErrorCode::AlreadyExists);
        for _ in 0..2 {
            assert_eq!(StorageNfs::resize(pool, name, 12 << 20).unwrap().size, 12 << 20);
        }
        assert_eq!(StorageNfs::resize(pool, name, 1 << 20).unwrap_err().code, ErrorCode::Invalid);
        assert_eq!(StorageNfs::find(pool, name).unwrap().size, 12 << 20);
    }
    assert_eq!(StorageNfs::all(pool).unwrap().iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["cow", "raw"]);
    assert_eq!(world.names(), ["cow.qcow2", "raw"], "nothing else is left");

    let raw = fs::File::options().write(true).open(world.server.export().join("raw")).unwrap();
    raw.write_all_at(b"middle", 5 << 20).unwrap();
    let twin = StorageNfs::clone(pool, "raw", None, "twin", Style::Full).unwrap();
    assert_eq!(twin.size, 12 << 20);
    let copy = fs::read(world.server.export().join("twin")).unwrap();
    assert_eq!((copy.len(), &copy[5 << 20..][..6]), (12 << 20, &b"middle"[..]));
    assert!(fs::metadata(world.server.export().join("twin")).unwrap().blocks() * 512 < 2 << 20, "holes are kept");
    let again = StorageNfs::clone(pool, "raw", None, "twin", Style::Full).unwrap_err();
    assert_eq!(again.code, ErrorCode::AlreadyExists);

    StorageNfs::take(pool, "cow", &holder("a", 1), false).unwrap();
    let code = |name: &str, to: &str| StorageNfs::rename(pool, name, to).unwrap_err().code;
    assert_eq!((code("none", "new"), code("raw", "twin")), (ErrorCode::NotFound, ErrorCode::AlreadyExists));
    for _ in 0..2 {
        let renamed = StorageNfs::rename(pool, "cow", "cow-two").unwrap();
        assert_eq!((renamed.name.as_str(), renamed.format, renamed.size), ("cow-two", Format::Qcow2, 12 << 20));
    }
    assert_eq!(world.names(), [".cow-two.lease", "cow-two.qcow2", "raw", "twin"]);

    // Two hosts may ask at a time; what is asked for is there and nothing else, and a volume takes its notes along when it goes.
    assert_eq!(StorageNfs::leave(pool, "none", 1).unwrap_err().code, ErrorCode::NotFound);
    for note in [7, 7, u64::MAX >> 8] {
        StorageNfs::leave(pool, "raw", note).unwrap();
    }
    let mut notes = StorageNfs::read(pool, "raw").unwrap();
    notes.sort_unstable();
    assert_eq!((notes, StorageNfs::read(pool, "twin").unwrap()), (vec![7, u64::MAX >> 8], vec![]));
    for _ in 0..2 {
        StorageNfs::remove(pool, "raw", 7).unwrap();
    }
    assert_eq!(StorageNfs::read(pool, "raw").unwrap(), [u64::MAX >> 8]);
    assert_eq!(StorageNfs::all(pool).unwrap().len(), 3, "a note is no volume");

    for name in ["twin", "cow-two", "raw"] {
        for _ in 0..2 {
            StorageNfs::delete(pool, name).unwrap();
        }
        assert_eq!(StorageNfs::find(pool, name).unwrap_err().code, ErrorCode::NotFound);
    }
    assert_eq!(world.names(), [""; 0]);
}

/// Wherever it was cut off, the volume is there with its lease, by one name or by both, and the same again finishes it.
fn a_rename_was_cut_off(world: &World, pool: &Pool<Settings>) {
    let at = |name: &str| world.server.export().join(name);
    let holds = holder("a", 7);
    StorageNfs::create(pool, &spec("any", 1 << 20, Format::Raw)).unwrap();
    StorageNfs::take(pool, "any", &holds, false).unwrap();
    let record = fs::read(at(".any.lease/00000001")).unwrap();
    // Made beside the server, each under names of its own: it keeps what it has seen of a name for a while.
    for (step, left) in [
        &["old", ".old"][..],
        &["old", ".old", ".new"],
        &["old", "new", ".old", ".new"],
        &["new", ".old", ".new"],
        &["new", ".new"],
    ]
    .into_iter()
    .enumerate()
    {
        let name = |name: &str| format!("{name}{step}");
        fs::write(at(".image"), [7; 4096]).unwrap();
        for left in left {
            match left.strip_prefix('.') {
                Some(volume) => {
                    let lease = at(&format!(".{}.lease", name(volume)));
                    fs::create_dir(&lease).unwrap();
                    fs::write(lease.join("00000001"), &record).unwrap();
                }
                None => fs::hard_link(at(".image"), at(&name(left))).unwrap(),
            }
        }
        fs::remove_file(at(".image")).unwrap();
        let renamed = StorageNfs::rename(pool, &name("old"), &name("new")).unwrap();
        assert_eq!((renamed.name, renamed.size), (name("new"), 4096));
        let is_there = [".any.lease".to_owned(), format!(".new{step}.lease"), "any".to_owned(), name("new")];
        assert_eq!(world.names(), is_there, "after {left:?}");
        let shown = StorageNfs::show(pool, &name("new")).unwrap();
        assert_eq!((shown.holder.as_ref(), shown.generation), (Some(&holds), 7), "after {left:?}");
        StorageNfs::delete(pool, &name("new")).unwrap();
    }
    // Another has the name, or is about to give it.
    StorageNfs::create(pool, &spec("taken", 1 << 20, Format::Raw)).unwrap();
    assert_eq!(StorageNfs::rename(pool, "any", "taken").unwrap_err().code, ErrorCode::AlreadyExists);
    fs::create_dir(at(".wanted.lease")).unwrap();
    let others = String::from_utf8(record).unwrap().replace("\"host\":\"a\"", "\"host\":\"b\"");
    fs::write(at(".wanted.lease/00000001"), others).unwrap();
    assert!(matches!(StorageNfs::rename(pool, "any", "wanted").unwrap_err().code, ErrorCode::InUse(_)));
    assert_eq!(world.names(), [".any.lease", ".wanted.lease", "any", "taken"]);
    for name in ["any", "taken", "wanted"] {
        StorageNfs::delete(pool, name).unwrap();
    }
}

/// One host holds a volume; generations only grow; the operator's word breaks a hold.
fn two_hosts(world: &World, pool: &Pool<Settings>) {
    StorageNfs::create(pool, &spec("disk", 1 << 20, Format::Raw)).unwrap();
    assert_eq!(StorageNfs::show(pool, "disk").unwrap().holder, None);
    for _ in 0..2 {
        assert_eq!(StorageNfs::take(pool, "disk", &holder("a", 1), false).unwrap().holder, Some(holder("a", 1)));
    }
    let refused = StorageNfs::take(pool, "disk", &holder("b", 2), false).unwrap_err();
    assert!(matches!(refused.code, ErrorCode::InUse(_)) && refused.message.contains("a.example"), "{refused:?}");
    StorageNfs::take(pool, "disk", &holder("a", 2), false).unwrap();
    assert_eq!(StorageNfs::take(pool, "disk", &holder("a", 1), false).unwrap_err().code, ErrorCode::WrongState);
    StorageNfs::release(pool, "disk", &holder("b", 2)).unwrap();
    assert_eq!(StorageNfs::take(pool, "disk", &holder("b", 3), true).unwrap().holder, Some(holder("b", 3)));
    for _ in 0..2 {
        StorageNfs::release(pool, "disk", &holder("b", 3)).unwrap();
    }
    let shown = StorageNfs::show(pool, "disk").unwrap();
    assert_eq!((shown.holder, shown.generation), (None, 3));
    assert_eq!(world.names(), [".disk.lease", "disk"]);
    let records = fs::read_dir(world.server.export().join(".disk.lease")).unwrap();
    assert_eq!(records.count(), 1, "the one that counts");
    StorageNfs::delete(pool, "disk").unwrap();
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn version_4_does_every_verb_twice() {
    let world = World::new(Versions::Four);
    let pool = world.pool(&[]);
    verbs_twice(&world, &pool);
    two_hosts(&world, &pool);
    a_rename_was_cut_off(&world, &pool);
    let full = VolumeSpec { preallocation: Preallocation::Full, ..spec("full", 3 << 20, Format::Raw) };
    assert!(StorageNfs::create(&pool, &full).unwrap().allocated.unwrap() >= 3 << 20);
}

#[test]
fn version_3_is_taken_where_a_server_has_no_more() {
    let world = World::new(Versions::Three);
    let pool = world.pool(&[]);
    verbs_twice(&world, &pool);
    two_hosts(&world, &pool);
    a_rename_was_cut_off(&world, &pool);
    let mut without = world.pool(&[]);
    without.settings.mount_port = None;
    assert!(StorageNfs::info(&without).unwrap_err().message.contains("mount-port"));
}

#[test]
fn a_restart_of_the_server_keeps_its_identity_and_its_volumes() {
    let mut world = World::new(Versions::Four);
    fs::create_dir(world.server.export().join("inside")).unwrap();
    let pool = world.pool(&[("directory", "inside"), ("transport", "native")]);
    StorageNfs::create(&pool, &spec("cow", 5 << 30, Format::Qcow2)).unwrap();
    let info = StorageNfs::info(&pool).unwrap();
    world.server.kill();
    assert_eq!(StorageNfs::all(&pool).unwrap_err().code, ErrorCode::Unreachable);
    world.server.restart();
    assert_eq!(StorageNfs::info(&pool).unwrap().identity, info.identity);
    assert_ne!(StorageNfs::info(&world.pool(&[])).unwrap().identity, info.identity, "another folder is another pool");
    assert_eq!(StorageNfs::resize(&pool, "cow", 6 << 30).unwrap().size, 6 << 30);
    let Attachment::Nfs(node) = StorageNfs::attach(&pool, "cow", Access::Exclusive).unwrap() else { panic!("native") };
    assert_eq!(
        (node.path.as_str(), node.share, node.format),
        ("inside/cow.qcow2", world.server.share(), Format::Qcow2)
    );

    let nowhere = world.pool(&[("directory", "elsewhere")]);
    assert_eq!(StorageNfs::info(&nowhere).unwrap_err().code, ErrorCode::NotFound);
    let nobody = world.pool(&[("uid", "65534"), ("gid", "65534")]);
    assert_eq!(StorageNfs::create(&nobody, &spec("a", 512, Format::Raw)).unwrap_err().code, ErrorCode::Denied);
}

/// What each of six gets who do the same at once, speaking `versions` in turn.
fn race<T: Send>(
    world: &World,
    versions: [&str; 2],
    call: impl Fn(&Pool<Settings>, u64) -> Result<T> + Sync,
) -> Vec<Result<T>> {
    let address = format!("{}:{}", world.server.address(), world.server.port());
    let mount = format!("{}:{}", world.server.address(), world.server.mount_port());
    std::thread::scope(|scope| {
        let racers: Vec<_> = (1..=6)
            .map(|number| {
                let pool = world.pool(&[("version", versions[number % 2])]);
                let (address, mount, call) = (&address, &mount, &call);
                scope.spawn(move || {
                    native::grant("server", address);
                    native::grant("mount", mount);
                    call(&pool, number as u64)
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    })
}

/// One has it, and all others are told why they have not.
#[track_caller]
fn one_won<T: std::fmt::Debug>(versions: [&str; 2], got: &[Result<T>], lost: fn(&ErrorCode) -> bool) {
    let won = got.iter().filter(|got| got.is_ok()).count();
    let told = got.iter().filter_map(|got| got.as_ref().err()).all(|error| lost(&error.code));
    assert!(won == 1 && told, "versions {versions:?}: {won} won: {got:#?}");
}

#[test]
fn of_many_who_make_or_take_a_volume_at_once_one_has_it() {
    let world = World::new(Versions::ThreeAndFour);
    let pool = world.pool(&[]);
    for versions in [["4.1", "4.1"], ["3", "3"], ["3", "4.1"]] {
        let made =
            race(&world, versions, |pool, number| StorageNfs::create(pool, &spec("disk", number << 20, Format::Raw)));
        one_won(versions, &made, |code| *code == ErrorCode::AlreadyExists);
        // The first lease of a volume, and one after another's.
        for generation in [1, 2] {
            let taken = race(&world, versions, |pool, number| {
                StorageNfs::take(pool, "disk", &holder(&format!("host{number}"), 10 * generation + number), false)
            });
            one_won(versions, &taken, |code| matches!(code, ErrorCode::InUse(_) | ErrorCode::WrongState));
            let holds = StorageNfs::show(&pool, "disk").unwrap().holder.unwrap();
            assert!(taken.iter().flatten().all(|won| won.holder.as_ref() == Some(&holds)), "{taken:#?}\n{holds:#?}");
            StorageNfs::release(&pool, "disk", &holds).unwrap();
        }
        StorageNfs::delete(&pool, "disk").unwrap();
        assert_eq!(world.names(), [""; 0]);
    }
}
