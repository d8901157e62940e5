//! Settings: what an operator may write for a pool or a network of this plugin, declared as a struct.
//!
//! ```
//! fief_sdk::settings! {
//!     /// How this plugin is set up.
//!     pub struct Settings {
//!         /// The directory grant that holds the volumes.
//!         directory: fief_sdk::Directory,
//!         /// Seconds that a lease lasts.
//!         lease_seconds: u32 = "3600",
//!         /// DNS suffix of the guests.
//!         domain: Option<String>,
//!     }
//! }
//! ```
//! The field `lease_seconds` is the key `lease-seconds`, its comment is what `fief plugin show` prints beside it. A
//! field with no default is required unless it is an `Option`. The host checks what an operator wrote against this
//! schema before the plugin runs, so [`Settings::read`] fails only where a type of the plugin's own is stricter.

use std::net::Ipv4Addr;

use crate::address::Cidr;
pub use crate::bindings::host::fief::types::types::Setting;
use crate::error::{Error, Result};
use crate::manifest::{SettingKind, SettingSchema};

/// A struct made by [`settings!`](crate::settings!), or `()` for a plugin that has none.
pub trait Settings: Sized {
    const SCHEMA: &'static [SettingSchema];
    /// # Errors
    /// `invalid`, naming the key.
    fn read(written: &[Setting]) -> Result<Self>;
}

impl Settings for () {
    const SCHEMA: &'static [SettingSchema] = &[];
    fn read(_: &[Setting]) -> Result<Self> {
        Ok(())
    }
}

/// A type that a setting can have. Implement it for a type of your own with the kind that the host should check.
pub trait Value: Sized {
    const KIND: SettingKind;
    const OPTIONAL: bool = false;
    /// The error says what is wrong with the text and how to write it; the key is put in front of it.
    fn parse(text: &str) -> Result<Self, String>;
    /// What stands where nothing was written.
    fn absent() -> Option<Self> {
        None
    }
}

/// The name of a directory grant. The plugin finds the directory at [`Directory::path`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(String);

impl Directory {
    /// The grant's name, for the functions of [`images`](crate::images).
    pub fn name(&self) -> &str {
        &self.0
    }
    /// Where the sandbox sees it: `/NAME`. Natively, what a test granted.
    pub fn path(&self) -> std::path::PathBuf {
        #[cfg(not(target_family = "wasm"))]
        if let Some(granted) = crate::native::grants::directory(&self.0) {
            return granted;
        }
        std::path::Path::new("/").join(&self.0)
    }
}

/// The name of a secret that the host keeps; its bytes never come here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName(pub String);

/// A number of bytes, written with a unit: `512MiB`, `20G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Value for String {
    const KIND: SettingKind = SettingKind::String;
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}
impl Value for Directory {
    const KIND: SettingKind = SettingKind::Directory;
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "." | ".." => Err("a directory grant has a name".into()),
            path if path.contains('/') => {
                Err(format!("{path:?} is a path; write the name of a directory grant of policy.toml"))
            }
            name => Ok(Directory(name.to_owned())),
        }
    }
}
impl Value for SecretName {
    const KIND: SettingKind = SettingKind::Secret;
    fn parse(text: &str) -> Result<Self, String> {
        Ok(SecretName(text.to_owned()))
    }
}
impl Value for bool {
    const KIND: SettingKind = SettingKind::Boolean;
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
    }
}
impl Value for Ipv4Addr {
    const KIND: SettingKind = SettingKind::Address;
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is not an IPv4 address; write it as in 10.0.0.1"))
    }
}
impl Value for Cidr {
    const KIND: SettingKind = SettingKind::Cidr;
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }
}
impl Value for Size {
    const KIND: SettingKind = SettingKind::Size;
    fn parse(text: &str) -> Result<Self, String> {
        parse_size(text).map(Size).ok_or_else(|| format!("{text:?} is not a size; write it as in 512MiB or 20G"))
    }
}
impl<T: Value> Value for Option<T> {
    const KIND: SettingKind = T::KIND;
    const OPTIONAL: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        T::parse(text).map(Some)
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

macro_rules! integers {
    ($($integer:ty),+) => {$(
        impl Value for $integer {
            const KIND: SettingKind = SettingKind::Integer;
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| {
                    format!("{text:?} is not a whole number from {} to {}", <$integer>::MIN, <$integer>::MAX)
                })
            }
        }
    )+};
}
integers!(u8, u16, u32, u64, i64);

