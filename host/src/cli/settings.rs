//! Definitions of pools and networks from the command line: `--kind KIND --set KEY=VALUE`, or a file.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Context, Failure, Result};

/// Longest definition that is read, in bytes: a thousand times what anyone writes by hand.
const DEFINITION_MAX: u64 = 1 << 20;

/// What `create` takes in place of a file. The name stands beside it.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// Kind; policy says which plugin serves it
    #[arg(long, required_unless_present = "file", value_name = "KIND")]
    pub kind: Option<String>,
    /// A setting of the plugin's; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Read the definition from this TOML file ('-' is standard input)
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["kind", "set", "name"])]
    pub file: Option<PathBuf>,
}

impl Source {
    /// # Errors
    /// `Usage` where a key is set twice.
    pub(super) fn settings(&self) -> Result<BTreeMap<String, String>> {
        let mut settings = BTreeMap::new();
        for (key, value) in &self.set {
            if settings.insert(key.clone(), value.clone()).is_some() {
                return Err(Failure::usage(format!("the setting {key} is given twice"))
                    .hint(format!("keep one --set {key}=VALUE")));
            }
        }
        Ok(settings)
    }
}

pub(super) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("a setting is written KEY=VALUE".to_owned()),
    }
}

/// The bytes of a definition, and what to call their source in an error.
///
/// # Errors
/// `NotFound` for an absent file; `Usage` where it is a directory or larger than a definition can be.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, String)> {
    if path == Path::new("-") {
        let bytes = take(std::io::stdin().lock(), "standard input")?;
        return Ok((bytes, "standard input".to_owned()));
    }
    let from = path.display().to_string();
    let found = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::not_found(format!("there is no file {from}")).because(error).hint("check the path after -f")
        }
        _ => Failure::other(format!("cannot read {from}")).because(error).hint("check the path after -f"),
    })?;
    if found.is_dir() {
        return Err(
            Failure::usage(format!("{from} is a directory, not a definition")).hint("give a TOML file after -f")
        );
    }
    let file = std::fs::File::open(path)
        .context(|| format!("cannot read {from}"))
        .map_err(|failure| failure.hint("check who may read the file"))?;
    Ok((take(file, &from)?, from))
}

fn take(from: impl Read, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(DEFINITION_MAX + 1).read_to_end(&mut bytes).context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > DEFINITION_MAX {
        return Err(Failure::usage(format!("{name} is longer than a definition can be (1 MiB)"))
            .hint("give the TOML file of one pool, network or domain"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_setting_is_a_key_and_a_value() {
        assert_eq!(setting("address=10.0.0.1/24"), Ok(("address".to_owned(), "10.0.0.1/24".to_owned())));
        assert_eq!(setting("empty="), Ok(("empty".to_owned(), String::new())));
        assert_eq!(setting("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(setting("address").is_err());
        assert!(setting("=x").is_err());
    }

    #[test]
    fn a_key_that_is_set_twice_is_refused() {
        let source = Source { kind: None, set: vec![("a".into(), "1".into()), ("a".into(), "2".into())], file: None };
        assert_eq!(source.settings().unwrap_err().kind, Kind::Usage);
    }

    #[test]
    fn a_definition_that_cannot_be_one_is_refused() {
        assert_eq!(read(Path::new("/nonexistent.toml")).unwrap_err().kind, Kind::NotFound);
        assert_eq!(read(Path::new("/")).unwrap_err().kind, Kind::Usage);
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().kind, Kind::Usage);
    }
}
