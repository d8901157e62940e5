//! The figures.

use crate::command::Result;

pub(crate) fn run() -> Result<()> {
    Err("not yet".into())
}
