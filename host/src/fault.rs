//! Named places where a test may make fief fail (promises.md, "Fault points"). In a build without the feature
//! `faults`, which is every build that people use, a point is nothing.
//!
//! With the feature, `FIEF_FAULT=NAME:HOW[:N]` arms one point: HOW is `kill` (the process ends by SIGKILL there),
//! `fail` (the step fails), `hang` (it stands still for a minute), or `stop` (the process does, until SIGCONT); N is
//! which passing of the point counts, from 1.

/// Of the versions that this fief speaks with others those that it speaks: with the feature, `FIEF_SPEAKS=N` makes it one that
/// knows of none newer.
pub fn spoken(versions: &[u16]) -> Vec<u16> {
    #[cfg(feature = "faults")]
    if let Some(newest) = std::env::var("FIEF_SPEAKS").ok().and_then(|newest| newest.parse::<u16>().ok()) {
        return versions.iter().copied().filter(|version| *version <= newest).collect();
    }
    versions.to_vec()
}

/// A point, and what has just been done where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub name: &'static str,
    pub after: &'static str,
}

macro_rules! points {
    ($($name:literal $after:literal)+) => {
        /// Every point in the tree, by verb. A test reaches each; one that is used nowhere does not build a registry.
        pub const POINTS: &[Point] = &[$(Point { name: $name, after: $after }),+];
    };
}

