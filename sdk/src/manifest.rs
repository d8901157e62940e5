//! The manifest: what a plugin says of itself, written as constants and turned into JSON by the compiler.
//!
//! [`plugin!`](crate::plugin!) puts it into the custom section `fief:manifest`, where the host reads it without running
//! the plugin. A custom section of a core module stays with that module when the linker wraps it as a component, so the
//! host looks for it at every depth and takes exactly one.
//!
//! The schema is that of the host (`host/src/plugin/manifest.rs`); a test of this crate reads one with the other.

use crate::settings::Value;

/// Version of the schema.
const SCHEMA: u64 = 1;
/// Lowest host interface version that this SDK's bindings need.
const HOST_API: &str = "0.1.0";
/// Longest plugin id, in bytes (the host's `PluginId`).
const ID_MAX: usize = 64;

#[derive(Debug, Clone, Copy)]
pub struct Manifest {
    /// Letters, digits, `-` and `_`; at most 64 bytes.
    pub id: &'static str,
    /// Semantic version 2.0.0.
    pub version: &'static str,
    pub kind: Kind,
    /// One line: what it does.
    pub summary: &'static str,
    pub settings: &'static [SettingSchema],
    pub permissions: &'static [Permission],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Storage,
    Network,
    Migration,
}

#[derive(Debug, Clone, Copy)]
pub struct SettingSchema {
    /// As the field is called; underscores become hyphens in the key.
    pub field: &'static str,
    pub kind: SettingKind,
    pub default: Option<&'static str>,
    pub required: bool,
    pub doc: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    String,
    Integer,
    Boolean,
    /// `20GiB`
    Size,
    /// IPv4
    Address,
    Cidr,
    /// The name of a directory grant.
    Directory,
    /// The name of a secret.
    Secret,
}

