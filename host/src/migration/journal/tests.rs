use super::*;
use crate::migration::handover::{Attempt, Move, Peer};

const DOMAIN: Uuid = Uuid::from_u128(0xd0);
const HOST: Uuid = Uuid::from_u128(0xa);

fn ceded() -> Standing {
    let attempt = Attempt { generation: 4, number: 9 };
    let peer = Peer(Uuid::from_u128(0xb));
    let refused = Some(Attempt { generation: 2, number: 1 });
    Standing { holding: Holding::Ceded, generation: 5, number: 9, last: Some(Move { attempt, peer }), refused }
}

struct Bench {
    folder: tempfile::TempDir,
    layout: Layout,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        Bench { folder, layout }
    }
    fn journals(&self) -> Journals<'_> {
        Journals::new(&self.layout, HOST)
    }
    fn written(standing: Standing) -> (Bench, Vec<u8>) {
        let bench = Bench::new();
        bench.journals().write(DOMAIN, None, standing).unwrap();
        let bytes = std::fs::read(bench.layout.handover(DOMAIN)).unwrap();
        (bench, bytes)
    }
    fn with(&self, bytes: &[u8]) -> Result<Option<Standing>> {
        std::fs::write(self.layout.handover(DOMAIN), bytes).unwrap();
        self.journals().read(DOMAIN)
    }
}

#[test]
fn what_was_written_is_read_and_a_domain_without_a_journal_never_moved() {
    let bench = Bench::new();
    assert_eq!(bench.journals().read(DOMAIN).unwrap(), None);
    assert!(!is_there(&bench.layout, DOMAIN));
    let foreign = Standing { refused: ceded().refused, ..Standing::FOREIGN };
    for standing in [Standing::FIRST, Standing::FOREIGN, foreign, ceded()] {
        bench.journals().write(DOMAIN, None, standing).unwrap();
        assert_eq!(bench.journals().read(DOMAIN).unwrap(), Some(standing));
    }
    assert!(is_there(&bench.layout, DOMAIN));
    assert_eq!(std::fs::read_dir(bench.layout.handovers()).unwrap().count(), 1);
}

/// Held to this by the next version too.
#[test]
fn a_journal_of_the_first_version_is_read() {
    let bench = Bench::new();
    std::fs::create_dir(bench.layout.handovers()).unwrap();
    let read = bench.with(include_bytes!("ceded-1.json")).unwrap();
    assert_eq!(read, Some(ceded()));
    let (_, written) = Bench::written(ceded());
    assert_eq!(String::from_utf8(written).unwrap(), include_str!("ceded-1.json"));
}

#[test]
fn a_journal_cut_at_any_byte_is_refused() {
    let (bench, bytes) = Bench::written(ceded());
    // The last byte ends a line, and says nothing.
    for cut in 0..bytes.len() - 1 {
        let failure = bench.with(&bytes[..cut]).unwrap_err();
        assert_eq!(failure.kind, Kind::NeedsRecover, "cut at {cut}");
        assert!(failure.hint.is_some());
    }
}

#[test]
fn no_flipped_bit_gives_a_domain_away() {
    let (bench, bytes) = Bench::written(ceded());
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        // White space is the one thing that may be other than it was.
        match bench.with(&flipped) {
            Ok(read) => assert_eq!(read, Some(ceded()), "bit {at}"),
            Err(failure) => assert!(matches!(failure.kind, Kind::NeedsRecover | Kind::Conflict), "bit {at}: {failure}"),
        }
    }
}

#[test]
fn a_journal_of_a_later_fief_of_another_domain_or_of_another_host_is_refused() {
    let (bench, bytes) = Bench::written(ceded());
    let later = String::from_utf8(bytes.clone()).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
    let failure = bench.with(later.as_bytes()).unwrap_err();
    assert!(failure.kind == Kind::Conflict && failure.to_string().contains("later fief"), "{failure}");

    let other = Uuid::from_u128(0xd1);
    std::fs::write(bench.layout.handover(other), &bytes).unwrap();
    let failure = bench.journals().read(other).unwrap_err();
    assert!(failure.kind == Kind::NeedsRecover && failure.to_string().contains(&DOMAIN.to_string()), "{failure}");

    std::fs::write(bench.layout.handover(DOMAIN), &bytes).unwrap();
    let failure = Journals::new(&bench.layout, Uuid::from_u128(0xc)).read(DOMAIN).unwrap_err();
    assert!(failure.kind == Kind::NeedsRecover && failure.hint.unwrap().contains("a copy"));

    let more = String::from_utf8(bytes).unwrap().replacen("\"host\"", "\"more\": 1, \"host\"", 1);
    assert_eq!(bench.with(more.as_bytes()).unwrap_err().kind, Kind::NeedsRecover);
    assert_eq!(bench.with(&vec![b' '; LONGEST as usize + 1]).unwrap_err().kind, Kind::NeedsRecover);
}

#[test]
fn a_folder_that_cannot_be_written_leaves_what_was_there() {
    let (bench, bytes) = Bench::written(ceded());
    // A folder in the place of the file that is renamed over: even root cannot.
    std::fs::remove_file(bench.layout.handover(DOMAIN)).unwrap();
    std::fs::create_dir(bench.layout.handover(DOMAIN)).unwrap();
    let unwritten = bench.journals().write(DOMAIN, Some(Standing::FIRST), ceded()).unwrap_err();
    assert!(matches!(unwritten, Unwritten::Surely(_)));
    assert_eq!(std::fs::read_dir(bench.layout.handovers()).unwrap().count(), 1);
    assert!(bench.journals().read(DOMAIN).is_err());
    std::fs::remove_dir(bench.layout.handover(DOMAIN)).unwrap();
    assert_eq!(bench.with(&bytes).unwrap(), Some(ceded()));
    drop(bench.folder);
}

#[test]
fn each_kind_of_step_passes_points_of_its_own() {
    let from = |holding| Some(Standing { holding, ..Standing::FIRST });
    let to = |holding| Standing { holding, ..Standing::FIRST };
    let name = |before, after| point(before, after, Written::Named);
    assert_eq!(name(from(Holding::Owned), to(Holding::Ceded)), "handover.cede.named");
    assert_eq!(name(from(Holding::Foreign), to(Holding::Owned)), "handover.own.named");
    assert_eq!(name(from(Holding::Gone), to(Holding::Owned)), "handover.own.named");
    assert_eq!(name(from(Holding::Ceded), to(Holding::Gone)), "handover.gone.named");
    assert_eq!(name(None, to(Holding::Owned)), "handover.note.named");
    assert_eq!(name(None, to(Holding::Foreign)), "handover.note.named");
    assert_eq!(name(from(Holding::Ceded), to(Holding::Owned)), "handover.note.named");
    let names = fault::POINTS.iter().filter(|point| point.name.starts_with("handover."));
    assert_eq!(names.count(), 12);
}
