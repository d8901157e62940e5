//! Two hosts with shared storage, each with a guest that has nothing to do with it, and one domain after the other that
//! moves.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fief_tests::cases::Cases;
use fief_tests::command::{self, Said, Started};
use fief_tests::invariants::{self, Owners};
use fief_tests::pair::{Pair, Side};
use fief_tests::random::Random;
use fief_tests::witness::{Kind, Temper};
use fief_tests::{Host, Witness, fault};

/// Of the longest command here, which waits for another host, and some.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// The domain that moves.
pub const NAME: &str = "web1";

/// What a witness has of memory is not all over at the first look.
const FETCHING: &[&str] =
    &["--set", "at-time-out=postcopy", "--set", "seconds=0", "--set", "seconds-per-gib=0", "--bandwidth", "8Mbit"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// A folder of each host's own: volumes are copied.
    File,
    /// A folder on A, and NFS that a plugin serves on B.
    Mixed,
    Nfs(&'static str),
    Iscsi(&'static str),
}

impl Storage {
    pub const SHARED: [Storage; 4] =
        [Storage::Nfs("native"), Storage::Nfs("served"), Storage::Iscsi("native"), Storage::Iscsi("served")];

    /// Where guests go on before their memory is there; none, and said, where this kernel lets none wait for it.
    pub fn fetching() -> Vec<Storage> {
        if std::path::Path::new("/dev/userfaultfd").exists() {
            return Storage::SERVED.to_vec();
        }
        eprintln!("this kernel has no /dev/userfaultfd: no guest goes on before its memory is there");
        Vec::new()
    }

    /// Of those the ones that the newer QEMU reaches: what it would speak by itself is not fetched with it.
    pub const SERVED: [Storage; 2] = [Storage::Nfs("served"), Storage::Iscsi("served")];

    pub fn is_copied(self) -> bool {
        matches!(self, Storage::File | Storage::Mixed)
    }

    fn volume(self) -> String {
        match self {
            Storage::File => format!("default/{NAME}"),
            Storage::Mixed => format!("mixed/{NAME}"),
            Storage::Nfs(way) => format!("nfs-{way}/{NAME}"),
            Storage::Iscsi(way) => format!("iscsi-{way}/lun1"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Live,
    Static,
    /// Live, and the guest goes on before its memory is there: on the newer QEMU, and slowly.
    Fetching,
}

impl How {
    pub const fn strategy(self) -> &'static str {
        match self {
            How::Live | How::Fetching => "migration-live",
            How::Static => "migration-static",
        }
    }

    const fn options(self) -> &'static [&'static str] {
        match self {
            How::Live | How::Static => &[],
            How::Fetching => FETCHING,
        }
    }
}

pub struct Bench {
    // Dropped first: it listens to the hosts.
    owners: Owners,
    neighbours: [Witness; 2],
    unit: PathBuf,
    pub pair: Pair,
}

/// A domain that moves, from its making to its end.
pub struct Domain {
    pub witness: Witness,
    storage: Storage,
    how: How,
    /// Options of `fief migrate`.
    pub options: &'static [&'static str],
}

impl Bench {
    pub fn new() -> Bench {
        let mut pair = Pair::new();
        pair.nfs();
        pair.mixed();
        let unit = pair.iscsi(&[1 << 20]).remove(0);
        let neighbours = Side::BOTH.map(|side| {
            let witness = Witness::create(&pair[side], "near", &[]);
            pair[side].fief(&["start", "near"]);
            witness.goes_on(1);
            witness
        });
        for side in Side::BOTH {
            pair[side].fief(&["plugin", "grant", How::Fetching.strategy(), "--postcopy"]);
        }
        pair.is_made();
        Bench { owners: Owners::watch(&pair), neighbours, unit, pair }
    }

    /// A witness on A, off.
    #[track_caller]
    pub fn domain(&self, how: How, storage: Storage) -> Domain {
        self.domain_with(how, storage, &[])
    }

    #[track_caller]
    pub fn domain_with(&self, how: How, storage: Storage, options: &[&str]) -> Domain {
        self.suits(how);
        let (host, volume) = (self.pair.a(), storage.volume());
        let create = || drop(host.fief(&["volume", "create", &volume, "--size", "1MiB", "--format", "raw"]));
        let image = match storage {
            Storage::File | Storage::Mixed => {
                create();
                file(host)
            }
            Storage::Nfs(_) => {
                create();
                self.pair.export().join(NAME)
            }
            Storage::Iscsi(_) => {
                // As it was made, whatever was on it before.
                std::fs::write(&self.unit, vec![0; 1 << 20]).unwrap();
                self.unit.clone()
            }
        };
        let mut witness = Witness::on(host, NAME, &volume, &image, Temper::TriesAgain, options);
        witness.is_heard_on(self.pair.b());
        Domain { witness, storage, how, options: &[] }
    }

    /// Both hosts have the hypervisor that it takes to move so.
    fn suits(&self, how: How) {
        for side in Side::BOTH {
            let host = &self.pair[side];
            match how {
                How::Fetching => host.runs_newer_qemu(),
                How::Live | How::Static => host.runs_installed_qemu(),
            }
        }
    }

    /// The same, running; `environment` is its supervisor's.
    #[track_caller]
    pub fn running(&self, how: How, storage: Storage, environment: &[(String, String)]) -> Domain {
        let mut domain = self.domain(how, storage);
        let mut start = self.pair.a().command(&["start", NAME]);
        command::run(start.envs(environment.iter().cloned()), PATIENCE).expect_code(0);
        domain.witness.goes_on(2);
        domain.witness.is_heard(1);
        domain
    }

    fn words(domain: &Domain, to: Side) -> Vec<&'static str> {
        let how = domain.how;
        [&["migrate", NAME, to.name(), "--strategy", how.strategy()], how.options(), domain.options].concat()
    }

    /// `fief migrate` beside the test.
    #[track_caller]
    pub fn sets_out(&self, domain: &mut Domain, to: Side, environment: &[(String, String)]) -> Started {
        domain.witness.may_be_on(&self.pair[to]);
        let mut migrate = self.pair[to.other()].command(&Self::words(domain, to));
        Started::start(migrate.envs(environment.iter().cloned()))
    }

    /// It goes there, and is running there.
    #[track_caller]
    pub fn moves(&self, domain: &mut Domain, to: Side) -> Said {
        let said = self.sets_out(domain, to, &[]).ends(PATIENCE).expect_code(0);
        let there = invariants::comes_to(&self.pair, NAME, |side, state| side == to && state == "running");
        assert_eq!(there.0, to);
        self.follow(domain, to);
        self.goes_on(domain);
        said
    }

    /// Has the witness looked for where its disk is.
    pub fn follow(&self, domain: &mut Domain, side: Side) {
        match (domain.storage, side) {
            (Storage::File, _) | (Storage::Mixed, Side::A) => domain.witness.lies_at(&file(&self.pair[side])),
            (Storage::Mixed, Side::B) => domain.witness.lies_at(&self.pair.export().join(NAME)),
            (Storage::Nfs(_) | Storage::Iscsi(_), _) => {}
        }
    }

    /// It runs, is heard, and went through nothing that must never be.
    #[track_caller]
    pub fn goes_on(&self, domain: &mut Domain) {
        domain.witness.goes_on(2);
        domain.witness.is_heard(1);
        domain.witness.is_sound();
    }

    /// All that must be true of the two hosts, whatever was done to them.
    #[track_caller]
    pub fn is_sound(&mut self) {
        self.owners.are_sound();
        invariants::no_orphans(&self.pair);
        for neighbour in &mut self.neighbours {
            neighbour.goes_on(1);
            neighbour.is_sound();
            let runs = neighbour.look().iter().filter(|seen| seen.kind == Kind::Began).count();
            assert_eq!(runs, 1, "{} was started anew", neighbour.name());
        }
    }

    /// After a move that was cut off: both hosts serve and are told to recover, and the domain is on one of them alone, where it
    /// runs, perhaps after a start. Gives where.
    #[track_caller]
    pub fn heals(&mut self, domain: &mut Domain) -> Side {
        for side in Side::BOTH {
            self.pair.serves(side);
        }
        for side in Side::BOTH {
            // It may wait for the other one, and may have nothing to do.
            let said = command::run(&mut self.pair[side].command(&["recover"]), PATIENCE);
            eprint!("{}: {}{}", side.name(), said.stdout, said.stderr);
        }
        let came = |_, state: &str| ["running", "off", "crashed"].contains(&state);
        let (side, state) = invariants::comes_to(&self.pair, NAME, came);
        eprintln!("{NAME} is {state} on {}", side.name());
        self.follow(domain, side);
        if state != "running" {
            self.pair[side].fief(&["start", NAME]);
        }
        self.goes_on(domain);
        self.is_sound();
        side
    }

    /// The same command again: it comes about where it had not, and does no harm where it had. Then the domain is on B.
    #[track_caller]
    pub fn again(&mut self, domain: &mut Domain, side: Side) {
        let mut migrate = self.pair.a().command(&Self::words(domain, Side::B));
        let said = command::run(&mut migrate, PATIENCE);
        match side {
            Side::A => drop(said.expect_code(0)),
            Side::B => assert!(said.code.is_some_and(|code| code != 0), "it is not here any more:\n{}", said.stdout),
        }
        invariants::comes_to(&self.pair, NAME, |side, state| side == Side::B && state == "running");
        self.follow(domain, Side::B);
        self.goes_on(domain);
    }

    /// It goes back to A and away, and neither host keeps anything of it.
    #[track_caller]
    pub fn ends(&mut self, mut domain: Domain, from: Side) {
        if from == Side::B {
            self.moves(&mut domain, Side::A);
        }
        self.is_sound();
        self.pair.a().fief(&["stop", NAME]);
        domain.witness.is_sound();
        self.pair.a().fief(&["delete", NAME, "--yes"]);
        if !matches!(domain.storage, Storage::Iscsi(_)) {
            self.pair.a().fief(&["volume", "delete", &domain.storage.volume(), "--yes"]);
        }
        self.owners.are_sound();
        self.pair.is_as_made();
    }
}

/// Runs each case, in an order of chance, for as long as there is time; what each gave, none where it failed.
///
/// # Panics
/// With every failure.
#[track_caller]
pub fn each<T, R>(mut cases: Vec<(String, T)>, case: impl Fn(&mut Bench, T) -> R) -> Vec<(String, R)> {
    let until = fault::until();
    Random::from_environment().shuffle(&mut cases);
    cases.retain(|(name, _)| fault::wanted(name));
    let (mut bench, mut gave) = (Cases::new(Bench::new), Vec::new());
    for (name, what) in cases {
        if until.is_some_and(|until| Instant::now() > until) {
            break;
        }
        if let Some(given) = bench.run(&name, |bench| case(bench, what)) {
            gave.push((name, given));
        }
    }
    bench.close();
    gave
}

/// It was never started anew.
#[track_caller]
pub fn one_life(domain: &mut Domain) {
    let runs = domain.witness.look().iter().filter(|seen| seen.kind == Kind::Began).count();
    assert_eq!(runs, 1, "the guest began anew");
}

/// The image of the domain's volume on a host.
fn file(host: &Host) -> PathBuf {
    let images = std::fs::read_dir(host.root().join("images")).unwrap().flatten().map(|entry| entry.path());
    let mut of_it = images.filter(|path| path.file_stem().is_some_and(|stem| stem == NAME));
    of_it.next().unwrap_or_else(|| panic!("{} has no image of {NAME}", host.root().display()))
}
