//! The wall between host and plugin, tried from both sides with real processes.

#![allow(clippy::unwrap_used)]

mod fixture;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fief::config::policy::Limits;
use fief::error::Kind;
use fief::plugin::package::Replace;
use fief::plugin::{Session, package, upgrade};
use fief::sandbox::protocol::Return;

use fixture::{Host, MANIFEST, cases, component, find, module, small};

fn status(pid: u32) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

#[test]
fn a_sandbox_seen_from_outside_holds_nothing() {
    let host = Host::new(Limits::default());
    let session = host.puppet("");
    let pid = session.process_id().unwrap();
    let status = status(pid);
    assert_eq!(status["Seccomp"], "2");
    assert_eq!(status["NoNewPrivs"], "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
    // A third one, which writes files, comes with a directory that may be written; this plugin has none.
    assert_eq!(status["Threads"], "2", "the call's thread and the ticker");

    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(environment.is_empty(), "the environment holds {} bytes", environment.len());
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    let mut descriptors: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap().to_string_lossy().into_owned())
        .map(|target| target.split_once(":[").map_or(target.clone(), |(kind, _)| kind.to_owned()))
        .collect();
    descriptors.sort();
    let compiled = descriptors.iter().filter(|target| target.ends_with(".cwasm")).count();
    descriptors.retain(|target| !target.ends_with(".cwasm"));
    assert!(compiled <= 1);
    assert_eq!(descriptors, ["/dev/null", "/dev/null", "/dev/null", "socket"]);

    if rustix::process::geteuid().is_root() {
        assert_eq!(status["CapBnd"], "0000000000000000");
        for id in ["Uid", "Gid"] {
            assert!(status[id].split_whitespace().all(|id| id != "0"), "{id}: {}", status[id]);
        }
        assert_eq!(status["Groups"], "");
        let namespace = |pid: &str, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        for kind in ["net", "ipc", "uts"] {
            assert_ne!(namespace(&pid.to_string(), kind), namespace("self", kind), "{kind}");
        }
        let links = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
        let links: Vec<&str> = links.lines().filter_map(|l| l.split_once(':')).map(|(name, _)| name.trim()).collect();
        assert_eq!(links, ["lo"]);
    }
}

#[test]
fn each_call_has_a_fresh_instance() {
    let host = Host::new(small());
    let mut session = host.puppet(&cases(&[(
        'c',
        "(global.set $calls (i64.add (global.get $calls) (i64.const 1))) (i64.store (i32.const 1040) (global.get $calls))",
    )]));
    for _ in 0..3 {
        let Return::Volume(volume) = find(&mut session, "count").unwrap() else { panic!("no volume") };
        assert_eq!(volume.size, 1);
    }
}

#[test]
fn what_goes_past_a_limit_ends_the_call_and_nothing_else() {
    let host = Host::new(small());
    let mut session = host.puppet(&cases(&[
        ('l', "(loop $again (br $again))"),
        ('m', "(loop $again (drop (memory.grow (i32.const 1))) (br $again))"),
        ('t', "(loop $again (drop (table.grow $table (ref.null func) (i32.const 100))) (br $again))"),
        ('s', "(drop (call $recurse (i32.const 0)))"),
        ('u', "unreachable"),
        ('o', "(drop (i32.load (i32.const -8)))"),
        // A volume whose name is said to be 1 GiB long, and one that lies outside memory.
        ('b', "(i32.store (i32.const 1032) (i32.const 0)) (i32.store (i32.const 1036) (i32.const 0x40000000))"),
        ('f', "(drop (memory.grow (i32.const 40))) (call $log (i32.const 2) (i32.const 0) (i32.const 0x200000) (i32.const 0) (i32.const 0))"),
    ]));
    for (name, cause) in [
        ("loop", "spent its processor time"),
        ("memory", "more memory than its limit"),
        ("table", "more table elements"),
        ("stack", "ran out of stack"),
        ("unreachable", "unreachable"),
        ("outside", "out of bounds"),
        ("big", "out of bounds"),
        ("flood", "more bytes in one call"),
    ] {
        let begun = Instant::now();
        let failure = find(&mut session, name).unwrap_err();
        assert_eq!(failure.kind, Kind::PluginFault, "{name}: {failure}");
        assert!(failure.to_string().contains(cause), "{name}: {failure}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{name} took {:?}", begun.elapsed());
        find(&mut session, "healthy").unwrap();
    }
}

