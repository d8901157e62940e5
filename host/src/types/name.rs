//! Names. Those of domains, pools, networks and plugins become file names, so they are held to a set of
//! characters that no file system, shell or terminal reads in a second way.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, text_serde};

/// Longest name of a domain, pool, network, grant or snapshot, in bytes: leaves room in a 255-byte file name.
const NAME_MAX: usize = 64;
/// Longest name of a volume, in bytes.
const VOLUME_NAME_MAX: usize = 128;
/// `IFNAMSIZ` less the closing NUL (linux/if.h).
const INTERFACE_NAME_MAX: usize = 15;
/// Longest relative path, in bytes.
const PATH_MAX: usize = 512;

fn check_name(text: &str, maximum: usize, extra: &[char]) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("a name may not be empty"));
    }
    if text.len() > maximum {
        return Err(Invalid::new(format!("the name is {} bytes long, at most {maximum} are allowed", text.len())));
    }
    let first = text.chars().next().unwrap_or('-');
    if !first.is_ascii_alphanumeric() {
        return Err(Invalid::new(format!("a name starts with a letter or a digit, not with {first:?}")));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || extra.contains(c))) {
        Some(bad) => Err(Invalid::new(format!(
            "{bad:?} may not stand in a name; letters, digits and {} may",
            extra.iter().map(|c| format!("'{c}'")).collect::<Vec<_>>().join(", ")
        ))),
        None => Ok(()),
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $maximum:expr, $extra:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                check_name(text, $maximum, $extra)?;
                Ok($name(text.to_owned()))
            }
        }
        impl AsRef<std::path::Path> for $name {
            fn as_ref(&self) -> &std::path::Path {
                std::path::Path::new(&self.0)
            }
        }
        text_serde!($name);
    };
}

name_type!(/** A domain (virtual machine). */ DomainName, NAME_MAX, &['-', '_', '.']);
name_type!(/** A pool of volumes. */ PoolName, NAME_MAX, &['-', '_', '.']);
name_type!(/** A network. */ NetworkName, NAME_MAX, &['-', '_', '.']);
name_type!(/** A volume within its pool. */ VolumeName, VOLUME_NAME_MAX, &['-', '_', '.', '+']);
impl VolumeName {
    /// Longest, in bytes.
    pub const MOST: usize = VOLUME_NAME_MAX;
}

name_type!(/** A snapshot within its volume. */ SnapshotName, NAME_MAX, &['-', '_', '.', ':']);
name_type!(/** A plugin, as its manifest names it. */ PluginId, NAME_MAX, &['-', '_']);
name_type!(/** Another host that this one trusts, as it is called here. */ PeerName, NAME_MAX, &['-', '_', '.']);
name_type!(/** A grant (directory, connection, secret) in policy. */ GrantName, NAME_MAX, &['-', '_', '.']);

/// A network interface: 1 to 15 bytes of letters, digits, `-`, `_` and `.`, not starting with `-` or `.`
/// (a strict part of what `dev_valid_name` in the Linux kernel takes).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

impl InterfaceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for InterfaceName {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_name(text, INTERFACE_NAME_MAX, &['-', '_', '.'])?;
        Ok(InterfaceName(text.to_owned()))
    }
}

/// A path below a granted directory: one or more plain components, no `.` or `..`, not absolute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePath(String);

impl RelativePath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl AsRef<std::path::Path> for RelativePath {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&self.0)
    }
}
impl FromStr for RelativePath {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() > PATH_MAX {
            return Err(Invalid::new(format!("the path is {} bytes long, at most {PATH_MAX} are allowed", text.len())));
        }
        if let Some(bad) = text.chars().find(|c| c.is_control() || *c == '\\') {
            return Err(Invalid::new(format!("{bad:?} may not stand in a path")));
        }
        for component in text.split('/') {
            match component {
                "" => return Err(Invalid::new("a path is relative, with no empty component")),
                "." | ".." => return Err(Invalid::new("a path may not hold '.' or '..'")),
                long if long.len() > 255 => {
                    return Err(Invalid::new("a component of the path is longer than 255 bytes"));
                }
                _ => {}
            }
        }
        Ok(RelativePath(text.to_owned()))
    }
}

/// `pool/volume`, as operators write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeRef {
    pub pool: PoolName,
    pub volume: VolumeName,
}

impl fmt::Display for VolumeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.volume)
    }
}
impl FromStr for VolumeRef {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (pool, volume) = text.split_once('/').ok_or_else(|| Invalid::new("a volume is written as POOL/VOLUME"))?;
        Ok(VolumeRef { pool: pool.parse()?, volume: volume.parse()? })
    }
}

text_serde!(InterfaceName, RelativePath, VolumeRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_shell_or_file_system_could_misread_are_refused() {
        for bad in ["", "-c", "..", ".hidden", "a/b", "a b", "a;rm", "naïve", "a\0b", "🙂", &"x".repeat(65)] {
            assert!(bad.parse::<DomainName>().is_err(), "{bad:?} was taken");
        }
        for good in ["node1", "web-01.example", "A_b"] {
            assert_eq!(good.parse::<DomainName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn interface_names_fit_the_kernel() {
        assert!("fief-0123456789".parse::<InterfaceName>().is_ok());
        for bad in ["fief-01234567890", "-c", "a;rm", "é", ""] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn relative_paths_stay_below() {
        for bad in ["", "/etc/shadow", "../x", "a/../b", "a//b", "a/", "./a", "a\0b", "a\nb"] {
            assert!(bad.parse::<RelativePath>().is_err(), "{bad:?} was taken");
        }
        assert!("vm/disk.qcow2".parse::<RelativePath>().is_ok());
    }

    #[test]
    fn a_volume_reference_has_two_parts() {
        let volume: VolumeRef = "default/node1".parse().unwrap();
        assert_eq!((volume.pool.as_str(), volume.volume.as_str()), ("default", "node1"));
        assert!("node1".parse::<VolumeRef>().is_err());
        assert!("a/b/c".parse::<VolumeRef>().is_err());
    }
}
