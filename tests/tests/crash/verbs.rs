//! The verbs that are cut off: what each needs to be there before, the command itself, and what it is to come to.

use super::bench::Bench;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    Delete,
    Rename,
    Start,
    /// The same, the domain's disk being served by its plugin.
    StartServed,
    Stop,
    Save,
    Restore,
    NetworkStart,
    NetworkStop,
    VolumeCreate,
    VolumeDelete,
    VolumeImport,
    VolumeExport,
    VolumeMove,
    VolumeMoveRunning,
    VolumeRename,
    Clone,
    CloneRunning,
    SnapshotCreate,
    SnapshotDelete,
    SnapshotRevert,
    Import,
    Attach,
    Detach,
}

/// A domain with a disk that keeps snapshots; it is off.
const SNAPPED: [&[&str]; 2] = [
    &["volume", "create", "default/extra", "--size", "1MiB"],
    &["create", "node2", "--memory", "32MiB", "--disk", "default/extra"],
];

/// Where the work of a verb is done, and so what is to be cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The command, and the supervisor where it starts one.
    Command,
    /// The supervisor that was there before.
    Supervisor,
}

impl Verb {
    pub const ALL: [Verb; 25] = [
        Verb::Create,
        Verb::Delete,
        Verb::Rename,
        Verb::Start,
        Verb::StartServed,
        Verb::Stop,
        Verb::Save,
        Verb::Restore,
        Verb::NetworkStart,
        Verb::NetworkStop,
        Verb::VolumeCreate,
        Verb::VolumeDelete,
        Verb::VolumeImport,
        Verb::VolumeExport,
        Verb::VolumeMove,
        Verb::VolumeMoveRunning,
        Verb::VolumeRename,
        Verb::Clone,
        Verb::CloneRunning,
        Verb::SnapshotCreate,
        Verb::SnapshotDelete,
        Verb::SnapshotRevert,
        Verb::Import,
        Verb::Attach,
        Verb::Detach,
    ];

