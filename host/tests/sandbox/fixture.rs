//! Small storage plugins written by hand, so that each does exactly what a test wants of it.

use std::path::PathBuf;
use std::sync::Arc;

use fief::config::policy::{HostInterface, Limits, PluginGrants, Policy};
use fief::error::Result;
use fief::gate::{Gate, Ledger, Mode};
use fief::layout::Layout;
use fief::plugin::source::{self, FetchOptions, Fetched, Source};
use fief::plugin::{Session, Subject, package};
use fief::sandbox::protocol::{Call, Return, StorageCall};
use fief::types::ByteSize;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub(crate) const MANIFEST: &str = r#"{"schema":1,"id":"puppet","version":"1.0.0","kind":"storage","host-api":"0.1.0",
    "summary":"Does what it is told.","settings":[],
    "permissions":[{"permission":"interface","interface":"images","reason":"Asks for images."}]}"#;

/// The core module behind every export of the `storage` world. Answers are read from zeroed memory at 1024, which is
/// "ok" with empty words for every function. `find` does what the first byte of the volume's name says.
pub(crate) fn module(manifest: &str, find: &str) -> String {
    let functions: String = [("all", 4), ("create", 9), ("delete", 6), ("resize", 7), ("attach", 7), ("detach", 6)]
        .iter()
        .map(|(name, params)| {
            let params = if *name == "create" {
                "i32 i32 i32 i32 i32 i32 i64 i32 i32".to_owned()
            } else if *name == "resize" {
                "i32 i32 i32 i32 i32 i32 i64".to_owned()
            } else {
                ["i32"; 9][..*params].join(" ")
            };
            format!(
                r#"(func (export "fief:storage/backend@0.1.0#{name}") (param {params}) (result i32) i32.const 1024)"#
            )
        })
        .collect();
    let manifest = manifest.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ");
    format!(
        r#"(module
        (import "fief:types/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
        (import "fief:storage/images@0.1.0" "inspect" (func $inspect (param i32 i32 i32 i32 i32)))
        (memory (export "memory") 4)
        (table $table 1 funcref)
        (global $next (mut i32) (i32.const 65536))
        (global $calls (mut i64) (i64.const 0))
        (data (i32.const 0) "images../../etc/shadow")
        {functions}
        (func (export "fief:storage/backend@0.1.0#info") (param i32 i32 i32 i32) (result i32) i32.const 1024)
        (func $find (export "fief:storage/backend@0.1.0#find") (param i32 i32 i32 i32 i32 i32) (result i32)
            (local $what i32)
            (local.set $what (i32.load8_u (local.get 4)))
            {find}
            i32.const 1024)
        (func $recurse (param i32) (result i32) (i32.add (call $recurse (local.get 0)) (i32.const 1)))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
            (global.get $next)
            (global.set $next (i32.add (global.get $next) (local.get 3))))
        (@custom "fief:manifest" "{manifest}")
        )"#
    )
}

/// `find` with one case for each letter.
pub(crate) fn cases(cases: &[(char, &str)]) -> String {
    cases
        .iter()
        .map(|(letter, body)| {
            format!("(if (i32.eq (local.get $what) (i32.const {})) (then {body}))", u32::from(*letter))
        })
        .collect()
}

pub(crate) fn component(module: &str) -> Vec<u8> {
    let wit = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"));
    let mut resolve = Resolve::default();
    resolve.push_path(wit.join("types")).unwrap();
    let (package, _) = resolve.push_path(wit.join("storage")).unwrap();
    let world = resolve.select_world(&[package], Some("storage")).unwrap();
    let mut bytes = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&bytes).unwrap().validate(true).encode().unwrap()
}

/// A root of its own, and a gate that grants the puppet what it asks for.
pub(crate) struct Host {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) gate: Gate,
}

impl Host {
    pub(crate) fn new(limits: Limits) -> Host {
        fief::plugin::process::use_executable(env!("CARGO_BIN_EXE_fief"));
        let folder = tempfile::tempdir().unwrap();
        let mut policy = Policy::default();
        let grants = PluginGrants { interfaces: vec![HostInterface::Images], limits, ..PluginGrants::default() };
        policy.plugins.insert("puppet".parse().unwrap(), grants);
        let gate = Gate::new(Layout::new(folder.path()), Arc::new(policy), Mode::Perform);
        Host { folder, gate }
    }

    /// A file with these bytes, as what an operator named.
    pub(crate) fn put(&self, bytes: &[u8]) -> Fetched {
        let path = self.folder.path().join("plugin.wasm");
        std::fs::write(&path, bytes).unwrap();
        source::fetch(&self.gate, &Source::Path(path), &FetchOptions::default()).unwrap()
    }

    /// Installs the puppet with `find` and starts it.
    pub(crate) fn puppet(&self, find: &str) -> Session {
        package::install(&self.gate, &self.put(&component(&module(MANIFEST, find)))).unwrap();
        Session::start(&self.gate, &"puppet".parse().unwrap()).unwrap()
    }
}

pub(crate) fn small() -> Limits {
    Limits {
        memory: ByteSize::from_mib(4),
        table_elements: 1_000,
        cpu: std::time::Duration::from_millis(200),
        wall: std::time::Duration::from_secs(5),
        host_call_bytes: ByteSize::from_mib(1),
        ..Limits::default()
    }
}

pub(crate) fn find(session: &mut Session, name: &str) -> Result<Return> {
    let call = Call::Storage {
        pool: "default".into(),
        settings: vec![("directory".into(), "images".into())],
        function: StorageCall::Find { name: name.into() },
    };
    session.call(&mut Ledger::volatile(), &Subject::Pool("default".parse().unwrap()), call)
}
