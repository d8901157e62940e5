//! A project in another language than Rust: code, tests with a fake host, the interfaces, and the little that plugins stand on
//! beside what is made from them.

use std::path::PathBuf;

use super::{EXAMPLE_ID, Kind, SDK};
use crate::plugin::project;
use crate::types::PluginId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Other {
    C,
    JavaScript,
    Python,
}

impl Other {
    /// Of our own tree.
    const fn folder(self) -> &'static str {
        match self {
            Other::C => "sdk/c",
            Other::JavaScript => "sdk/javascript",
            Other::Python => "sdk/python",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Other::C => "C",
            Other::JavaScript => "JavaScript",
            Other::Python => "Python",
        }
    }

    /// How its tools come to be there.
    const fn tools(self) -> &'static str {
        match self {
            Other::C => "apt-get install clang lld make                    # once; what makes WebAssembly of it\n",
            Other::JavaScript => {
                "npm install                                       # once, with Node.js 20 or newer; what makes WebAssembly of it\n"
            }
            Other::Python => {
                "python3 -m venv ~/.fief-python                    # once, and the next line too: what makes WebAssembly of it\n\
                 ~/.fief-python/bin/pip install componentize-py==0.25.0\n\
                 export PATH=$PATH:$HOME/.fief-python/bin\n"
            }
        }
    }

    /// What is where, and what to know of it.
    const fn about(self) -> &'static str {
        match self {
            Other::C => {
                "| `src` | the code; each `.c` is compiled |\n\
                 | `build/bindings/plugin.h` | the interfaces in C, made from `wit` |\n\
                 | `fief` | texts, settings, errors, and the little of C's library that there is; `fief/fief.h` says what |\n\n\
                 A function that fails fills in the error and gives `false` (`fief_fail`). An instance lives for one call, so nothing has to be\n\
                 freed. Functions that are `async` in the interfaces are plain ones here, which wait."
            }
            Other::JavaScript => {
                "| `src/app.js` | what the plugin gives, by the names of its interfaces; `src/plugin.js` is the code |\n\
                 | `fief` | settings and errors: `fief/fief.js` |\n\n\
                 A function that fails throws (`error`); one of the host's that fails throws what `told` makes an error of. Names are in camel case,\n\
                 numbers of 64 bits are `BigInt`. The tool knows no interface with `async` functions (`connections`, `files`, `block`). There is no\n\
                 WASI: no clock, no random numbers, no `fetch`. The engine makes a plugin of 12 MB, which takes some seconds to install and a\n\
                 moment more in each call."
            }
            Other::Python => {
                "| `src/app.py` | the classes of what the plugin gives; what else lies in `src` may be imported |\n\
                 | `build/bindings` | the interfaces in Python, made from `wit` |\n\
                 | `fief` | settings, errors, the log: `fief/fief.py` |\n\n\
                 A function that fails raises (`error`). Modules are imported when the plugin is built, and never again: what is random, a time or\n\
                 an environment then is the same in each call. There is no WASI: files, sockets and clocks of Python's own trap. The interpreter\n\
                 makes a plugin of 18 MB, which takes some ten seconds to install and a moment more in each call."
            }
        }
    }
}

/// All of the project, by place in its folder. Pure.
pub(super) fn files(name: &PluginId, kind: Kind, language: Other) -> Vec<(PathBuf, String)> {
    let mut files = vec![
        (".gitignore".into(), format!("/{}\n/node_modules\n", project::BUILT)),
        ("README.md".into(), readme(name, kind, language)),
    ];
    for (path, text) in SDK {
        if let Some(place) = place(path, kind, language) {
            files.push((place, text.replace(EXAMPLE_ID, name.as_str())));
        }
    }
    files
}

/// Where a part of our own tree lies in a project of that kind; nowhere, where it is none of it.
fn place(path: &str, kind: Kind, language: Other) -> Option<PathBuf> {
    let (folder, file) = path.rsplit_once('/')?;
    if let Some(package) = folder.strip_prefix("wit/") {
        return ["types", kind.name()].contains(&package).then(|| format!("wit/deps/fief-{package}/{file}").into());
    }
    let inside = path.strip_prefix(language.folder())?.strip_prefix('/')?;
    let place = match inside.split_once('/') {
        None => file.to_owned(),
        Some(("fief", _)) => inside.to_owned(),
        Some((of, _)) if of == kind.name() => match file {
            "plugin.c" | "app.py" | "app.js" | "plugin.js" => format!("src/{file}"),
            "plugin.wit" => "wit/plugin.wit".to_owned(),
            project::FILE => file.to_owned(),
            test => format!("test/{test}"),
        },
        Some(_) => return None,
    };
    Some(place.into())
}