points! {
    "arrive.begun" "a volume that comes from another host is held and written down, it is not made"
    "arrive.made" "the volume is made and written down, and not final"
    "arrive.copied" "the volume holds what it should, it is written down as one that does not"
    "arrive.left" "the volume is whole and let go, its domain is not this host's yet"
    "attach.noted" "the record says what is about to be plugged in, nothing else is done"
    "attach.opened" "the volume is leased and open, or the card has its port; the machine knows nothing of it"
    "attach.wired" "what stands behind the device is there (a tap), the machine knows nothing of it"
    "attach.plugged" "the machine has the device, no definition says so"
    "attach.written" "the definitions have the device, the record still says that it is about to come"
    "detach.noted" "the record says what is about to be unplugged, the guest was not asked"
    "detach.unplugged" "the machine has lost the device, the definitions still have it"
    "detach.written" "the definitions have lost the device, its volume is still leased"
    "channel.given" "one of several connections for a guest's memory is open, and QEMU's end is about to go by it"
    "channel.came" "one of several connections for a guest's memory is here, nobody was told which"
    "clone.begun" "what the clone is to be is written down, nothing is made"
    "clone.copied" "all of the clone's disks hold what they should, it is not defined"
    "clone.defined" "the clone is defined, what was written down of it is still there"
    "clone.mirrored" "each write of the running source goes to the copy too, nobody has cut them loose"
    "clone.recorded" "the source's record says that it is being copied, its hypervisor knows nothing of it"
    "clone.still" "the source's guest stands still, the copies are not cut loose"
    "clone.volume" "one of the clone's volumes is made and written down, and not final"
    "create.written" "a new domain is written, under a name that is none"
    "delete.aside" "the domain's folder has a name that is none, its files are there"
    "export.begun" "what is exported is held and written down, no file is there"
    "export.copied" "the file is whole and has its name, what was written down is still there"
    "fence.broken" "another host's hold is broken, ours is still there"
    "fence.numbered" "the number of the attachment is on disk, the storage knows nothing of it"
    "fence.taken" "the fence is ours, the volume is not attached"
    "fill.begun" "the volume to be is held and written down, it is not made"
    "fill.made" "the volume is made and written down, and not final"
    "fill.copied" "the volume holds what it should, it is written down as one that does not"
    "fill.filled" "the volume is written down as whole, it is still held"
    "gate.acted" "an act is done, the ledger does not say so yet"
    "gate.intended" "the ledger says what is about to be done, nothing is done"
    "gate.sealed" "the changes stand, what was set aside for an undo is still there"
    "gate.undone" "an act is undone, the ledger still has it"
    "hand.memory" "the guest's memory goes over, it runs here"
    "hand.following" "the other host has the domain, and the rest of its memory is to follow"
    "hand.delivered" "the other host was told that all has been sent of a domain that is off"
    "hand.copied" "a round of volumes is at the other host"
    "hand.paused" "the guest stands still, nothing of its memory is saved"
    "hand.saved" "its memory is in a file, which is not sent"
    "hand.sent" "the other host has that file, and was not told that it is all"
    "hand.switching" "the guest stands still, the last of it is not sent"
    "hand.switched" "all of the guest is at the other host, its volumes are open here"
    "hand.closing" "nothing of its volumes is closed yet"
    "hand.closed" "its volumes are closed and their fences let go, it is not ceded"
    "hand.forgetting" "the other host has it, and it is known here; all of it is still there"
    "handover.cede.aside" "that the domain is handed over is on disk, under a name that is none"
    "handover.cede.named" "it has its name, which a power cut may take from it again"
    "handover.cede.synced" "the domain is handed over, the other host does not know"
    "handover.gone.aside" "that the domain was taken by the other host is on disk, under a name that is none"
    "handover.gone.named" "it has its name, which a power cut may take from it again"
    "handover.gone.synced" "the domain is another host's, what is left of it here is there"
    "handover.note.aside" "an attempt or a refusal is on disk, under a name that is none"
    "handover.note.named" "it has its name, which a power cut may take from it again"
    "handover.note.synced" "it is written down, the other host does not know"
    "handover.own.aside" "that the domain is taken is on disk, under a name that is none"
    "handover.own.named" "it has its name, which a power cut may take from it again"
    "handover.own.synced" "the domain is this host's, its guest does not run"
    "import.filled" "a volume is made and filled, and not yet sealed"
    "import.copied" "the volumes stand, no definition names them"
    "kept.sent" "the other host has a snapshot of a volume that goes along, it has not what the volume holds now"
    "kept.taken" "a snapshot that came with a volume is taken, it is not written down"
    "move.recorded" "the record says that a disk of the running guest is on its way, its hypervisor knows nothing of it"
    "move.mirrored" "each write of the guest's goes to the new place too"
    "move.still" "the guest stands still, nothing says that the disk is at the new place"
    "move.noted" "the record says that the disk is at the new place, definitions do not"
    "move.defined" "the definitions say so too, the device stands on the old one"
    "move.handed-over" "the device stands on the new place, the guest still stands still"
    "move.switched" "definitions name the volume's new place, the old one is there"
    "move.deleted" "the volume is at its new place alone, and is still held"
    "network-start.locked" "the network's lock is taken, what an earlier start left is undone"
    "network-start.done" "all that the plugin asked for is done, the record does not say up"
    "network-start.recorded" "the network is up, and its record says so"
    "network-stop.unrecorded" "the record is gone, nothing is undone"
    "network-stop.undone" "all is undone"
    "plugin.stored" "a plugin's bytes are stored, nothing names them"
    "plugin.loaded" "it was compiled and seen to load, nothing names it"
    "plugin.announced" "its record says which version comes, and what policy is to say with it; the old one runs"
    "plugin.agreed" "policy says so, the record still names the old version"
    "plugin.switched" "the record names the new version"
    "policy.aside" "the new policy is on disk, under a name that is none"
    "policy.named" "it has its name, which a power cut may take from it again"
    "policy.synced" "policy is changed for good, the command that did it does not know"
    "rename.announced" "the folder, still under the old name, says that it is about to have another"
    "rename.folder" "the folder has the new name, its files say the old one"
    "rename.definition" "the definition says the new name, the record the old one"
    "restore.defined" "the domain is defined as the file says, its guest is not there"
    "restore.prepared" "what the guest is to go on with lies in the domain's folder, no supervisor is started"
    "restore.received" "the hypervisor has the state, the record says that the domain is starting"
    "restore.recorded" "the record says running, the guest is not let go"
    "restore.taken" "the supervisor has taken it from there"
    "save.recorded" "the record says that the domain is being saved, nothing else is done"
    "save.begun" "the partial file is begun, the guest runs"
    "save.paused" "the guest stands still"
    "save.written" "the partial file is whole and synced, the guest stands still"
    "save.named" "the file has its name, the guest still stands there"
    "serve.listening" "the socket of a served disk is there, nobody serves at it"
    "serve.started" "a sandbox serves the disk, the hypervisor does not know it"
    "serve.attached" "the hypervisor has the served disk"
    "snapshot.begun" "what the snapshot is to be is written down, no disk has it"
    "snapshot.deleting" "what is to be deleted is written down, every disk has it"
    "snapshot.made" "every disk has the snapshot, what was written down of it is still there"
    "snapshot.reverting" "what is to be gone back to is written down, every disk is as it was"
    "snapshot.volume" "one of the disks has the snapshot, which is written down and not final"
    "start.locked" "the domain's lock is taken, nothing is written"
    "start.recorded" "the record says starting, nothing else is done"
    "start.leased" "its volumes are leased"
    "start.attached" "a volume is attached"
    "start.plugged" "a card's network is up, and the card has a place on it"
    "start.tapped" "the taps are made"
    "start.prepared" "what the hypervisor will be handed is open"
    "start.spawned" "the hypervisor runs, nobody has spoken to it"
    "start.connected" "the hypervisor was greeted, the record says starting"
    "start.running" "the record says running, the guest is not let go"
    "start.let-go" "the guest runs, the command that asked for it does not know"
    "stop.asked" "the supervisor was asked, the guest runs"
    "stop.quit" "the hypervisor is gone, the record says running"
    "stop.recorded" "the record says stopping, nothing is undone"
    "stop.undone" "all is undone, the record says stopping"
    "stop.off" "the record says off, whoever asked does not know"
    "take.staging" "another host wants to hand a domain over, nothing is made ready"
    "take.copied" "the volumes that go along are here, no hypervisor is"
    "take.staged" "all is attached and nothing is active, the other host does not know"
    "take.received" "all of the guest is here, the other host does not know"
    "take.arrived" "the guest has come so far that it can go on, most of its memory is still to come"
    "take.running" "its guest was let go, the other host does not know"
    "volume-rename.held" "the volume to be renamed is held and fenced, its plugin is not asked"
    "volume-rename.renamed" "the volume has its new name, definitions say the old one"
    "volume-rename.switched" "definitions say the volume's new name, it is still held"
    "uplink.noted" "what the uplink has is written down, nothing is moved"
    "uplink.armed" "a guard watches, nothing is moved"
    "uplink.clients-stopped" "the uplink's DHCP clients are ended"
    "uplink.port" "the uplink is in the bridge, its addresses are not"
    "uplink.addresses" "the addresses are on the bridge, the routes are not"
    "uplink.routes" "all is moved, the DHCP clients do not run"
    "uplink.freed" "the uplink is out of the bridge, its addresses are not back"
    "uplink.given" "the uplink has its addresses back, not its routes"
}