    /// The verbs on whose way a fault point lies, by the word before its dot; none where nobody has said so yet.
    pub fn that_pass(point: &str) -> &'static [Verb] {
        match point {
            "gate.intended" | "gate.acted" => {
                &[Verb::Start, Verb::NetworkStart, Verb::VolumeCreate, Verb::VolumeExport, Verb::VolumeRename]
            }
            "gate.undone" => &[Verb::Stop, Verb::NetworkStop],
            "gate.sealed" => &[Verb::VolumeCreate, Verb::VolumeDelete, Verb::VolumeExport, Verb::VolumeRename],
            "fence.numbered" | "fence.taken" => &[Verb::Start],
            "clone.recorded" | "clone.mirrored" | "clone.still" => &[Verb::CloneRunning],
            "move.recorded" | "move.mirrored" | "move.still" | "move.noted" | "move.defined" | "move.handed-over" => {
                &[Verb::VolumeMoveRunning]
            }
            "snapshot.deleting" => &[Verb::SnapshotDelete],
            "snapshot.reverting" => &[Verb::SnapshotRevert],
            _ => match point.split('.').next().unwrap_or_default() {
                "create" => &[Verb::Create],
                "delete" => &[Verb::Delete],
                "rename" => &[Verb::Rename],
                "start" => &[Verb::Start],
                "serve" => &[Verb::StartServed],
                "stop" => &[Verb::Stop],
                "save" => &[Verb::Save],
                "restore" => &[Verb::Restore],
                "import" => &[Verb::Import],
                "fill" => &[Verb::VolumeImport, Verb::VolumeMove],
                "move" => &[Verb::VolumeMove],
                "export" => &[Verb::VolumeExport],
                "volume-rename" => &[Verb::VolumeRename],
                "attach" => &[Verb::Attach],
                "detach" => &[Verb::Detach],
                "clone" => &[Verb::Clone],
                "snapshot" => &[Verb::SnapshotCreate],
                "network-start" => &[Verb::NetworkStart],
                "network-stop" => &[Verb::NetworkStop],
                _ => &[],
            },
        }
    }

    pub fn place(self) -> Place {
        match self {
            Verb::Stop | Verb::Save | Verb::CloneRunning | Verb::VolumeMoveRunning | Verb::Attach | Verb::Detach => {
                Place::Supervisor
            }
            Verb::Create
            | Verb::Delete
            | Verb::Rename
            | Verb::Start
            | Verb::StartServed
            | Verb::Restore
            | Verb::NetworkStart
            | Verb::NetworkStop
            | Verb::VolumeCreate
            | Verb::VolumeDelete
            | Verb::VolumeImport
            | Verb::VolumeExport
            | Verb::VolumeMove
            | Verb::VolumeRename
            | Verb::Clone
            | Verb::SnapshotCreate
            | Verb::SnapshotDelete
            | Verb::SnapshotRevert
            | Verb::Import => Place::Command,
        }
    }

    pub fn words(self, bench: &Bench) -> Vec<String> {
        let (state, guest) = (bench.state_file(), bench.guest_file());
        let (disk, out) = (bench.disk(), bench.out_file());
        let words: &[&str] = match self {
            Verb::Create => &["create", "node2", "--memory", "32MiB"],
            Verb::Delete => &["delete", "node2", "--yes"],
            Verb::Rename => &["rename", "node2", "node3"],
            Verb::Start | Verb::StartServed => &["start", "node1"],
            Verb::Stop => &["stop", "node1"],
            Verb::Save => &["save", "node1", &state],
            Verb::Restore => &["restore", &state],
            Verb::NetworkStart => &["network", "start", "lab"],
            Verb::NetworkStop => &["network", "stop", "lab"],
            Verb::VolumeCreate => &["volume", "create", "default/extra", "--size", "1MiB"],
            Verb::VolumeDelete => &["volume", "delete", "default/extra", "--yes"],
            Verb::VolumeImport => &["volume", "import", &disk, "default/extra", "--format", "raw"],
            Verb::VolumeExport => &["volume", "export", "default/node1", &out],
            Verb::VolumeMove => &["volume", "move", "default/extra", "default/moved"],
            Verb::VolumeRename => &["volume", "rename", "default/extra", "moved"],
            Verb::VolumeMoveRunning => &["volume", "move", "default/node1", "default/moved"],
            Verb::Clone | Verb::CloneRunning => &["clone", "node1", "node4"],
            Verb::Attach => &["attach", "disk", "node1", "default/extra"],
            // A disc: the guest need not agree to its going.
            Verb::Detach => &["detach", "cdrom", "node1"],
            Verb::Import => &["import", &guest, "--name", "node5"],
            Verb::SnapshotCreate => &["snapshot", "create", "node2", "kept"],
            Verb::SnapshotDelete => &["snapshot", "delete", "node2", "kept", "--yes"],
            Verb::SnapshotRevert => &["snapshot", "revert", "node2", "kept", "--yes"],
        };
        words.iter().map(|&word| word.to_owned()).collect()
    }

    /// From a host on which nothing runs; `armed` goes into the environment of the supervisor.
    pub fn prepare(self, bench: &mut Bench, armed: &[(String, String)]) {
        match self {
            Verb::Create
            | Verb::Start
            | Verb::NetworkStart
            | Verb::VolumeCreate
            | Verb::VolumeImport
            | Verb::VolumeExport
            | Verb::Clone
            | Verb::Import => {}
            Verb::StartServed => bench.serve(true),
            Verb::SnapshotCreate | Verb::VolumeMove | Verb::VolumeRename => {
                SNAPPED.into_iter().for_each(|words| bench.fief(words))
            }
            Verb::SnapshotDelete | Verb::SnapshotRevert => {
                SNAPPED.into_iter().for_each(|words| bench.fief(words));
                bench.fief(&["snapshot", "create", "node2", "kept"]);
            }
            Verb::Delete | Verb::Rename => bench.fief(&["create", "node2", "--memory", "32MiB"]),
            Verb::Stop | Verb::Save | Verb::CloneRunning | Verb::VolumeMoveRunning => bench.start(armed),
            Verb::Attach => {
                bench.fief(&["volume", "create", "default/extra", "--size", "1MiB"]);
                bench.start(armed);
            }
            Verb::Detach => {
                bench.fief(&["volume", "create", "default/extra", "--size", "1MiB"]);
                bench.fief(&["attach", "cdrom", "node1", "default/extra"]);
                bench.start(armed);
            }
            Verb::Restore => {
                bench.start(armed);
                let state = bench.state_file();
                bench.fief(&["save", "node1", &state]);
                bench.fief(&["network", "stop", "lab"]);
            }
            Verb::NetworkStop => bench.fief(&["network", "start", "lab"]),
            Verb::VolumeDelete => bench.fief(&["volume", "create", "default/extra", "--size", "1MiB"]),
        }
    }

    /// Whether it has come about, so that the same command again would have nothing to be about.
    pub fn is_over(self, bench: &Bench) -> bool {
        let domain = |name: &str| bench.host.root().join("domains").join(name).exists();
        match self {
            Verb::Create => domain("node2"),
            Verb::Delete => !domain("node2"),
            Verb::Rename => domain("node3"),
            Verb::Save => bench.host.root().join("node1.state").exists(),
            Verb::Restore => bench.host.state("node1") == "running",
            Verb::VolumeCreate | Verb::VolumeImport => bench.has_extra(),
            Verb::VolumeExport => std::path::Path::new(&bench.out_file()).exists(),
            Verb::VolumeDelete => !bench.has_extra(),
            Verb::VolumeMove | Verb::VolumeRename => bench.has_moved(),
            Verb::VolumeMoveRunning => bench.system_has_moved(),
            Verb::Clone | Verb::CloneRunning => domain("node4"),
            Verb::Import => domain("node5"),
            Verb::Attach => bench.has("disk"),
            Verb::Detach => !bench.has("cdrom"),
            Verb::SnapshotCreate => bench.has_snapshot(),
            Verb::SnapshotDelete => !bench.has_snapshot(),
            // These may be said again and again.
            Verb::SnapshotRevert
            | Verb::Start
            | Verb::StartServed
            | Verb::Stop
            | Verb::NetworkStart
            | Verb::NetworkStop => false,
        }
    }

    /// Asserts that it has come about.
    #[track_caller]
    pub fn came_about(self, bench: &mut Bench) {
        match self {
            Verb::Start | Verb::StartServed | Verb::Restore => {
                assert_eq!(bench.host.state("node1"), "running");
                assert_eq!(bench.host.sandbox("node1", 0).is_some(), self == Verb::StartServed, "{self:?}");
                bench.witness.goes_on(2);
                bench.witness.is_heard(1);
            }
            Verb::Stop => assert_eq!(bench.host.state("node1"), "off"),
            Verb::Save => {
                assert_eq!(bench.host.state("node1"), "off");
                assert_eq!(bench.host.shown("node1")["last-end"]["reason"], "saved");
            }
            Verb::NetworkStart => assert_eq!(bench.network(), "up"),
            Verb::NetworkStop => assert_eq!(bench.network(), "down"),
            Verb::SnapshotRevert => assert!(bench.has_snapshot()),
            Verb::Create
            | Verb::Delete
            | Verb::Rename
            | Verb::VolumeCreate
            | Verb::VolumeDelete
            | Verb::VolumeImport
            | Verb::VolumeExport
            | Verb::VolumeMove
            | Verb::VolumeMoveRunning
            | Verb::VolumeRename
            | Verb::Clone
            | Verb::CloneRunning
            | Verb::SnapshotCreate
            | Verb::SnapshotDelete
            | Verb::Import
            | Verb::Attach
            | Verb::Detach => {
                assert!(self.is_over(bench), "{self:?} has not come about");
            }
        }
    }
}
