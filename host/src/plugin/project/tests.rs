use super::*;
use crate::error::Kind;
use crate::plugin::package;

const GOOD: &str = r#"language = "c"

[manifest]
schema = 1
id = "my-disks"
version = "0.1.0"
kind = "storage"
host-api = "0.1.0"
summary = "volumes"
settings = [{ key = "directory", type = "directory", required = true, doc = "where" }]

[[manifest.permissions]]
permission = "interface"
interface = "images"
reason = "makes them"
"#;

#[test]
fn a_project_says_its_language_and_what_its_manifest_will_say() {
    let project = Project::parse(GOOD.as_bytes(), "x.toml").unwrap();
    assert_eq!((project.language, project.manifest.id.as_str()), (Language::C, "my-disks"));
    assert_eq!((project.manifest.settings.len(), project.manifest.permissions.len()), (1, 1));
    for (from, to, said) in [
        ("\"c\"", "\"cobol\"", "x.toml:1:12: unknown variant `cobol`"),
        ("language", "langauge", "x.toml:1:1: unknown field `langauge`"),
        ("schema = 1", "schema = 7", "x.toml: in [manifest], its schema is 7"),
        ("kind = \"storage\"\n", "", "missing field `kind`"),
        ("reason", "because", "unknown field `because`"),
        ("my-disks", "../x", "x.toml:5:6: "),
        ("[manifest]", "[manifest", "project of a plugin"),
    ] {
        let failure = Project::parse(GOOD.replacen(from, to, 1).as_bytes(), "x.toml").unwrap_err();
        assert_eq!(failure.kind, Kind::Usage);
        assert!(failure.to_string().contains(said), "{failure} does not say {said:?}");
    }
}

#[test]
fn a_folder_is_a_project_where_it_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Project::read(folder.path()), Ok(None));
    std::fs::write(folder.path().join(FILE), GOOD).unwrap();
    assert!(Project::read(folder.path()).unwrap().is_some());
}

#[test]
fn what_a_compiler_made_gets_its_manifest_and_is_held_against_it() {
    let manifest = Project::parse(GOOD.as_bytes(), "x.toml").unwrap().manifest;
    let made = wat::parse_str(
        r#"(component (import "fief:storage/images@0.1.0" (instance))
            (instance $i) (export "fief:storage/backend@0.1.0" (instance $i)))"#,
    )
    .unwrap();
    let plugin = finish(&made, &manifest, "made").unwrap();
    assert_eq!(package::checked(&plugin, "made").unwrap().manifest, manifest);
    assert_eq!(plugin[..made.len()], made);
    let mut asks_less = manifest.clone();
    asks_less.permissions.clear();
    let signed = crate::plugin::signature::SigningKey::generate().unwrap().sign(&made);
    for (bytes, manifest, said) in [
        (&plugin[..], &manifest, "2 sections fief:manifest"),
        (&made, &asks_less, "which its manifest does not ask for"),
        (&signed, &manifest, "is signed"),
        (&wat::parse_str("(module)").unwrap(), &manifest, "does not export fief:storage/backend"),
        (b"\0asm\x01\0\0\0\x01", &manifest, "makes no component"),
        (b"nothing", &manifest, "not a WebAssembly component"),
    ] {
        let failure = finish(bytes, manifest, "made").unwrap_err();
        let told = format!("{failure} {:?}", failure.causes);
        assert!(failure.kind == Kind::Usage && told.contains(said), "{told} does not say {said:?}");
    }
}

#[test]
fn what_is_exported_of_no_package_is_left_out_and_all_else_stays() {
    let manifest = Project::parse(GOOD.as_bytes(), "x.toml").unwrap().manifest;
    let text = |stray: &str| {
        let parts = format!(
            r#"(component (import "fief:storage/images@0.1.0" (instance))
                (component $inner (instance $i) (export "inner" (instance $i)))
                (instance $i (instantiate $inner)) {stray}
                (export $j "fief:storage/backend@0.1.0" (instance $i)) (alias export $i "inner" (instance)))"#
        );
        wat::parse_str(parts).unwrap()
    };
    for stray in ["(export \"exports\" (instance $i))", "(export $k \"a\" (instance $i)) (export \"b\" (instance $i))"]
    {
        let plugin = finish(&text(stray), &manifest, "made").unwrap();
        let exports = package::checked(&plugin, "made").unwrap().exports;
        assert_eq!(exports, ["fief:storage/backend@0.1.0"]);
        let features = wasmparser::WasmFeatures::all();
        wasmparser::Validator::new_with_features(features).validate_all(&plugin).unwrap();
    }
}
