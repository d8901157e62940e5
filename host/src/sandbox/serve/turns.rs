//! What a thread that serves a volume does between two looks for events: all that can be done, then what is to be sent.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::looking::Looking;
use super::waiting::Flag;
use crate::sandbox::outbox::Outbox;

/// How often what woke itself is asked again before events are looked for, so that nobody waits for ever.
const ASKED_AGAIN: usize = 16;

/// `future`, which is asked again at once where it has woken itself. What it put into the outbox is sent afterwards, once
/// for all.
pub(super) async fn in_turns<T>(future: impl Future<Output = T>, outbox: Outbox, looking: Arc<Looking>) -> T {
    let (flag, waker) = Flag::new();
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        for _ in 0..ASKED_AGAIN {
            if !flag.take(context) {
                break;
            }
            looking.busy();
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                outbox.send(context);
                return Poll::Ready(value);
            }
        }
        // Whoever waited for room in it is woken by this, and with it the flag.
        outbox.send(context);
        if flag.is_raised() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}
