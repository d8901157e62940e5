//! Writes go side by side; putting back what a server lost goes alone, so that it never lands on what was written since.

use std::cell::Cell;

use crate::wire::events::Bell;

#[derive(Default)]
pub(crate) struct Gate {
    inside: Cell<usize>,
    closed: Cell<bool>,
    changed: Bell,
}

/// Inside until dropped.
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    alone: bool,
}

impl Gate {
    pub(crate) async fn shared(&self) -> Pass<'_> {
        while self.closed.get() {
            self.changed.wait().await;
        }
        self.inside.set(self.inside.get() + 1);
        Pass { gate: self, alone: false }
    }

    /// New ones wait from now on; comes back when those inside have left.
    pub(crate) async fn alone(&self) -> Pass<'_> {
        while self.closed.get() {
            self.changed.wait().await;
        }
        self.closed.set(true);
        let pass = Pass { gate: self, alone: true };
        while self.inside.get() > 0 {
            self.changed.wait().await;
        }
        pass
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        match self.alone {
            true => self.gate.closed.set(false),
            false => self.gate.inside.set(self.gate.inside.get() - 1),
        }
        self.gate.changed.ring();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn whoever_is_alone_waits_for_all_and_holds_up_all() {
        let gate = Gate::default();
        let first = gate.shared().now_or_never().unwrap();
        let second = gate.shared().now_or_never().unwrap();
        let mut alone = Box::pin(gate.alone());
        assert!(alone.as_mut().now_or_never().is_none());
        assert!(gate.shared().now_or_never().is_none(), "nobody comes in before it");
        drop((first, second));
        let alone = alone.now_or_never().unwrap();
        assert!(gate.shared().now_or_never().is_none() && gate.alone().now_or_never().is_none());
        drop(alone);
        assert!(gate.shared().now_or_never().is_some());
    }

    #[test]
    fn one_who_gives_up_waiting_to_be_alone_holds_nobody_up() {
        let gate = Gate::default();
        let inside = gate.shared().now_or_never().unwrap();
        drop(gate.alone().now_or_never());
        drop(inside);
        assert!(gate.shared().now_or_never().is_some());
    }
}
