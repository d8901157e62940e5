//! Volumes of which each misbehaves in its own way, by its name; `good` behaves, and answers its requests in a task that
//! `open` began, as a plugin does that keeps a connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use fief_sdk::bindings::host::fief::storage::requests;
use fief_sdk::block::{BlockDevice, Event, Extent, Geometry, Holder};
use fief_sdk::storage::{Access, Pool};
use fief_sdk::{Result, timer};
use hostile::Settings;

const SIZE: u64 = 1 << 20;

pub struct Device {
    /// How it misbehaves.
    name: String,
    work: Rc<Work>,
    events: Cell<u32>,
}

/// Reads that the task has to answer, and the task's waker.
#[derive(Default)]
struct Work {
    open: RefCell<VecDeque<Rc<Question>>>,
    worker: RefCell<Option<Waker>>,
}

#[derive(Default)]
struct Question {
    offset: u64,
    answer: Cell<Option<u8>>,
    asker: RefCell<Option<Waker>>,
}

impl Work {
    /// Each byte of the volume is the number of its KiB. Now and then the answer takes a while.
    async fn answer(&self) {
        loop {
            let question = poll_fn(|context| match self.open.borrow_mut().pop_front() {
                Some(question) => Poll::Ready(question),
                None => {
                    *self.worker.borrow_mut() = Some(context.waker().clone());
                    Poll::Pending
                }
            })
            .await;
            if question.offset.is_multiple_of(64 << 10) {
                timer::wait(1).await;
            }
            question.answer.set(Some((question.offset >> 10) as u8));
            if let Some(asker) = question.asker.take() {
                asker.wake();
            }
        }
    }

    async fn ask(&self, offset: u64) -> u8 {
        let question = Rc::new(Question { offset, ..Question::default() });
        self.open.borrow_mut().push_back(question.clone());
        if let Some(worker) = self.worker.take() {
            worker.wake();
        }
        poll_fn(|context| match question.answer.get() {
            Some(answer) => Poll::Ready(answer),
            None => {
                *question.asker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl BlockDevice for Device {
    type Settings = Settings;

    async fn open(_: &Pool<Settings>, volume: &str, _: Access, _: Option<&Holder>) -> Result<Self> {
        if volume == "stuck" {
            std::future::pending::<()>().await;
        }
        let work = Rc::new(Work::default());
        let working = work.clone();
        fief_sdk::spawn(async move { working.answer().await });
        Ok(Device { name: volume.to_owned(), work, events: Cell::new(0) })
    }

    fn geometry(&self) -> Geometry {
        let odd = self.name == "odd";
        Geometry {
            size: if odd { u64::MAX } else { SIZE },
            block_size: if odd { 777 } else { 512 },
            preferred_io: 1024,
            maximum_io: 1024,
            maximum_requests: 32,
            can_discard: true,
            can_write_zeroes: true,
            can_extents: true,
            rotational: false,
            read_only: false,
        }
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        match self.name.as_str() {
            "silent" => std::future::pending().await,
            "short" => Ok(vec![0; length as usize - 1]),
            "long" => Ok(vec![0; length as usize + 1]),
            "trap" if offset >= SIZE / 2 => panic!("in the middle"),
            "spin" => loop {
                std::hint::black_box(offset);
            },
            // What it was not asked, or was asked by nobody yet.
            "astray" => {
                requests::answer(u64::MAX, Ok(&[]));
                Ok(vec![0; length as usize])
            }
            "memory" => {
                std::mem::forget(std::hint::black_box(vec![1_u8; 4 << 20]));
                Ok(vec![0; length as usize])
            }
            _ => Ok(vec![self.work.ask(offset).await; length as usize]),
        }
    }

    async fn write(&self, _: u64, _: Vec<u8>, _: bool) -> Result<()> {
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }

    async fn extents(&self, _: u64, length: u64) -> Result<Vec<Extent>> {
        Ok(match self.name.as_str() {
            "liar" => vec![Extent { length: u64::MAX, hole: true, zero: true }; 100_000],
            "mute" => vec![Extent { length: 0, hole: false, zero: false }],
            _ => vec![Extent { length, hole: false, zero: false }],
        })
    }

    async fn next_event(&self) -> Event {
        self.events.set(self.events.get() + 1);
        match self.name.as_str() {
            "flood" if self.events.get().is_multiple_of(2) => Event::Restored,
            "flood" => Event::Degraded("x".repeat(1 << 20)),
            "growing" => Event::Resized(SIZE),
            _ => std::future::pending().await,
        }
    }

    async fn close(&self) -> Result<()> {
        if self.name == "clinging" {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}
