//! The cases, by family.

mod attach;
mod bare;
mod block;
mod block_faults;
mod block_streams;
mod clones;
mod fences;
mod files;
mod host;
mod kept;
mod moves;
mod names;
mod networks;
mod notes;
mod pool;
mod renames;
mod shows;
mod snapshots;
mod streams;
mod verbs;
mod volumes;

use super::Case;

pub(super) const ALL: &[&[Case]] = &[
    pool::CASES,
    volumes::CASES,
    names::CASES,
    attach::CASES,
    renames::CASES,
    clones::CASES,
    snapshots::CASES,
    fences::CASES,
    notes::CASES,
    block::CASES,
    block_faults::CASES,
    block_streams::CASES,
    host::CASES,
    streams::CASES,
    files::CASES,
    bare::CASES,
    networks::CASES,
    moves::CASES,
];