#[test]
fn a_plugin_that_waits_for_ever_in_its_start_function_does_not_instantiate() {
    let host = Host::new(small());
    let bytes =
        module(MANIFEST, "").replace("(@custom", "(func $spin (loop $again (br $again))) (start $spin) (@custom");
    package::install(&host.gate, &host.put(&component(&bytes))).unwrap();
    let mut session = Session::start(&host.gate, &"puppet".parse().unwrap()).unwrap();
    let failure = find(&mut session, "any").unwrap_err();
    assert!(failure.to_string().contains("spent its processor time"), "{failure}");
}

#[test]
fn words_that_name_what_is_not_the_plugins_come_back_as_invalid() {
    let host = Host::new(small());
    // inspect("images", "../../etc/shadow"), then the error's discriminant as the volume's size.
    let mut session = host.puppet(&cases(&[(
        'p',
        "(call $inspect (i32.const 0) (i32.const 6) (i32.const 6) (i32.const 16) (i32.const 2048))
         (i64.store (i32.const 1040) (i64.or
            (i64.shl (i64.load8_u (i32.const 2048)) (i64.const 8)) (i64.load8_u (i32.const 2056))))",
    )]));
    let Return::Volume(volume) = find(&mut session, "path").unwrap() else { panic!("no volume") };
    // 1: an error; 4: `invalid`.
    assert_eq!(volume.size, 0x104);
}

#[test]
fn a_sandbox_that_was_killed_is_replaced_at_the_next_call() {
    let host = Host::new(small());
    let mut session = host.puppet("");
    let pid = session.process_id().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid as i32).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    // The first thread can be gone before the others are, and only then has the process ended.
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    while status(pid)["State"].as_str() != "Z (zombie)" || threads() > 1 {
        assert!(Instant::now() < deadline, "{pid} lives on");
        std::thread::yield_now();
    }
    find(&mut session, "healthy").unwrap();
    assert_ne!(session.process_id().unwrap(), pid);
}

