//! What the end-to-end tests stand on: hosts as network namespaces, guests, the census.
