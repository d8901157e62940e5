//! One function of the plugin's exports for each kind of call: words in, words out, nothing decided.

use wasmtime::Store;
use wasmtime::component::Instance;

use super::instance::Exports;
use super::interface as words;
use super::protocol::{
    Ability, CallError, CloneStyle, MigrationCall, MoveFacts, NetworkCall, Return, Settings, StorageCall,
};
use super::room::Room;
use super::version::v0_1::exports::fief::network::mode;
use super::version::v0_1::exports::fief::storage::{backend, clones};
use super::version::v0_1::fief::storage::volumes::Pool;
use super::version::v0_1::fief::types::types::{Error, Setting};

/// The outer error is a trap, the inner one what the caller is told.
type Called = wasmtime::Result<Result<Return, CallError>>;

fn settings(settings: Settings) -> Vec<Setting> {
    settings.into_iter().map(|(key, value)| Setting { key, value }).collect()
}

fn answer<T>(result: Result<T, Error>, word: impl FnOnce(T) -> Return) -> Result<Return, CallError> {
    result.map(word).map_err(|error| CallError::Plugin(words::plugin_error(error)))
}

fn nothing(result: Result<(), Error>) -> Result<Return, CallError> {
    answer(result, |()| Return::Nothing)
}

fn all<T, U>(items: Vec<T>, word: impl Fn(T) -> U) -> Vec<U> {
    items.into_iter().map(word).collect()
}

/// The host never sends a call of one kind to a plugin of another.
fn wrong_kind() -> wasmtime::Error {
    wasmtime::Error::msg("the call is for a plugin of another kind")
}

pub(super) async fn storage(
    exports: &Exports,
    store: &mut Store<Room>,
    instance: &Instance,
    pool: String,
    with: Settings,
    function: StorageCall,
) -> Called {
    let backend = exports.backend.as_ref().ok_or_else(wrong_kind)?.load(&mut *store, instance)?;
    let pool = &Pool { name: pool, settings: settings(with) };
    let volume = |result| answer(result, |volume| Return::Volume(words::volume(volume)));
    Ok(match function {
        StorageCall::Info => answer(backend.call_info(store, pool).await?, |info| Return::PoolInfo {
            identity: info.identity,
            capacity: info.capacity,
            available: info.available,
            reachable_from_peers: info.reachable_from_peers,
            max_name: info.max_name,
        }),
        StorageCall::All => {
            answer(backend.call_all(store, pool).await?, |volumes| Return::Volumes(all(volumes, words::volume)))
        }
        StorageCall::Find { name } => volume(backend.call_find(store, pool, &name).await?),
        StorageCall::Create { name, size, format, preallocation } => {
            let (format, preallocation) = (words::format(format), words::preallocation(preallocation));
            let spec = backend::VolumeSpec { name, size, format, preallocation };
            volume(backend.call_create(store, pool, &spec).await?)
        }
        StorageCall::Delete { name } => nothing(backend.call_delete(store, pool, &name).await?),
        StorageCall::Resize { name, size } => volume(backend.call_resize(store, pool, &name, size).await?),
        StorageCall::Attach { name, access } => {
            answer(backend.call_attach(store, pool, &name, words::access(access)).await?, |attachment| {
                Return::Attachment(words::attachment(attachment))
            })
        }
        StorageCall::Detach { name } => nothing(backend.call_detach(store, pool, &name).await?),
        StorageCall::SnapshotCreate { volume, name } => {
            let Some(snapshots) = &exports.snapshots else { return missing(Ability::Snapshots) };
            let snapshots = snapshots.load(&mut *store, instance)?;
            answer(snapshots.call_create(store, pool, &volume, &name).await?, |snapshot| {
                Return::Snapshot(words::image_snapshot(snapshot))
            })
        }
        StorageCall::SnapshotDelete { volume, name } => {
            let Some(snapshots) = &exports.snapshots else { return missing(Ability::Snapshots) };
            let snapshots = snapshots.load(&mut *store, instance)?;
            nothing(snapshots.call_delete(store, pool, &volume, &name).await?)
        }
        StorageCall::SnapshotRevert { volume, name } => {
            let Some(snapshots) = &exports.snapshots else { return missing(Ability::Snapshots) };
            let snapshots = snapshots.load(&mut *store, instance)?;
            nothing(snapshots.call_revert(store, pool, &volume, &name).await?)
        }
        StorageCall::Snapshots { volume } => {
            let Some(snapshots) = &exports.snapshots else { return missing(Ability::Snapshots) };
            let snapshots = snapshots.load(&mut *store, instance)?;
            answer(snapshots.call_all(store, pool, &volume).await?, |found| {
                Return::Snapshots(all(found, words::image_snapshot))
            })
        }
        StorageCall::Clone { source, snapshot, target, style } => {
            let Some(clones) = &exports.clones else { return missing(Ability::Clones) };
            let clones = clones.load(&mut *store, instance)?;
            let style = match style {
                CloneStyle::Linked => clones::Style::Linked,
                CloneStyle::Full => clones::Style::Full,
            };
            volume(clones.call_clone(store, pool, &source, snapshot.as_deref(), &target, style).await?)
        }
        StorageCall::Rename { name, to } => {
            let Some(renames) = &exports.renames else { return missing(Ability::Renames) };
            let renames = renames.load(&mut *store, instance)?;
            volume(renames.call_rename(store, pool, &name, &to).await?)
        }
        StorageCall::Notes { volume } => {
            let Some(notes) = &exports.notes else { return missing(Ability::Notes) };
            let notes = notes.load(&mut *store, instance)?;
            answer(notes.call_read(store, pool, &volume).await?, Return::Notes)
        }
        StorageCall::NoteLeave { volume, note } => {
            let Some(notes) = &exports.notes else { return missing(Ability::Notes) };
            let notes = notes.load(&mut *store, instance)?;
            nothing(notes.call_leave(store, pool, &volume, note).await?)
        }
        StorageCall::NoteRemove { volume, note } => {
            let Some(notes) = &exports.notes else { return missing(Ability::Notes) };
            let notes = notes.load(&mut *store, instance)?;
            nothing(notes.call_remove(store, pool, &volume, note).await?)
        }
        StorageCall::FenceShow { volume } => {
            let Some(fences) = &exports.fences else { return missing(Ability::Fences) };
            let fences = fences.load(&mut *store, instance)?;
            answer(fences.call_show(store, pool, &volume).await?, |fence| Return::Fence(words::fence(fence)))
        }
        StorageCall::FenceTake { volume, holder, force } => {
            let Some(fences) = &exports.fences else { return missing(Ability::Fences) };
            let fences = fences.load(&mut *store, instance)?;
            let taken = fences.call_take(store, pool, &volume, &words::holder(holder), force).await?;
            answer(taken, |fence| Return::Fence(words::fence(fence)))
        }
        StorageCall::FenceRelease { volume, holder } => {
            let Some(fences) = &exports.fences else { return missing(Ability::Fences) };
            let fences = fences.load(&mut *store, instance)?;
            nothing(fences.call_release(store, pool, &volume, &words::holder(holder)).await?)
        }
    })
}

