//! One client.

use tokio::io::{AsyncRead, AsyncWrite};

use crate::handle::Shared;
use crate::{Device, Export, Limits};

/// No word of the protocol is spoken yet.
pub(crate) async fn serve<D: Device>(
    _device: &D,
    _export: &Export,
    _limits: &Limits,
    _shared: &Shared,
    _stream: impl AsyncRead + AsyncWrite + Unpin,
) {
}
