//! Plugins that misbehave: each is an example of this crate, built as a component.
