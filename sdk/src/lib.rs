//! Write fief plugins.
pub mod address;
#[doc(hidden)]
pub mod bindings;
pub mod error;
pub mod log;
pub mod manifest;
pub mod network;
mod plugin;
pub mod settings;
pub mod storage;

pub use address::Cidr;
pub use bindings::host::fief::network::bridges;
pub use bindings::host::fief::storage::{connections, images};
pub use error::{Error, ErrorCode, Result, Retry};
pub use manifest::{Access as DirectoryAccess, Interface, Permission};
pub use settings::{Directory, SecretName, Settings, Size};
