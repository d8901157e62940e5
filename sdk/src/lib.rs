//! Write plugins for fief: where disks live ([`StorageBackend`](storage::StorageBackend)), how machines reach the
//! network ([`NetworkMode`](network::NetworkMode)), and how they move to another host
//! ([`MigrationStrategy`](migration::MigrationStrategy)).
//!
//! A plugin is one WebAssembly component. It is given no privilege: it answers questions, and what has to be done on the
//! host it asks of the host. This is the manual; a whole plugin is `plugins/storage-file`.
//!
//! # A plugin
//!
//! `fief plugin new NAME --kind storage` begins a project (of `network` or `migration` as well) that builds, passes its own
//! tests and can be installed, with this SDK in it. By hand it is:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! fief-sdk = "0.1"
//! ```
//! ```
//! use fief_sdk::network::{Finding, Network, NetworkMode, Nic, Port, UserPort};
//! use fief_sdk::Result;
//!
//! fief_sdk::plugin! {
//!     network: Quiet;
//!     id: "network-quiet",
//!     summary: "cards that reach nothing",
//!     permissions: [],
//! }
//!
//! fief_sdk::settings! {
//!     pub struct Settings {
//!         /// Whether guests are kept from reaching this host, too.
//!         restricted: bool = "true",
//!     }
//! }
//!
//! struct Quiet;
//!
//! impl NetworkMode for Quiet {
//!     type Settings = Settings;
//!     fn up(_: &Network<Settings>) -> Result<()> {
//!         Ok(())
//!     }
//!     fn plug(network: &Network<Settings>, _: &Nic) -> Result<Port> {
//!         let restricted = network.settings.restricted;
//!         Ok(Port::User(UserPort { network: None, forwards: Vec::new(), restricted }))
//!     }
//!     fn check(_: &Network<Settings>) -> Result<Vec<Finding>> {
//!         Ok(Vec::new())
//!     }
//! }
//! ```
//! `cargo build --release --target wasm32-wasip2` makes the file that `fief plugin install` takes. The manifest is in it:
//! [`plugin!`](macro@plugin) and [`settings!`](macro@settings) put it there at compile time. Natively (`cargo test`) the same crate is
//! ordinary code: streams, files, secrets and timers are real there, and a strategy moves a domain of its test's own
//! ([`native`]); [`images`] and [`bridges`] panic, so keep what is worth testing away from them.
//!
//! # What happens when
//!
//! ```text
//!   fief plugin install     the manifest is read, the component compiled; your code does not run
//!   fief pool create        info
//!   fief volume …           all  find  create  resize  delete        snapshots, clones, renames: where you export them
//!   fief start              fences.take  attach (each volume)   up (if the network is down)   plug (each card)
//!   the guest runs          nothing, unless `attach` answered `served`: then block.open, and all of its data
//!   fief stop               block.close  detach  fences.release (each volume)
//!   fief network stop       nothing: the host undoes what you asked for, from its ledger
//!   fief migrate            check, then run (the strategy that policy or the operator picked)
//! ```
//!
//! **A fresh instance for each call** ([`block`] apart). No state survives from one call to the next: what must last is in
//! the storage itself, or asked of the host. Calls of one pool that change something come one after another; others may come at the
//! same time, in other instances.
//!
//! **A change is done as a whole or not at all.** What you ask of the host during `create`, `delete`, `resize`, `up` and
//! the like is recorded. If you return an error, trap, or run past a limit, the host undoes all of it, newest first. So
//! write the straight way, return the first error with `?`, and clean up nothing.
//!
//! **Idempotent.** Any call may come again, after a crash of the host for one: asking for what already is succeeds.
//!
//! **Limits.** A call has 2 s of processor time, 30 s from start to end (the host's own work not counted), 64 MiB of
//! memory, and 16 MiB across the boundary, unless policy says otherwise. Past a limit the instance is gone, and the
//! operator sees a plugin fault (exit code 7), as after a panic. An [`Error`] you return is no fault: it is shown with
//! its own exit code.
//!
//! **Servers that are silent.** A read of a stream ends with `timeout` once the server has said nothing for 15 s (3 s where somebody
//! only looks). Hand that on, and wait no second time: it would take all the time that the call has, and end as a fault.
//!
//! **Dry runs.** With `--dry-run` your code runs as ever, and what it asks for is shown instead of done; the host answers
//! what it would most likely have answered. So make your answers out of the host's, and do not look again after a change.
//!
//! # Storage plugins
//!
//! | function | when, how often | an error means |
//! | --- | --- | --- |
//! | [`info`](storage::StorageBackend::info) | when a pool is defined or shown; often. Changes nothing. | the pool cannot be used: it is not defined |
//! | [`all`](storage::StorageBackend::all) | `volume list`. Changes nothing. Leave out, and log, what cannot be read: one broken volume must not hide the others. | the storage cannot be read |
//! | [`find`](storage::StorageBackend::find) | before anything is done with one volume. Changes nothing. | `not-found`, else as for `all` |
//! | [`create`](storage::StorageBackend::create) | once a volume. Same name and size again: the same volume. Same name, another size or format: `already-exists`. At least the size that was asked for. | nothing was made |
//! | [`resize`](storage::StorageBackend::resize) | `volume resize`, with its domain stopped. A backend that cannot shrink says `invalid`. | the size is what it was |
//! | [`delete`](storage::StorageBackend::delete) | `volume delete`. Absent is deleted. Refuse with `in-use` what others stand on. | it is still there |
//! | [`attach`](storage::StorageBackend::attach) | each start of a domain, for each disk. Changes nothing on the host; the answer says how the hypervisor reaches the volume, and the host checks it against policy. | the domain does not start |
//! | [`detach`](storage::StorageBackend::detach) | after a domain has ended; perhaps never, if this host dies. | it is logged; the domain has ended all the same |
//!
//! `access` of `attach` is `ReadOnly` for CD-ROMs and read-only disks, `Exclusive` for the one writer, `Handover` where a
//! domain is on its way to another host and both are to have the volume open, one after the other.
//!
//! [`Snapshots`](storage::Snapshots) and [`Clones`](storage::Clones) are interfaces of their own: name them in [`plugin!`]
//! (`storage: Mine with snapshots, clones;`) and implement them, or do neither, and the host says that your pools offer
//! none. They are called like `create` and `delete`, with the domain stopped. So is [`Renames`](storage::Renames): the host
//! holds the volume and its fence meanwhile, and changes the definitions of domains afterwards.
//!
//! [`Fences`](storage::Fences) say who may write to a volume, kept with the volume, where every host sees it. The host
//! takes a fence before each attachment that writes, whatever way the attachment then takes, and hands the same holder
//! to `block.open`.
//!
//! | function | when | an error means |
//! | --- | --- | --- |
//! | [`show`](storage::Fences::show) | `volume show`, `volume list`. Changes nothing. | it is shown as unknown |
//! | [`take`](storage::Fences::take) | before an attachment that writes; again with a higher generation for the next one. `force` is the operator's word that the other host is off. | `in-use` names the other holder, `wrong-state`: a newer generation was seen. The domain does not start |
//! | [`release`](storage::Fences::release) | after the attachment has ended; perhaps never, if this host dies. Another's, or nobody's, is left alone. | it is logged |
//!
//! [`Notes`](storage::Notes) are how two hosts find out that they reach the very same volume: before a domain moves, one
//! leaves a note with it, the other reads, and the first takes it away. A pool whose plugin has none is never taken for the
//! same at both hosts. The volume may be in use meanwhile, and must not notice.
//!
//! A plugin that serves volumes itself names its device: `storage: Mine with fences, block(MyDevice);`.
//! [`block`] is the manual of that.
//!
//! # Network plugins
//!
//! | function | when, how often | an error means |
//! | --- | --- | --- |
//! | [`up`](network::NetworkMode::up) | `network start`, or the first start of a domain on it. Build all of it with [`bridges`]; what already is so stays. | nothing is left of it; the domain does not start |
//! | [`plug`](network::NetworkMode::plug) | each start of a domain, for each card, with the network up. Changes nothing; the host makes the tap. | the domain does not start |
//! | [`check`](network::NetworkMode::check) | `network check`. Changes nothing. Everything amiss at once, each with a code that stays the same between versions. | the check itself failed |
//!
//! There is no `down`: the host takes a network down from its ledger, so that it works when your plugin is gone.
//!
//! # Migration plugins
//!
//! A strategy says *when*; the host does each step, and knows which may follow which. [`migration`] is the manual.
//!
//! | function | when, how often | an error means |
//! | --- | --- | --- |
//! | [`check`](migration::MigrationStrategy::check) | `fief migrate --plan`, and before each move. Changes nothing. Everything that stands in the way of this strategy, at once. | - |
//! | [`run`](migration::MigrationStrategy::run) | once a move, with the domain on its own host. | until the domain is handed over: it goes on where it is. After that nothing. |
//!
//! # Asking the host
//!
//! What the host gives needs a [`Permission`] in [`plugin!`], with a reason that an operator can judge, and a grant in
//! `policy.toml`; without one the plugin does not load.
//!
//! | what | for | the permission |
//! | --- | --- | --- |
//! | [`images`] | storage | `Permission::interface(Interface::Images, …)` |
//! | [`bridges`] | network | `Permission::interface(Interface::Bridges, …)` |
//! | the steps of a move ([`migration`]) | migration | `Permission::interface(Interface::Session, …)` |
//! | [`connections`] | storage | `Permission::connect("server", "{server}:{port}", …)` |
//! | [`secrets`] | storage | `Permission::secret("{password}", …)`: a secret that a setting names |
//! | `std::fs` below [`Directory::path`] (lists: [`directory::names`]), and [`files`](mod@files) | all, and storage | `Permission::directory(…)` |
//! | [`log`](mod@log) as [`info!`] and its like, [`timer`] | all, and [`block`] | none |
//!
//! A migration plugin has its steps and the log, and nothing else: no clock, no random numbers (`HashMap` draws some; use
//! `BTreeMap`), no files. One that imports them is not installed.
//!
//! An error of the host's is an [`Error`] like yours: return it as it is, or add what you were doing
//! ([`Error::while_doing`]).

pub mod address;
#[doc(hidden)]
pub mod bindings;
pub mod block;
pub mod connections;
pub mod directory;
pub mod error;
pub mod files;
pub mod image_name;
pub mod log;
pub mod manifest;
pub mod migration;
#[cfg(not(target_family = "wasm"))]
pub mod native;
pub mod network;
pub mod payload;
mod plugin;
pub mod secrets;
pub mod settings;
pub mod storage;
mod task;
pub mod timer;

pub use address::Cidr;
pub use bindings::host::fief::network::bridges;
pub use bindings::host::fief::storage::images;
pub use error::{Error, ErrorCode, Result, Retry};
pub use manifest::{Access as DirectoryAccess, Interface, Permission};
pub use settings::{Directory, SecretName, Settings, Size};
pub use task::spawn;
