//! Write fief plugins.
