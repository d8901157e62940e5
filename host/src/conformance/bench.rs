//! One plugin with a pool of its own, and the calls that cases make of it. What a case makes, goes with it.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::expect::{Asked, Result, skip};
use super::random::Random;
use crate::config::pool::PoolDefinition;
use crate::error::{Context, Failure};
use crate::gate::operation::{ImageFormat, Preallocation};
use crate::gate::{Gate, host_id};
use crate::plugin::Patience;
use crate::plugin::trouble::Trouble;
use crate::sandbox::protocol::{Ability, AttachAccess, Holder, StorageCall, VolumeFacts};
use crate::storage::Pool;
use crate::sys::balk::{self, Balk};
use crate::types::{PoolName, VolumeName};

/// Of a volume that a case makes, in bytes: small, and of whole extents where storage has such.
pub(super) const SIZE: u64 = 4 << 20;
/// How long one call may take: half of what policy gives it where nothing is written. These volumes are small.
pub(super) const WALL: Duration = Duration::from_secs(15);
/// The names of all volumes that this kit makes begin with this.
pub(super) const PREFIX: &str = "fieftest";

/// How cases go about it.
#[derive(Debug, Clone)]
pub struct Options {
    /// What random cases do follows from it.
    pub seed: u64,
    /// A volume that is there, and whose bytes may be lost: for storage whose volumes are made elsewhere.
    pub volume: Option<VolumeName>,
}

pub(super) struct Bench {
    pub(super) gate: Gate,
    pub(super) pool: Pool,
    /// For sockets.
    pub(super) folder: PathBuf,
    pub(super) options: Options,
    pub(super) random: Random,
    pub(super) runtime: Rc<tokio::runtime::Runtime>,
    pub(super) abilities: Vec<Ability>,
    /// In which its volumes are made; or why it makes none.
    format: Result<ImageFormat, String>,
    /// Of a name that the storage takes, in bytes.
    pub(super) max_name: usize,
    run: String,
    count: u32,
    made: Vec<String>,
    /// Calls that took all of their time.
    pub(super) hung: u32,
    /// The fences that are held: a volume, and who holds it.
    pub(super) held: Vec<(String, Holder)>,
    host: String,
}

impl Bench {
    /// Defines the pool, and finds out in which format the plugin makes volumes.
    pub(super) fn new(
        gate: &Gate,
        folder: &Path,
        definition: PoolDefinition,
        options: Options,
    ) -> Result<Bench, Failure> {
        let mut pool = Pool::define(gate, definition)?;
        let abilities = pool.abilities()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let random = Random::new(options.seed);
        let host = host_id::this(gate.layout())?;
        let mut bench = Bench {
            gate: gate.clone(),
            pool,
            folder: folder.to_owned(),
            run: format!("{:05x}", Random::new(u64::from(std::process::id()) ^ options.seed).below(1 << 20)),
            options,
            random,
            runtime: Rc::new(runtime.context(|| "cannot speak with what serves volumes".to_owned())?),
            abilities,
            format: Ok(ImageFormat::Raw),
            max_name: VolumeName::MOST,
            count: 0,
            made: Vec::new(),
            hung: 0,
            held: Vec::new(),
            host: host.id.to_string(),
        };
        if let Ok(info) = bench.ask(StorageCall::Info).info() {
            bench.max_name = usize::try_from(info.max_name).unwrap_or(usize::MAX).min(VolumeName::MOST);
        }
        bench.format = bench.probe();
        bench.tidy();
        Ok(bench)
    }

    /// The first format that it does not call unsupported; other mistakes are for the cases to find.
    fn probe(&mut self) -> Result<ImageFormat, String> {
        let mut why = String::new();
        for format in [ImageFormat::Raw, ImageFormat::Qcow2] {
            let name = self.name();
            let asked = self.create(&name, SIZE, format);
            if !asked.is("unsupported") {
                return Ok(format);
            }
            if why.is_empty() {
                why = asked.got();
            }
        }
        Err(why)
    }

    pub(super) fn ask(&mut self, function: StorageCall) -> Asked {
        let begun = Instant::now();
        let said = self.pool.put(function.clone());
        if begun.elapsed() >= WALL {
            self.hung += 1;
        }
        Asked::new(&function, said)
    }

    pub(super) fn name_of_pool(&self) -> PoolName {
        self.pool.definition().name.clone()
    }

    pub(super) fn has(&self, ability: Ability) -> bool {
        self.abilities.contains(&ability)
    }

    /// Whether the plugin speaks with servers.
    pub(super) fn connects(&self) -> bool {
        self.gate.policy().plugins.values().any(|grants| !grants.connections.is_empty())
    }

    /// Whether the plugin has directories.
    pub(super) fn keeps_files(&self) -> bool {
        self.gate.policy().plugins.values().any(|grants| !grants.directories.is_empty())
    }

    /// A name that nothing has; whatever has it at the end of the case is deleted.
    pub(super) fn name(&mut self) -> String {
        self.count += 1;
        let mut name = format!("{PREFIX}{}-{}", self.run, self.count);
        // What does not fit is another's prefix at worst, never another's name: the run and the number are at the end.
        let excess = name.len().saturating_sub(self.max_name);
        name.drain(..excess);
        self.owns(&name);
        name
    }

    /// What this case made, or may have made.
    pub(super) fn owns(&mut self, name: &str) {
        self.made.push(name.to_owned());
    }

