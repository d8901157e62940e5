//! One file for each frozen version of the WIT packages; what a plugin was built against stays served.

pub(super) mod v0_1;
