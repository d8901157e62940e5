//! A plugin and nothing else: its calls, with a host that denies all that is asked of it, and with settings that its author may
//! not have thought of. Its directories are empty, and of this run alone. Nothing is done for it, so any plugin may be
//! tried like this before anything is known of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::expect::{Result, Stop, fail, inner};
use super::ground::Ground;
use super::moves::{SITUATIONS, facts};
use super::{With, settings, words};
use crate::config::policy::{HostInterface, Limits, PluginGrants};
use crate::error::{Failure, Kind};
use crate::gate::operation::{ImageFormat, Preallocation};
use crate::gate::{Gate, Ledger};
use crate::plugin::trouble::{How, Trouble};
use crate::plugin::{Manifest, Session, Subject, chosen};
use crate::sandbox::protocol::{
    Ability, AttachAccess, Call, CloneStyle, ErrorCode, MigrationCall, NetworkCall, PluginKind, Settings, StorageCall,
};
use crate::types::{DomainName, NetworkName, PluginId, PoolName};

/// What pools, networks, volumes and domains are called here.
const NAME: &str = "fieftest";
const OTHER: &str = "fieftest-other";
/// Of a volume, in bytes.
const SIZE: u64 = 1 << 20;

pub(super) struct Bench {
    gate: Gate,
    plugin: PluginId,
    manifest: Manifest,
    /// The settings where none is odd.
    given: BTreeMap<String, String>,
    session: Option<Session>,
    /// Calls that took all of their time.
    pub(super) hung: u32,
    wall: Duration,
}

/// A function of the plugin's, with what it is told.
#[derive(Debug, Clone)]
pub(super) enum Function {
    Storage(StorageCall),
    Network(NetworkCall),
    /// Of a domain that runs on shared storage.
    Check,
}

/// How a call ended, as far as two may be held against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Answered,
    /// With that error of the plugin's own.
    Refused(&'static str),
}

impl Ended {
    pub(super) fn words(self) -> String {
        match self {
            Ended::Answered => "an answer".to_owned(),
            Ended::Refused(code) => format!("the error {code}"),
        }
    }
}

impl Function {
    pub(super) fn words(&self) -> String {
        match self {
            Function::Storage(function) => words::call(function),
            Function::Network(NetworkCall::Up) => "up".to_owned(),
            Function::Network(NetworkCall::Plug { .. }) => "plug".to_owned(),
            Function::Network(NetworkCall::Check) => "check".to_owned(),
            Function::Check => format!("check of a domain that is {}", SITUATIONS[0].words),
        }
    }

    /// Whether it only looks: then it answers the same a second time.
    pub(super) const fn looks(&self) -> bool {
        match self {
            Function::Storage(function) => only_looks(function),
            Function::Network(NetworkCall::Check | NetworkCall::Plug { .. }) | Function::Check => true,
            Function::Network(NetworkCall::Up) => false,
        }
    }

    /// Whether success says that something is there now that was not.
    pub(super) const fn makes(&self) -> bool {
        matches!(
            self,
            Function::Storage(
                StorageCall::Create { .. }
                    | StorageCall::Resize { .. }
                    | StorageCall::Clone { .. }
                    | StorageCall::Rename { .. }
                    | StorageCall::SnapshotCreate { .. }
            ) | Function::Network(NetworkCall::Up)
        )
    }
}

/// Whether it tells of what is there, and does nothing else.
pub(super) const fn only_looks(call: &StorageCall) -> bool {
    match call {
        StorageCall::Info
        | StorageCall::All
        | StorageCall::Find { .. }
        | StorageCall::Snapshots { .. }
        | StorageCall::Notes { .. }
        | StorageCall::FenceShow { .. } => true,
        StorageCall::Create { .. }
        | StorageCall::Delete { .. }
        | StorageCall::Resize { .. }
        | StorageCall::Attach { .. }
        | StorageCall::Detach { .. }
        | StorageCall::SnapshotCreate { .. }
        | StorageCall::SnapshotDelete { .. }
        | StorageCall::SnapshotRevert { .. }
        | StorageCall::Clone { .. }
        | StorageCall::Rename { .. }
        | StorageCall::NoteLeave { .. }
        | StorageCall::NoteRemove { .. }
        | StorageCall::FenceTake { .. }
        | StorageCall::FenceRelease { .. } => false,
    }
}