fn missing(ability: Ability) -> Called {
    Ok(Err(CallError::Missing(ability)))
}

pub(super) async fn network(
    exports: &Exports,
    store: &mut Store<Room>,
    instance: &Instance,
    (name, bridge, with): (String, String, Settings),
    function: NetworkCall,
) -> Called {
    let mode = exports.mode.as_ref().ok_or_else(wrong_kind)?.load(&mut *store, instance)?;
    let network = &mode::Network { name, bridge, settings: settings(with) };
    Ok(match function {
        NetworkCall::Up => nothing(mode.call_up(store, network).await?),
        NetworkCall::Plug { domain, index, mac, address } => {
            let nic = mode::Nic { domain, index, mac, address };
            answer(mode.call_plug(store, network, &nic).await?, |port| Return::Port(words::port(port)))
        }
        NetworkCall::Check => {
            answer(mode.call_check(store, network).await?, |findings| Return::Findings(all(findings, words::finding)))
        }
    })
}

pub(super) async fn migration(
    exports: &Exports,
    store: &mut Store<Room>,
    instance: &Instance,
    (facts, with): (MoveFacts, Settings),
    function: MigrationCall,
) -> Called {
    let strategy = exports.strategy.as_ref().ok_or_else(wrong_kind)?.load(&mut *store, instance)?;
    let with = settings(with);
    Ok(match function {
        MigrationCall::Check => {
            let findings = strategy.call_check(store, &words::facts(facts), &with).await?;
            Ok(Return::Findings(all(findings, words::finding)))
        }
        MigrationCall::Run => {
            // Lent for this one call: when it ends, the handle is gone with its instance.
            let migration = store.data_mut().table.push(words::Move(facts))?;
            let ended = strategy.call_run(store, migration, &with).await?;
            answer(ended, |outcome| Return::Outcome(words::outcome_out(outcome)))
        }
    })
}