fn readme(name: &PluginId, kind: Kind, language: Other) -> String {
    let (grant, trial, test) = (kind.grant(name), kind.trial(name), kind.test(name));
    let (of_kind, in_language, tools, about) = (kind.name(), language.name(), language.tools(), language.about());
    format!(
        "# {name}\n\nA plugin of the kind {of_kind} for fief, in {in_language}.\n\n\
         ```sh\n\
         {tools}\
         fief plugin build                                 # the plugin: build/{name}.wasm\n\
         make test                                         # the code, natively, with the fake host in test/\n\
         fief plugin show .                                # what it wants, as those see it who install it\n\
         fief plugin install .\n\
         ```\n\n\
         {test}Before it may do anything, you have to say so (the lines are in `policy.toml` then):\n\n\
         ```sh\n{grant}\n{trial}\n```\n\n\
         | file | what |\n\
         | --- | --- |\n\
         | `fief-plugin.toml` | the manifest: id, version, settings, what it asks for |\n\
         | `wit/plugin.wit` | what it is given (`import`) and gives (`export`); more of the host's interfaces are a line more |\n\
         | `wit/deps/fief-{of_kind}` | the interfaces, which are their own manual |\n\
         {about}\n\n\
         `fief` and `wit/deps` are fief's: a newer fief brings newer ones.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::project::{Language, Project};

    fn all() -> impl Iterator<Item = (Kind, Other)> {
        let kinds = [Kind::Storage, Kind::Network, Kind::Migration];
        kinds.into_iter().flat_map(|kind| [(kind, Other::C), (kind, Other::JavaScript), (kind, Other::Python)])
    }

    #[test]
    fn a_project_has_all_that_it_needs_and_nothing_of_other_kinds() {
        for (kind, other) in all() {
            let files = files(&"acme-disks".parse().unwrap(), kind, other);
            let text = |path: &str| files.iter().find(|(found, _)| found.to_str() == Some(path)).map(|(_, text)| text);
            let project = Project::parse(text(project::FILE).unwrap().as_bytes(), "x").unwrap();
            let (language, of_language) = match other {
                Other::C => (Language::C, ["src/plugin.c", "test/test.c", "fief/fief.h", "fief/libc/string.h"]),
                Other::JavaScript => {
                    (Language::JavaScript, ["src/app.js", "src/plugin.js", "test/plugin.test.js", "fief/build.mjs"])
                }
                Other::Python => {
                    (Language::Python, ["src/app.py", "test/test_app.py", "fief/fief.py", "fief/native.py"])
                }
            };
            assert_eq!((project.language, project.manifest.id.as_str()), (language, "acme-disks"));
            assert_eq!(project.manifest.kind.name(), kind.name());
            for path in [&of_language[..], &["wit/plugin.wit", "Makefile", "README.md"]].concat() {
                assert!(text(path).is_some_and(|text| !text.contains(EXAMPLE_ID)), "{path}");
            }
            let interfaces: Vec<&str> =
                files.iter().filter_map(|(path, _)| path.to_str()?.strip_prefix("wit/deps/fief-")).collect();
            let own = format!("{0}/{0}.wit", kind.name());
            assert!(interfaces.len() == 2 && interfaces.contains(&own.as_str()), "{interfaces:?}");
        }
    }

    #[test]
    fn the_interfaces_of_each_kind_become_bindings() {
        for kind in [Kind::Storage, Kind::Network, Kind::Migration] {
            let folder = tempfile::tempdir().unwrap();
            super::super::write(folder.path(), &files(&"acme".parse().unwrap(), kind, Other::C)).unwrap();
            let made = project::c_bindings(&folder.path().join(project::WIT)).unwrap();
            let names: Vec<&str> = made.iter().filter_map(|(path, _)| path.to_str()).collect();
            assert_eq!(names, ["plugin.c", "plugin.h", "plugin_component_type.o"]);
            std::fs::write(
                folder.path().join("wit/plugin.wit"),
                "package a:b;\nworld plugin { import nothing:here/at-all; }",
            )
            .unwrap();
            let failure = project::c_bindings(&folder.path().join(project::WIT)).unwrap_err();
            assert!(failure.causes.iter().any(|cause| cause.contains("nothing:here")), "{failure:?}");
        }
    }
}
