//! What a served volume waits for is looked at when it was woken. The engine asks all that it has after each step of a
//! plugin's call, several times for each request.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Knows that it was woken, and wakes whoever asked last.
pub(super) struct Flag {
    woken: AtomicBool,
    outer: AtomicWaker,
}

impl Flag {
    /// Raised at first, since nothing was asked yet.
    pub(super) fn new() -> (Arc<Flag>, Waker) {
        let flag = Arc::new(Flag { woken: AtomicBool::new(true), outer: AtomicWaker::new() });
        (flag.clone(), flag.into())
    }

    /// Whether it was woken since this was asked last, or never asked.
    pub(super) fn take(&self, context: &Context<'_>) -> bool {
        self.outer.register(context.waker());
        self.woken.swap(false, Ordering::AcqRel)
    }

    pub(super) fn is_raised(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.outer.wake();
    }
}

/// `future`, asked only when it was woken.
pub(super) async fn when_woken<T>(future: impl Future<Output = T>) -> T {
    let (flag, waker) = Flag::new();
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        if flag.take(context) { future.as_mut().poll(&mut Context::from_waker(&waker)) } else { Poll::Pending }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_was_not_woken_is_not_asked() {
        let asked = Cell::new(0);
        let inner = std::future::poll_fn(|_: &mut Context<'_>| {
            asked.set(asked.get() + 1);
            Poll::<()>::Pending
        });
        let mut waiting = pin!(when_woken(inner));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(waiting.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(asked.get(), 1);
    }

    #[tokio::test]
    async fn what_is_woken_from_elsewhere_is_asked_again() {
        let value = when_woken(async {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            when_woken(tokio::spawn(async { 7 })).await.unwrap()
        });
        assert_eq!(value.await, 7);
    }
}
