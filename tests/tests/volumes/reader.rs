//! Volumes that go to standard output.

use fief_tests::terminal::Terminal;

use super::*;

/// To a program: whole, or as far as it reads; and nothing is left where it lay meanwhile.
#[test]
fn a_volume_goes_to_standard_output_for_whoever_reads_it() {
    let (host, files) = (Host::new(), Files::new());
    let disk = files.disk("disk.img");
    host.fief(&["volume", "import", &disk.to_string_lossy(), "default/raw"]);
    host.fief(&["volume", "import", &disk.to_string_lossy(), "default/cow", "--volume-format", "qcow2"]);
    std::fs::create_dir(files.path("meanwhile")).expect("a folder");
    let before = host.census();
    let export = |volume: &str, format: &str| {
        let mut export = host.command(&["volume", "export", volume, "-", "--format", format]);
        export.env("TMPDIR", files.path("meanwhile")).stderr(Stdio::piped());
        export
    };
    // A slow one tells how far it is.
    let quiet = |said: &std::process::Output| !String::from_utf8_lossy(&said.stderr).contains("error");
    for (volume, format, opened) in
        [("raw", "raw", "raw"), ("cow", "raw", "raw"), ("raw", "qcow2", "qcow2"), ("cow", "vmdk", "vmdk")]
    {
        let out = std::fs::File::create(files.path("out")).expect("a file");
        let said = export(&format!("default/{volume}"), format).stdout(out).output().expect("fief");
        assert!(said.status.success() && quiet(&said), "{volume} as {format}: {said:?}");
        let compare = ["qemu-img", "compare", "--image-opts", &options(&disk, "raw")];
        qemu(&compare, Path::new(&options(&files.path("out"), opened)));
    }
    for volume in ["default/raw", "default/cow"] {
        let mut child = export(volume, "raw").stdout(Stdio::piped()).spawn().expect("fief");
        let mut read = [0; 4096];
        std::io::Read::read_exact(&mut child.stdout.take().expect("a pipe"), &mut read).expect("the first bytes");
        assert_eq!(read, [0x5a; 4096]);
        let said = child.wait_with_output().expect("fief");
        assert!(said.status.success() && quiet(&said), "{said:?}");
    }
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
    let said = export("default/raw", "raw").stdout(full).output().expect("fief");
    assert_eq!(said.status.code(), Some(12), "{said:?}");
    let left = std::fs::read_dir(files.path("meanwhile")).expect("the folder").count();
    assert_eq!((left, host.census() == before), (0, true));
    let mut screen = Terminal::start(host.command(&["volume", "export", "default/raw", "-"]));
    screen.shows("is a terminal", Duration::from_secs(60));
    assert_eq!(screen.ends(Duration::from_secs(60)).code(), Some(USAGE));
    host.fief(&["volume", "delete", "default/raw", "default/cow", "--yes"]);
    host.finish();
}
