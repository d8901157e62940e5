use super::*;
use crate::gate::host_id;
use crate::migration::handover::{Holding, Standing};
use crate::migration::journal::Journals;

fn record() -> Record {
    Record {
        version: VERSION,
        name: "node1".parse().unwrap(),
        uuid: Uuid::nil(),
        state: State::Running,
        memory: ByteSize::from_mib(512),
        vcpus: 1,
        run: Some(Run {
            id: 7,
            boot: boot_id(),
            supervisor: process::this(),
            hypervisor: None,
            accelerator: ChosenAccelerator::Tcg,
            warning: None,
            started: Timestamp::UNIX_EPOCH,
            volumes: vec!["default/node1".parse().unwrap()],
            cards: vec![],
            held: false,
            places: None,
            changing: None,
            plugins: std::collections::BTreeMap::new(),
            serves: false,
            storage: Storage::default(),
        }),
        last_end: None,
        runs: 0,
        saving: None,
        copying: None,
        moving: None,
        saved: None,
        written: None,
    }
}

fn parse(bytes: &[u8]) -> Result<Record> {
    Record::parse(bytes, &"node1".parse().unwrap(), Path::new("record.json"), |_| false)
}

#[test]
fn a_record_reads_back_as_itself() {
    assert_eq!(parse(&serde_json::to_vec(&record()).unwrap()).unwrap(), record());
}

#[test]
fn a_record_cut_at_any_byte_is_refused_with_a_reason() {
    let bytes = serde_json::to_vec(&record()).unwrap();
    for cut in 0..bytes.len() {
        let failure = parse(&bytes[..cut]).unwrap_err();
        assert_eq!(failure.kind, Kind::NeedsRecover, "cut at {cut}");
    }
}

#[test]
fn a_later_version_and_another_domains_record_are_refused() {
    let later = Record { version: VERSION + 1, ..record() };
    assert!(parse(&serde_json::to_vec(&later).unwrap()).unwrap_err().to_string().contains("later fief"));
    let other = Record { name: "node2".parse().unwrap(), ..record() };
    assert!(parse(&serde_json::to_vec(&other).unwrap()).unwrap_err().to_string().contains("node2"));
}

#[test]
fn a_domain_that_is_handed_over_is_so_whatever_its_record_says_and_an_unclear_one_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::new(root.path());
    let name = "node1".parse().unwrap();
    std::fs::create_dir_all(layout.domain(&name)).unwrap();
    record().save(&layout).unwrap();
    let ceded = Standing { holding: Holding::Ceded, generation: 2, ..Standing::FIRST };
    let host = host_id::this(&layout).unwrap().id;
    Journals::new(&layout, host).write(Uuid::nil(), None, ceded).unwrap();
    let read = Record::load(&layout, &name).unwrap();
    assert_eq!((read.state, read.state_now(), read.truth()), (State::Ceded, State::Ceded, Truth::AsRecorded));
    // It goes on as what it was where its new owner refuses it.
    read.save(&layout).unwrap();
    assert!(std::fs::read_to_string(Record::path(&layout, &name)).unwrap().contains("\"running\""));
    let back = Standing { holding: Holding::Owned, generation: 3, ..ceded };
    Journals::new(&layout, host).write(Uuid::nil(), Some(ceded), back).unwrap();
    assert_eq!(Record::load(&layout, &name).unwrap(), record());

    let journal = layout.handover(Uuid::nil());
    std::fs::write(&journal, "{}").unwrap();
    let failure = Record::load(&layout, &name).unwrap_err();
    assert!(failure.kind == Kind::NeedsRecover && failure.to_string().contains(&journal.display().to_string()));
}

#[test]
fn a_dead_supervisor_is_told_from_a_living_one_and_from_another_boot() {
    let mut record = record();
    assert_eq!(record.truth(), Truth::AsRecorded);
    // Whoever has its lock knows better than to go by a process that is about to end.
    if let Some(run) = &mut record.run {
        run.hypervisor = Some(process::this());
    }
    assert_eq!((record.truth(), record.truth_unattended()), (Truth::AsRecorded, Truth::Orphaned));
    let gone = ProcessId { pid: process::this().pid, start_time: 1 };
    if let Some(run) = &mut record.run {
        run.supervisor = gone;
        run.hypervisor = Some(process::this());
    }
    assert_eq!(record.truth(), Truth::Orphaned);
    if let Some(run) = &mut record.run {
        run.boot = "another".into();
    }
    assert_eq!(record.truth(), Truth::Dead);
    assert_eq!(record.state_now(), State::Off);
}
