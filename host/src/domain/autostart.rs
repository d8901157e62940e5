//! Which domains start with the host, and in what order.

use crate::config::domain::Autostart;
use crate::domain::store;
use crate::error::Result;
use crate::layout::Layout;
use crate::types::DomainName;

/// Those with `[autostart]`, in the order in which they are started.
///
/// A definition that cannot be read is left out and logged: it must not keep the others from starting.
pub fn all(layout: &Layout) -> Result<Vec<(DomainName, Autostart)>> {
    let mut all = Vec::new();
    for name in store::names(layout)? {
        match store::load(layout, &name) {
            Ok(definition) => all.extend(definition.autostart.map(|autostart| (name, autostart))),
            Err(failure) => tracing::warn!(domain = %name, %failure, "not started: its definition cannot be read"),
        }
    }
    // By name already, which a stable sort keeps among equals.
    all.sort_by_key(|(_, autostart)| autostart.order);
    Ok(all)
}