/// Something that the plugin wants, with the reason that the operator reads before granting it.
#[derive(Debug, Clone, Copy)]
pub enum Permission {
    Interface { interface: Interface, reason: &'static str },
    Directory { access: Access, reason: &'static str },
    Connect { name: &'static str, to: &'static str, reason: &'static str },
    Secret { name: &'static str, reason: &'static str },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    Images,
    Bridges,
    Session,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

impl Permission {
    /// The functions of a host interface. Those of connections, secrets and files need no line of their own.
    pub const fn interface(interface: Interface, reason: &'static str) -> Self {
        Permission::Interface { interface, reason }
    }
    /// Directories that the operator grants, up to this access, through `std::fs` and [`files`](crate::files). Read-only
    /// is enough for a plugin that changes images through [`images`](crate::images) alone.
    pub const fn directory(access: Access, reason: &'static str) -> Self {
        Permission::Directory { access, reason }
    }
    /// The [`connections`](crate::connections) that the plugin opens by `name`, to `HOST:PORT`; either part may name a
    /// setting in braces: `{server}:{port}`.
    pub const fn connect(name: &'static str, to: &'static str, reason: &'static str) -> Self {
        Permission::Connect { name, to, reason }
    }
    /// The bytes of a secret, through [`secrets`](crate::secrets); a setting in braces stands for the secret that it names:
    /// `{password}`.
    pub const fn secret(name: &'static str, reason: &'static str) -> Self {
        Permission::Secret { name, reason }
    }
    const fn reason(&self) -> &'static str {
        match self {
            Permission::Interface { reason, .. }
            | Permission::Directory { reason, .. }
            | Permission::Connect { reason, .. }
            | Permission::Secret { reason, .. } => reason,
        }
    }
}

impl SettingSchema {
    /// A setting of type `T`: required where `T` is not optional and there is no default.
    pub const fn new<T: Value>(field: &'static str, default: Option<&'static str>, doc: &'static str) -> Self {
        SettingSchema { field, kind: T::KIND, default, required: !T::OPTIONAL && default.is_none(), doc }
    }
}

impl Manifest {
    /// Stops the compiler where the declaration is wrong.
    pub const fn checked(self) -> Self {
        let id = self.id.as_bytes();
        assert!(!id.is_empty() && id.len() <= ID_MAX, "a plugin's id has 1 to 64 bytes");
        assert!(id[0].is_ascii_alphanumeric(), "a plugin's id starts with a letter or a digit");
        let mut i = 0;
        while i < id.len() {
            let good = id[i].is_ascii_alphanumeric() || id[i] == b'-' || id[i] == b'_';
            assert!(good, "a plugin's id holds letters, digits, '-' and '_' only");
            i += 1;
        }
        assert!(is_version(self.version), "a plugin's version is MAJOR.MINOR.PATCH (semantic version 2.0.0)");
        assert!(!blank(self.summary), "a plugin says in one line what it does");
        let mut i = 0;
        while i < self.permissions.len() {
            assert!(!blank(self.permissions[i].reason()), "every permission has a reason that an operator can judge");
            i += 1;
        }
        let mut i = 0;
        while i < self.settings.len() {
            assert!(!blank(self.settings[i].doc), "every setting has a comment that says what it is for");
            i += 1;
        }
        self
    }

    /// Length of the JSON text, in bytes.
    pub const fn json_length(&self) -> usize {
        self.encode(Text::<0>::new()).length
    }

    /// The JSON text; `LENGTH` is [`Manifest::json_length`].
    pub const fn json<const LENGTH: usize>(&self) -> [u8; LENGTH] {
        self.encode(Text::<LENGTH>::new()).bytes
    }

    const fn encode<const N: usize>(&self, text: Text<N>) -> Text<N> {
        let kind = match self.kind {
            Kind::Storage => "storage",
            Kind::Network => "network",
            Kind::Migration => "migration",
        };
        let mut text = text
            .raw("{\"schema\":")
            .number(SCHEMA)
            .member(",\"id\":", self.id)
            .member(",\"version\":", self.version)
            .member(",\"kind\":", kind)
            .member(",\"host-api\":", HOST_API)
            .member(",\"summary\":", self.summary)
            .raw(",\"settings\":[");
        let mut i = 0;
        while i < self.settings.len() {
            text = self.settings[i].encode(if i == 0 { text } else { text.raw(",") });
            i += 1;
        }
        text = text.raw("],\"permissions\":[");
        let mut i = 0;
        while i < self.permissions.len() {
            text = self.permissions[i].encode(if i == 0 { text } else { text.raw(",") });
            i += 1;
        }
        text.raw("]}")
    }
}

impl SettingSchema {
    const fn encode<const N: usize>(&self, text: Text<N>) -> Text<N> {
        let kind = match self.kind {
            SettingKind::String => "string",
            SettingKind::Integer => "integer",
            SettingKind::Boolean => "boolean",
            SettingKind::Size => "size",
            SettingKind::Address => "address",
            SettingKind::Cidr => "cidr",
            SettingKind::Directory => "directory",
            SettingKind::Secret => "secret",
        };
        let text = text.raw("{\"key\":\"").key(self.field).raw("\"").member(",\"type\":", kind);
        let text = match self.default {
            Some(default) => text.member(",\"default\":", default),
            None => text,
        };
        let required = if self.required { ",\"required\":true" } else { ",\"required\":false" };
        text.raw(required).member(",\"doc\":", self.doc.trim_ascii()).raw("}")
    }
}

impl Permission {
    const fn encode<const N: usize>(&self, text: Text<N>) -> Text<N> {
        let text = match self {
            Permission::Interface { interface, .. } => text.raw("{\"permission\":\"interface\"").member(
                ",\"interface\":",
                match interface {
                    Interface::Images => "images",
                    Interface::Bridges => "bridges",
                    Interface::Session => "session",
                },
            ),
            Permission::Directory { access, .. } => text.raw("{\"permission\":\"directory\"").member(
                ",\"access\":",
                match access {
                    Access::ReadOnly => "read-only",
                    Access::ReadWrite => "read-write",
                },
            ),
            Permission::Connect { name, to, .. } => {
                text.raw("{\"permission\":\"connect\"").member(",\"name\":", name).member(",\"to\":", to)
            }
            Permission::Secret { name, .. } => text.raw("{\"permission\":\"secret\"").member(",\"name\":", name),
        };
        text.member(",\"reason\":", self.reason()).raw("}")
    }
}

/// A text that grows at compile time: counts always, keeps as many bytes as there is room for.
struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Text<N> {
    const fn new() -> Self {
        Text { bytes: [0; N], length: 0 }
    }
    const fn byte(mut self, byte: u8) -> Self {
        if self.length < N {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
        self
    }
    const fn raw(mut self, text: &str) -> Self {
        let mut i = 0;
        while i < text.len() {
            self = self.byte(text.as_bytes()[i]);
            i += 1;
        }
        self
    }
    const fn number(self, number: u64) -> Self {
        let high = if number >= 10 { self.number(number / 10) } else { self };
        high.byte(b'0' + (number % 10) as u8)
    }
    const fn key(mut self, field: &str) -> Self {
        let mut i = 0;
        while i < field.len() {
            let byte = field.as_bytes()[i];
            self = self.byte(if byte == b'_' { b'-' } else { byte });
            i += 1;
        }
        self
    }
    /// `name` with its punctuation, then `value` as a JSON string (RFC 8259, section 7).
    const fn member(mut self, name: &str, value: &str) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self = self.raw(name).byte(b'"');
        let mut i = 0;
        while i < value.len() {
            let byte = value.as_bytes()[i];
            self = match byte {
                b'"' | b'\\' => self.byte(b'\\').byte(byte),
                0..0x20 => self.raw("\\u00").byte(HEX[(byte >> 4) as usize]).byte(HEX[(byte & 15) as usize]),
                _ => self.byte(byte),
            };
            i += 1;
        }
        self.byte(b'"')
    }
}

const fn blank(text: &str) -> bool {
    text.trim_ascii().is_empty()
}

/// Three numbers joined by dots, then perhaps `-…` or `+…`.
const fn is_version(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut i, mut dots, mut digits) = (0, 0, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'0'..=b'9' => digits += 1,
            b'.' if digits > 0 && dots < 2 => {
                dots += 1;
                digits = 0;
            }
            b'-' | b'+' => break,
            _ => return false,
        }
        i += 1;
    }
    dots == 2 && digits > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: Manifest = Manifest {
        id: "storage-file",
        version: "0.1.0",
        kind: Kind::Storage,
        summary: "volumes as \"files\"\n\\ über alles",
        settings: &[
            SettingSchema::new::<String>("a_key", Some("x"), " What it is."),
            SettingSchema::new::<Option<u32>>("b", None, "B."),
        ],
        permissions: &[
            Permission::interface(Interface::Images, "makes images"),
            Permission::directory(Access::ReadOnly, "lists them"),
            Permission::connect("server", "{a-key}:{b}", "reaches it"),
            Permission::secret("key", "opens it"),
        ],
    }
    .checked();

    #[test]
    fn the_hosts_own_reader_takes_every_kind_of_entry() {
        const LENGTH: usize = EXAMPLE.json_length();
        let json = EXAMPLE.json::<LENGTH>();
        let read: fief::plugin::Manifest = serde_json::from_slice(&json).unwrap();
        assert_eq!((read.id.as_str(), read.version.as_str(), read.schema), ("storage-file", "0.1.0", 1));
        assert_eq!(read.summary, EXAMPLE.summary);
        assert_eq!(read.settings[0].key, "a-key");
        assert_eq!(read.settings[0].doc, "What it is.");
        assert_eq!((read.settings[0].required, read.settings[1].required), (false, false));
        assert_eq!(read.permissions.len(), 4);
    }

    #[test]
    fn versions_have_three_numbers() {
        for good in ["0.1.0", "10.20.30", "1.0.0-rc.1", "1.0.0+build"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "1", "1.0", "1.0.", "1..0", "1.0.0.0", "v1.0.0", "1.0.x"] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
