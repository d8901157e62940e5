//! How many times the socket is written to, where one call is carried out after the other.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::oneshot;

use super::disk::Disk;
use super::run;
use super::session::{READ, Session};
use crate::{Device, Error, Export, Extent, Geometry, Limits, Server};

const DEPTH: usize = 16;

/// A device whose calls wait until somebody carries them out.
#[derive(Default)]
struct OneByOne {
    waiting: RefCell<VecDeque<oneshot::Sender<()>>>,
}

impl Device for OneByOne {
    fn geometry(&self) -> Geometry {
        Disk::of(1 << 20, 512).geometry
    }
    async fn read(&self, _: u64, length: u32) -> Result<Vec<u8>, Error> {
        let (done, wait) = oneshot::channel();
        self.waiting.borrow_mut().push_back(done);
        wait.await.expect("somebody who carries it out");
        Ok(vec![7; length as usize])
    }
    async fn write(&self, _: u64, _: Vec<u8>, _: bool) -> Result<(), Error> {
        Ok(())
    }
    async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }
    async fn discard(&self, _: u64, _: u64) -> Result<(), Error> {
        Ok(())
    }
    async fn write_zeroes(&self, _: u64, _: u64, _: bool, _: bool) -> Result<(), Error> {
        Ok(())
    }
    async fn extents(&self, _: u64, length: u64) -> Result<Vec<Extent>, Error> {
        Ok(vec![Extent { length, hole: false, zero: false }])
    }
}

/// A stream that counts.
struct Counted {
    stream: DuplexStream,
    writes: Rc<Cell<usize>>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.set(self.writes.get() + 1);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[test]
fn replies_to_calls_that_are_carried_out_one_by_one_go_out_together() {
    run(async {
        let device = OneByOne::default();
        let export = Export { volume: "disk".into(), generation: 1, description: String::new() };
        let server = Server::new(&device, export, Limits::default()).expect("a geometry");
        let (client, stream) = tokio::io::duplex(256 << 10);
        let writes = Rc::new(Cell::new(0));
        let mut serving = std::pin::pin!(server.connection(Counted { stream, writes: Rc::clone(&writes) }));
        // As an engine does: whoever serves is asked after each call.
        let engine = poll_fn(|context| {
            loop {
                if serving.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                let Some(done) = device.waiting.borrow_mut().pop_front() else { return Poll::Pending };
                done.send(()).expect("somebody who waits for it");
            }
        });
        let asking = async {
            let mut session = Session::begin(client, true).await;
            let before = writes.get();
            for at in 0..DEPTH as u64 {
                session.ask(READ, 0, at * 512, 512, &[]).await;
            }
            for _ in 0..DEPTH {
                assert_eq!(session.reply().await.expect("a reply").error(), 0);
            }
            writes.get() - before
        };
        let ((), writes) = tokio::join!(engine, asking);
        // A quarter of what is under way at a time, which gets less: 4, 3, 2, and then each alone.
        assert!((3..=10).contains(&writes), "{DEPTH} replies in {writes} writes");
    });
}