    /// # Errors
    /// `Skip` where volumes of this storage are made elsewhere.
    pub(super) fn format(&self) -> Result<ImageFormat> {
        match &self.format {
            Ok(format) => Ok(*format),
            Err(why) => skip(format!("it makes no volumes: {why}")),
        }
    }

    pub(super) fn create(&mut self, name: &str, size: u64, format: ImageFormat) -> Asked {
        let name = name.to_owned();
        self.ask(StorageCall::Create { name, size, format, preallocation: Preallocation::Sparse })
    }

    /// A new volume.
    pub(super) fn new_volume(&mut self) -> Result<VolumeFacts> {
        let format = self.format()?;
        self.new_volume_of(format)
    }

    pub(super) fn new_volume_of(&mut self, format: ImageFormat) -> Result<VolumeFacts> {
        let name = self.name();
        self.create(&name, SIZE, format).where_supported()?.volume()
    }

    /// A new volume in that format, where the plugin makes such and a guest of this pool could write to it.
    pub(super) fn usable(&mut self, format: ImageFormat) -> Option<String> {
        let name = self.name();
        self.create(&name, SIZE, format).said.ok()?;
        let unreachable = format == ImageFormat::Qcow2 && self.attach(&name, AttachAccess::Exclusive).is("unsupported");
        (!unreachable).then_some(name)
    }

    /// A new volume, or the one that may be used.
    pub(super) fn volume(&mut self) -> Result<VolumeFacts> {
        match (self.options.volume.clone(), &self.format) {
            (Some(given), Err(_)) => self.find(given.as_str()).volume(),
            (None, Err(why)) => skip(format!("it makes no volumes, and none was given with --volume: {why}")),
            (_, Ok(format)) => self.new_volume_of(*format),
        }
    }

    pub(super) fn find(&mut self, name: &str) -> Asked {
        self.ask(StorageCall::Find { name: name.to_owned() })
    }

    pub(super) fn delete(&mut self, name: &str) -> Asked {
        self.ask(StorageCall::Delete { name: name.to_owned() })
    }

    pub(super) fn attach(&mut self, name: &str, access: AttachAccess) -> Asked {
        self.ask(StorageCall::Attach { name: name.to_owned(), access })
    }

    /// From now on the host fails like that.
    pub(super) fn fail(&mut self, trouble: Option<Trouble>) -> Result<()> {
        Ok(self.pool.fail(trouble)?)
    }

    /// Runs `body` with another bench on the same pool, whose sandboxes can be made to fail.
    ///
    /// # Errors
    /// Those of `body`; `Skip` where this host has nothing to do it by.
    pub(super) fn balking(&mut self, body: impl FnOnce(&mut Bench, &Balk) -> Result<()> + Send) -> Result<()> {
        let beside = self.beside();
        let done = balk::balking(|balk| -> Result<_> {
            let mut bench = beside()?;
            let done = body(&mut bench, balk);
            Ok((done, bench.count, bench.made, bench.held, bench.hung))
        });
        match done {
            Ok(came) => {
                let (done, count, made, held, hung) = came?;
                (self.count, self.hung) = (count, hung);
                self.made.extend(made);
                self.held.extend(held);
                done
            }
            Err(error) => skip(format!("this host has no way to make a process's calls fail: {error}")),
        }
    }

    /// Another one on the same pool, for another thread.
    fn beside(&self) -> impl FnOnce() -> Result<Bench, Failure> + Send + use<> {
        let (gate, pool, folder) = (self.gate.clone(), self.name_of_pool(), self.folder.clone());
        let (options, abilities, format) = (self.options.clone(), self.abilities.clone(), self.format.clone());
        let (max_name, run, count, hung, host) =
            (self.max_name, self.run.clone(), self.count, self.hung, self.host.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            Ok(Bench {
                pool: Pool::open(&gate, &pool)?,
                gate,
                folder,
                random: Random::new(options.seed),
                options,
                runtime: Rc::new(runtime.context(|| "cannot speak with what serves volumes".to_owned())?),
                abilities,
                format,
                max_name,
                run,
                count,
                made: Vec::new(),
                hung,
                held: Vec::new(),
                host,
            })
        }
    }

    /// This run as the holder of a fence, for a domain.
    pub(super) fn holder(&self, domain: &str, generation: u64) -> Holder {
        Holder { host: self.host.clone(), name: "fief-test".to_owned(), domain: domain.to_owned(), generation }
    }

    /// Deletes what the case made, and lets go of what it holds. Gives what could not be deleted.
    pub(super) fn tidy(&mut self) -> Vec<String> {
        // A case may have left it in trouble.
        self.pool.wait(Patience::Work);
        self.pool.start_over();
        for (volume, holder) in std::mem::take(&mut self.held) {
            self.ask(StorageCall::FenceRelease { volume, holder }).said.ok();
        }
        self.sweep(0)
    }

    /// How many names the case has so far.
    pub(super) fn mark(&self) -> usize {
        self.made.len()
    }

    /// Deletes what the case made since it had so many names. Gives what could not be deleted.
    pub(super) fn sweep(&mut self, since: usize) -> Vec<String> {
        // What stands on others was made after them.
        let mut left: Vec<String> = Vec::new();
        for name in self.made.split_off(since).into_iter().rev() {
            let found = self.find(&name);
            // One that the storage cannot have was not made.
            let there = !found.is("not-found") && !found.is("invalid");
            if there && self.delete(&name).said.is_err() {
                left.push(name);
            }
        }
        // One that stood in the way of another may be gone now.
        left.retain(|name| self.delete(name).said.is_err());
        left
    }
}
