//! Work beside a call.

/// Runs `future` beside the `async` call that this is called from, and on after it has answered.
///
/// The future lives until it ends, or until the sandbox does: one that [`open`](crate::block::BlockDevice::open) began
/// may serve every later call. It runs when it is woken, and its waking of others (a channel's message, a
/// notification) reaches calls that were made later. So a device that keeps a stream keeps one task that reads it.
///
/// Nothing ends it from outside: let [`close`](crate::block::BlockDevice::close) tell it to end, by shutting the stream
/// that it reads, say. There is one thread: a future that computes for long holds up all others. One that panics ends
/// the instance.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    #[cfg(target_family = "wasm")]
    wit_bindgen::spawn_local(future);
    #[cfg(not(target_family = "wasm"))]
    drop(tokio::task::spawn_local(future));
}
