//! Any requests of several clients, with a device that takes its time: nothing is lost, and a flush means flush.
//!
//! The disk is cut into cells that are no whole blocks. One client owns a cell and gives it a larger number with each
//! write, so that what may be read, and what must be durable, is known however the requests of all are interleaved.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::disk::Disk;
use super::session::{FLUSH, FUA, READ, Session, WRITE, ZEROES};
use super::{Room, client::Reply, run};
use crate::Geometry;

/// In bytes; shares its blocks with its neighbours.
const CELL: u32 = 200;
const CELLS: usize = 40;
const DEPTH: usize = 8;

#[derive(Debug, Clone, Copy)]
enum Step {
    Read(usize),
    Write(usize, bool),
    Zero(usize),
    Flush,
}

/// The number that each cell was last given, as far as its owner was told.
type Told = Rc<RefCell<Vec<u8>>>;

/// What is under way for one request.
#[derive(Debug)]
struct Pending {
    step: Step,
    /// The number that is being written, or that must be read.
    number: u8,
    /// What a flush has to cover.
    told: Vec<u8>,
}

struct Client {
    session: Session,
    told: Told,
    disk: Rc<Disk>,
    pending: HashMap<u64, Pending>,
    read: HashMap<u64, Vec<Reply>>,
}

impl Client {
    async fn play(mut self, steps: Vec<Step>) {
        for step in steps {
            let cell = match step {
                Step::Read(cell) | Step::Write(cell, _) | Step::Zero(cell) => Some(cell),
                Step::Flush => None,
            };
            let touches = |other: &Pending| match other.step {
                Step::Read(other) | Step::Write(other, _) | Step::Zero(other) => Some(other) == cell,
                Step::Flush => false,
            };
            while self.pending.len() >= DEPTH || self.pending.values().any(touches) {
                self.hear().await;
            }
            self.begin(step).await;
        }
        while !self.pending.is_empty() {
            self.hear().await;
        }
    }

    async fn begin(&mut self, step: Step) {
        let told = self.told.borrow().clone();
        let at = |cell: usize| cell as u64 * u64::from(CELL);
        let (cookie, number) = match step {
            Step::Read(cell) => (self.session.ask(READ, 0, at(cell), CELL, &[]).await, told[cell]),
            Step::Write(cell, durable) => {
                let number = told[cell] + 1;
                let flags = if durable { FUA } else { 0 };
                (self.session.ask(WRITE, flags, at(cell), CELL, &[number; CELL as usize]).await, number)
            }
            Step::Zero(cell) => (self.session.ask(ZEROES, 0, at(cell), CELL, &[]).await, 0),
            Step::Flush => (self.session.ask(FLUSH, 0, 0, 0, &[]).await, 0),
        };
        self.pending.insert(cookie, Pending { step, number, told });
    }

    async fn hear(&mut self) {
        let reply = self.session.reply().await.expect("a reply");
        assert_eq!(reply.error(), 0);
        let cookie = reply.cookie();
        let last = reply.is_last();
        self.read.entry(cookie).or_default().push(reply);
        if !last {
            return;
        }
        let replies = self.read.remove(&cookie).expect("just put there");
        let pending = self.pending.remove(&cookie).expect("a request of ours");
        let durable = |cell: usize| self.disk.durable.borrow()[cell * CELL as usize];
        match pending.step {
            Step::Read(cell) => {
                let answer = super::session::Answer { cookie, error: 0, replies };
                let data = answer.data(cell as u64 * u64::from(CELL), CELL as usize);
                assert_eq!(data, vec![pending.number; CELL as usize], "cell {cell}");
            }
            Step::Write(cell, must_last) => {
                self.told.borrow_mut()[cell] = pending.number;
                assert!(!must_last || durable(cell) == pending.number, "cell {cell} was to be durable");
            }
            // A zeroed cell begins anew, and what of it is durable says nothing from then on.
            Step::Zero(cell) => self.told.borrow_mut()[cell] = 0,
            Step::Flush => {
                for (cell, &told) in pending.told.iter().enumerate() {
                    let now = self.told.borrow()[cell];
                    let zeroed = now < told || durable(cell) == 0;
                    assert!(durable(cell) >= told || zeroed, "cell {cell}: {} of {told} is durable", durable(cell));
                }
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let cell = 0..CELLS;
    prop_oneof![
        3 => cell.clone().prop_map(Step::Read),
        6 => (cell.clone(), any::<bool>()).prop_map(|(cell, durable)| Step::Write(cell, durable)),
        1 => cell.prop_map(Step::Zero),
        1 => Just(Step::Flush),
    ]
}

fn play(block_size: u32, gives_way: u32, can_write_zeroes: bool, all: Vec<Vec<Step>>) {
    run(async {
        let size = (CELLS as u64 * u64::from(CELL)).next_multiple_of(65536);
        let geometry =
            Geometry { can_write_zeroes, maximum_io: 4096.max(block_size), ..Disk::of(size, block_size).geometry };
        let room = Room::new(Disk { gives_way, eager: (gives_way > 0).then_some(70), ..Disk::new(geometry) });
        let told: Told = Rc::new(RefCell::new(vec![0; CELLS]));
        let clients = all.len();
        let mut playing = Vec::new();
        for (number, steps) in all.into_iter().enumerate() {
            // Each client owns every so many a cell, so that all share blocks.
            let own = |cell: usize| (cell / clients * clients + number) % CELLS;
            let own = |cell: usize| if own(cell) % clients == number { own(cell) } else { number };
            let steps = steps.into_iter().map(|step| match step {
                Step::Read(cell) => Step::Read(own(cell)),
                Step::Write(cell, durable) => Step::Write(own(cell), durable),
                Step::Zero(cell) => Step::Zero(own(cell)),
                Step::Flush => Step::Flush,
            });
            let client = Client {
                session: room.client().await,
                told: Rc::clone(&told),
                disk: Rc::clone(&room.disk),
                pending: HashMap::new(),
                read: HashMap::new(),
            };
            playing.push(tokio::task::spawn_local(client.play(steps.collect())));
        }
        for client in playing {
            client.await.expect("a client that found what it should");
        }
        for (cell, bytes) in room.disk.bytes.borrow().chunks(CELL as usize).take(CELLS).enumerate() {
            assert_eq!(bytes, vec![told.borrow()[cell]; bytes.len()], "cell {cell} at the end");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_clients_do_at_once_no_write_is_lost_and_a_flush_covers_all_of_them(
        block_size in prop::sample::select(vec![1u32, 512, 4096]),
        gives_way in prop::sample::select(vec![0u32, 3, 12]),
        can_write_zeroes in any::<bool>(),
        zeroes in any::<bool>(),
        mut all in prop::collection::vec(prop::collection::vec(step(), 0..60), 1..4),
    ) {
        // Without zeroes numbers only grow, and a flush is held to each of them.
        for step in all.iter_mut().flatten().filter(|_| !zeroes) {
            if let Step::Zero(cell) = *step {
                *step = Step::Read(cell);
            }
        }
        play(block_size, gives_way, can_write_zeroes, all);
    }
}