/// `K M G T P` and `KiB …` are powers of 1024, `KB …` of 1000, as everywhere in fief.
fn parse_size(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let unit = unit.trim().to_ascii_uppercase();
    let (letter, rest) = unit.split_at_checked(1)?;
    if letter == "B" && rest.is_empty() {
        return number.parse().ok();
    }
    let power = "KMGTP".find(letter)? as u32 + 1;
    let base: u64 = match rest {
        "" | "IB" => 1024,
        "B" => 1000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(base.pow(power)).filter(|bytes| *bytes <= i64::MAX as u64)
}

/// One setting out of what was written; what [`settings!`](crate::settings!) calls for each field.
///
/// # Errors
/// `invalid`: missing, or not of its type.
pub fn take<T: Value>(written: &[Setting], field: &str, default: Option<&str>) -> Result<T> {
    let key = field.replace('_', "-");
    let text = written.iter().find(|setting| setting.key == key).map(|setting| setting.value.as_str());
    match text.or(default) {
        Some(text) => T::parse(text).map_err(|reason| Error::invalid(format!("setting {key}: {reason}"))),
        None => T::absent().ok_or_else(|| Error::invalid(format!("setting {key} is missing"))),
    }
}

/// Declares a plugin's settings; see [the module](mod@crate::settings).
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])* $field:ident : $type:ty $(= $default:literal)?),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $vis struct $name {
            $($(#[doc = $doc])* pub $field: $type),*
        }
        impl $crate::settings::Settings for $name {
            const SCHEMA: &'static [$crate::manifest::SettingSchema] = &[
                $($crate::manifest::SettingSchema::new::<$type>(
                    ::std::stringify!($field),
                    $crate::__optional!($($default)?),
                    ::std::concat!($($doc),*),
                )),*
            ];
            fn read(written: &[$crate::settings::Setting]) -> $crate::Result<Self> {
                Ok($name {
                    $($field: $crate::settings::take(
                        written,
                        ::std::stringify!($field),
                        $crate::__optional!($($default)?),
                    )?),*
                })
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __optional {
    () => {
        ::std::option::Option::None
    };
    ($value:expr) => {
        ::std::option::Option::Some($value)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::settings! {
        /// For the tests below.
        struct Example {
            /// Where the volumes
            /// live.
            directory: Directory,
            /// Seconds.
            lease_seconds: u32 = "3600",
            /// A suffix.
            domain: Option<String>,
            /// How much.
            quota: Option<Size>,
        }
    }

    fn written(pairs: &[(&str, &str)]) -> Vec<Setting> {
        pairs.iter().map(|(key, value)| Setting { key: (*key).into(), value: (*value).into() }).collect()
    }

    #[test]
    fn settings_become_a_struct_with_defaults_filled_in() {
        let read = Example::read(&written(&[("directory", "images"), ("quota", "2GiB")])).unwrap();
        assert_eq!(read.directory.name(), "images");
        assert_eq!(read.directory.path(), std::path::Path::new("/images"));
        assert_eq!((read.lease_seconds, read.domain, read.quota), (3600, None, Some(Size(2 << 30))));
    }

    #[test]
    fn a_mistake_names_its_key_and_how_to_write_it() {
        let missing = Example::read(&[]).unwrap_err();
        assert_eq!(missing.message, "setting directory is missing");
        let wrong = Example::read(&written(&[("directory", "images"), ("lease-seconds", "-1")])).unwrap_err();
        assert!(wrong.message.starts_with("setting lease-seconds: \"-1\" is not a whole number"), "{}", wrong.message);
        let path = Example::read(&written(&[("directory", "/etc")])).unwrap_err();
        assert!(path.message.contains("name of a directory grant"), "{}", path.message);
    }

    #[test]
    fn the_schema_says_what_is_required() {
        let required: Vec<bool> = Example::SCHEMA.iter().map(|setting| setting.required).collect();
        assert_eq!(required, [true, false, false, false]);
        assert_eq!(Example::SCHEMA[1].default, Some("3600"));
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("20G", 20 << 30), ("1kb", 1000), ("7B", 7), ("3MiB", 3 << 20)] {
            assert_eq!(Size::parse(text).unwrap().0, bytes, "{text}");
        }
        for bad in ["", "12", "G", "1.5G", "1XB", "9000000P", "-1G", "1é"] {
            assert!(Size::parse(bad).is_err(), "{bad:?} was taken");
        }
    }
}