impl Bench {
    /// # Errors
    /// `Usage` for a setting that the plugin does not take.
    pub(super) fn new(ground: &Ground, with: &With) -> Result<Bench, Failure> {
        let plugin = ground.plugin().clone();
        let manifest = chosen(ground.gate(), &plugin)?.manifest;
        let given = match with {
            With::Pool(definition) => definition.settings.clone(),
            With::Network(definition) => definition.settings.clone(),
            With::Moves(settings) => settings.clone(),
        };
        crate::plugin::settings::resolve(&manifest, &given)?;
        let mut wall = Duration::ZERO;
        let gate = ground.gate_with(|policy| {
            let grants = policy.plugins.entry(plugin.clone()).or_default();
            for (name, granted) in &mut grants.directories {
                granted.path = ground.directories().join(format!(".{name}"));
            }
            wall = grants.limits.wall;
        });
        Ok(Bench { gate, plugin, manifest, given, session: None, hung: 0, wall })
    }

    /// What the plugin is given where nothing is odd.
    pub(super) fn plain(&self) -> Result<Settings> {
        Ok(crate::plugin::settings::resolve(&self.manifest, &self.given)?)
    }

    /// Each setting with each value that its schema takes and its author may not have thought of, first one of each; with what
    /// is odd about it.
    pub(super) fn odd(&self) -> Vec<(String, Settings)> {
        let mut all = Vec::new();
        for round in 0..settings::ODD_MOST {
            for setting in &self.manifest.settings {
                let Some(value) = settings::odd(setting.kind).into_iter().nth(round) else { continue };
                let told = format!("{} = {:?}", setting.key, value.chars().take(20).collect::<String>());
                let mut given = self.given.clone();
                given.insert(setting.key.clone(), value);
                // What the schema does not take reaches no plugin.
                if let Ok(settings) = crate::plugin::settings::resolve(&self.manifest, &given) {
                    all.push((told, settings));
                }
            }
        }
        all
    }

    /// All that the plugin can be asked; of `few`, what says most.
    ///
    /// # Errors
    /// Where its sandbox does not start.
    pub(super) fn functions(&mut self, few: bool) -> Result<Vec<Function>> {
        match self.manifest.kind {
            PluginKind::Storage => {
                let abilities = self.session()?.abilities().to_vec();
                Ok(storage(if few { &[] } else { &abilities }).into_iter().map(Function::Storage).collect())
            }
            PluginKind::Network => {
                let (domain, mac) = (NAME.to_owned(), "52:54:00:00:00:01".to_owned());
                let plug = NetworkCall::Plug { domain, index: 0, mac, address: None };
                Ok([NetworkCall::Up, NetworkCall::Check, plug].map(Function::Network).into())
            }
            PluginKind::Migration => Ok(vec![Function::Check]),
        }
    }

    /// Whether all that it can change is changed by the host, which denies it.
    pub(super) fn has_nothing(&self) -> bool {
        self.grants().is_none_or(|grants| grants.directories.is_empty())
    }

    fn grants(&self) -> Option<&PluginGrants> {
        self.gate.policy().plugins.get(&self.plugin)
    }

    fn session(&mut self) -> Result<&mut Session> {
        if self.session.is_none() {
            let mut session = Session::start(&self.gate, &self.plugin)?;
            session.fail(Some(Trouble { at: None, how: How::Error(ErrorCode::Denied) }));
            self.session = Some(session);
        }
        self.session.as_mut().ok_or_else(|| Stop::Broken(Failure::other("a sandbox that was started is not there")))
    }

    /// The next call is of another process.
    pub(super) fn start_over(&mut self) {
        self.session = None;
    }

    /// Whether the plugin asked the host for something in the last call.
    pub(super) fn asked(&self) -> bool {
        self.session.as_ref().is_some_and(Session::was_troubled)
    }

    /// One call.
    ///
    /// # Errors
    /// `Fail` where it ends neither in an answer nor in an error of the plugin's own.
    pub(super) fn ask(&mut self, settings: &Settings, function: &Function, told: &str) -> Result<Ended> {
        let (subject, call) = call(settings.clone(), function)?;
        let (begun, wall) = (Instant::now(), self.wall);
        let session = self.session()?;
        let said = session.call(&mut Ledger::volatile(), &subject, call);
        let refused = session.refused().map(words::code);
        if begun.elapsed() >= wall {
            self.hung += 1;
        }
        match (said, refused) {
            (Ok(_), _) => Ok(Ended::Answered),
            (Err(_), Some(code)) => Ok(Ended::Refused(code)),
            (Err(failure), None) if matches!(failure.kind, Kind::PluginFault | Kind::TimedOut) => {
                fail(format!("{}{told}", function.words()), "an answer, or an error of its own", inner(&failure))
            }
            (Err(failure), None) => Err(Stop::Broken(failure)),
        }
    }
}

