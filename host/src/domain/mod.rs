//! The life of a domain.