#[test]
fn no_process_is_left_when_a_session_is_dropped() {
    let host = Host::new(small());
    let session = host.puppet("");
    let pid = session.process_id().unwrap();
    drop(session);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn installing_again_changes_nothing_and_other_bytes_come_only_in_its_place() {
    let host = Host::new(small());
    let layout = host.gate.layout();
    let id = "puppet".parse().unwrap();
    let first = package::install(&host.gate, &host.put(&component(&module(MANIFEST, "")))).unwrap();
    let record = layout.plugin(&id).join("plugin.json");
    let written = std::fs::metadata(&record).unwrap().modified().unwrap();
    assert_eq!(package::install(&host.gate, &host.put(&component(&module(MANIFEST, "")))).unwrap(), first);
    assert_eq!(std::fs::metadata(&record).unwrap().modified().unwrap(), written);

    let other = host.put(&component(&module(MANIFEST, "unreachable")));
    assert_eq!(package::install(&host.gate, &other).unwrap_err().kind, Kind::Conflict);
    let second = package::inspect(&other).unwrap();
    package::install_all(&host.gate, &[(second.clone(), &other.bytes)], Replace::Yes).unwrap();
    assert_ne!(second.digest, first.digest);
    assert_eq!(package::all(layout).unwrap(), std::slice::from_ref(&second));
    // The one before is kept, and comes back; one more takes its place.
    let compiled = || std::fs::read_dir(layout.cache()).unwrap().count();
    package::tidy(layout, &[]).unwrap();
    assert!(layout.store(first.digest).exists() && compiled() == 2);
    assert_eq!(upgrade::roll_back(&host.gate, &id, &[], || Ok(())).unwrap(), first);
    assert_eq!(upgrade::previous(&host.gate, &id).unwrap(), (first.clone(), second.clone()));
    let third = host.put(&component(&module(MANIFEST, "nop")));
    let third = (package::inspect(&third).unwrap(), third.bytes);
    package::install_all(&host.gate, &[(third.0, &third.1)], Replace::Yes).unwrap();
    // What a domain keeps to stays as long as it does.
    package::tidy(layout, &[second.digest]).unwrap();
    assert!(layout.store(first.digest).exists() && layout.store(second.digest).exists() && compiled() == 3);
    package::tidy(layout, &[]).unwrap();
    assert!(layout.store(first.digest).exists() && !layout.store(second.digest).exists() && compiled() == 2);

    package::remove(layout, &id, || Ok(())).unwrap();
    package::remove(layout, &id, || Ok(())).unwrap();
    package::tidy(layout, &[]).unwrap();
    assert_eq!(package::installed(layout, &id).unwrap_err().kind, Kind::NotFound);
    assert_eq!(compiled(), 0);
}

#[test]
fn a_plugin_that_does_not_validate_is_not_installed() {
    let host = Host::new(small());
    let good = component(&module(MANIFEST, ""));
    // An unknown opcode in place of the `i32.const 1024` with which functions end.
    let code = [0x41, 0x80, 0x08, 0x0b];
    let at = good.windows(4).position(|bytes| bytes == code).unwrap();
    let mut bad = good.clone();
    bad[at] = 0xff;
    let failure = package::install(&host.gate, &host.put(&bad)).unwrap_err();
    assert_eq!(failure.kind, Kind::PluginFault, "{failure}");
    assert!(failure.to_string().contains("does not compile"), "{failure}");
    assert!(package::all(host.gate.layout()).unwrap().is_empty());
    assert_eq!(std::fs::read_dir(host.gate.layout().cache()).unwrap().count(), 0);
}

#[test]
fn changed_bytes_and_a_cache_that_others_can_write_are_not_loaded() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new(small());
    let layout = host.gate.layout();
    let id = "puppet".parse().unwrap();
    let installed = package::install(&host.gate, &host.put(&component(&module(MANIFEST, "")))).unwrap();
    let cached = std::fs::read_dir(layout.cache()).unwrap().next().unwrap().unwrap().path();

    // Compiled by another engine, as far as this one can tell: it is compiled anew.
    std::fs::set_permissions(&cached, PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&cached, b"\x7fELF of another engine").unwrap();
    find(&mut Session::start(&host.gate, &id).unwrap(), "healthy").unwrap();

    std::fs::set_permissions(&cached, PermissionsExt::from_mode(0o666)).unwrap();
    assert_eq!(Session::start(&host.gate, &id).unwrap_err().kind, Kind::Denied);
    std::fs::remove_file(&cached).unwrap();

    let stored = layout.store(installed.digest);
    let mut bytes = std::fs::read(&stored).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&stored, bytes).unwrap();
    let failure = Session::start(&host.gate, &id).unwrap_err();
    assert_eq!(failure.kind, Kind::Denied, "{failure}");
    assert!(failure.to_string().contains("changed after its installation"), "{failure}");
}

#[test]
fn a_plugin_without_its_grants_or_with_another_digest_does_not_start() {
    let host = Host::new(small());
    package::install(&host.gate, &host.put(&component(&module(MANIFEST, "")))).unwrap();
    let id: fief::types::PluginId = "puppet".parse().unwrap();
    let with = |change: &dyn Fn(&mut fief::config::policy::Policy)| {
        let mut policy = host.gate.policy().clone();
        change(&mut policy);
        let gate = fief::gate::Gate::new(host.gate.layout().clone(), policy.into(), host.gate.mode());
        Session::start(&gate, &id).unwrap_err()
    };
    let failure = with(&|policy| policy.plugins.clear());
    assert_eq!(failure.kind, Kind::Denied);
    assert!(failure.to_string().contains("the host interface images"), "{failure}");
    let failure = with(&|policy| {
        policy.plugins.get_mut(&id).unwrap().digest = Some(fief::types::Digest::of(b"other"));
    });
    assert!(failure.to_string().contains("pins other bytes"), "{failure}");
}