fn call(settings: Settings, function: &Function) -> Result<(Subject, Call)> {
    let wrong = |_| Failure::other("a name that is right is said to be wrong");
    Ok(match function {
        Function::Storage(function) => {
            let name: PoolName = NAME.parse().map_err(wrong)?;
            let call = Call::Storage { pool: name.to_string(), settings, function: function.clone() };
            (Subject::Pool(name), call)
        }
        Function::Network(function) => {
            let name: NetworkName = NAME.parse().map_err(wrong)?;
            let (network, bridge) = (name.to_string(), format!("fief-{NAME}"));
            (Subject::Network(name), Call::Network { network, bridge, settings, function: function.clone() })
        }
        Function::Check => {
            let name: DomainName = NAME.parse().map_err(wrong)?;
            let facts = Box::new(facts(SITUATIONS[0]));
            (Subject::Domain(name), Call::Migration { facts, settings, function: MigrationCall::Check })
        }
    })
}

fn storage(abilities: &[Ability]) -> Vec<StorageCall> {
    let (name, other) = (|| NAME.to_owned(), || OTHER.to_owned());
    let (format, preallocation) = (ImageFormat::Raw, Preallocation::Sparse);
    let mut all = vec![
        StorageCall::Info,
        StorageCall::All,
        StorageCall::Find { name: other() },
        StorageCall::Create { name: name(), size: SIZE, format, preallocation },
        StorageCall::Attach { name: name(), access: AttachAccess::ReadOnly },
    ];
    if !abilities.is_empty() {
        all.extend([
            StorageCall::Resize { name: name(), size: 2 * SIZE },
            StorageCall::Detach { name: name() },
            StorageCall::Delete { name: other() },
        ]);
    }
    for ability in abilities {
        match ability {
            Ability::Snapshots => all.extend([
                StorageCall::Snapshots { volume: name() },
                StorageCall::SnapshotCreate { volume: name(), name: "one".to_owned() },
            ]),
            Ability::Clones => all.push(StorageCall::Clone {
                source: name(),
                snapshot: None,
                target: other(),
                style: CloneStyle::Full,
            }),
            Ability::Renames => all.push(StorageCall::Rename { name: other(), to: format!("{OTHER}-2") }),
            Ability::Notes => all.push(StorageCall::Notes { volume: name() }),
            Ability::Fences => all.push(StorageCall::FenceShow { volume: name() }),
            Ability::Block => {}
        }
    }
    all
}

/// What a plugin has that is tried before it is granted anything: interfaces that answer, with what the run itself has behind
/// them, and connections and secrets that are denied when they are asked for. `directories` are empty ones, by the
/// names that its settings have for them.
pub(super) fn grants(manifest: &Manifest, given: &BTreeMap<String, String>, own: &std::path::Path) -> PluginGrants {
    use crate::config::policy::{ConnectionGrant, DirectoryGrant};
    use crate::plugin::manifest::{Permission, SecretAsk};
    use crate::types::Access;
    let mut grants = PluginGrants {
        limits: Limits { memory: super::brief::MEMORY, ..Limits::default() },
        ..PluginGrants::default()
    };
    for permission in &manifest.permissions {
        match permission {
            Permission::Interface { interface, .. } => grants.interfaces.push(*interface),
            Permission::Directory { .. } => {
                let named = settings::directories(manifest, given);
                for name in named {
                    let path = own.join(&name);
                    grants.directories.insert(name, DirectoryGrant { path, access: Access::ReadWrite });
                }
            }
            Permission::Connect { name, to, .. } => {
                grants.connections.insert(name.clone(), ConnectionGrant::new(to.clone()));
            }
            Permission::Secret { name: SecretAsk::Fixed(name), .. } => grants.secrets.push(name.clone()),
            Permission::Secret { name: SecretAsk::Setting(_), .. } => {}
        }
    }
    grants
}

/// Whether a plugin wants nothing of the host but what a run can make up: directories, images in them, moves.
pub(super) fn wants_little(manifest: &Manifest) -> bool {
    use crate::plugin::manifest::Permission;
    manifest.permissions.iter().all(|permission| match permission {
        Permission::Interface { interface, .. } => match interface {
            HostInterface::Images | HostInterface::Session => true,
            HostInterface::Bridges => false,
        },
        Permission::Directory { .. } => true,
        Permission::Connect { .. } | Permission::Secret { .. } => false,
    })
}