/// Passes the point `name`.
///
/// # Errors
/// Where a test armed it so.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn point(_name: &'static str) -> crate::error::Result<()> {
    Ok(())
}

#[cfg(feature = "faults")]
pub use armed::point;

#[cfg(feature = "faults")]
mod armed {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::POINTS;
    use crate::error::{Failure, Result};

    /// Longer than every deadline that a test waits for.
    const HANG: Duration = Duration::from_secs(60);

    static PASSED: AtomicU32 = AtomicU32::new(0);

    pub fn point(name: &'static str) -> Result<()> {
        assert!(POINTS.iter().any(|point| point.name == name), "the fault point {name} is not in the registry");
        let Ok(armed) = std::env::var("FIEF_FAULT") else { return Ok(()) };
        let mut words = armed.split(':');
        if words.next() != Some(name) {
            return Ok(());
        }
        let how = words.next().unwrap_or("fail");
        let which: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
        if PASSED.fetch_add(1, Ordering::Relaxed) + 1 != which {
            return Ok(());
        }
        if let Some(path) = std::env::var_os("FIEF_FAULT_REACHED") {
            let _ = std::fs::write(path, format!("{name} {}", std::process::id()));
        }
        match how {
            "kill" => {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                Ok(())
            }
            "stop" => {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
                Ok(())
            }
            "hang" => {
                std::thread::sleep(HANG);
                Ok(())
            }
            _ => Err(Failure::other(format!("a test made it fail at {name}"))),
        }
    }
}
