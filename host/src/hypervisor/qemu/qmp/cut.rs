//! A disk that is taken from its machine whatever its storage and its guest do: the device stands on an empty disk from then
//! on, so that nothing reaches the volume any more, and the guest, which may stand still over a request that failed, can go
//! on and let go of the device.
//!
//! ```text
//!   yank: what waits for an answer fails ─▸ blockdev-add disk0-gone ─▸ the device's drive is that ─▸ blockdev-del of the rest
//! ```

use serde_json::json;

use super::{Monitor, RunState, command};
use crate::error::{Failure, Result};
use crate::hypervisor::qemu::arguments::{cut_node, disk_id, disk_of_node};

/// Clients of QEMU's own that nothing ends: QEMU itself would wait for their server, and its monitor with it.
const UNCUT: [&str; 2] = ["nfs", "iscsi"];

impl Monitor {
    /// Twice is once. `ran`: a guest that stands still over a failed request is let go on.
    ///
    /// # Errors
    /// `Conflict` where a client of QEMU's own speaks with the server: nothing was done then.
    pub async fn cut(&self, place: usize, ran: bool) -> Result<()> {
        let (top, size) = self.top_and_size(place).await?;
        let gone = cut_node(place);
        let ours = |name: &str| disk_of_node(name) == Some(place);
        if top != gone {
            let all = self.execute(&command::QueryNodes { flat: true }, None).await?;
            let uncut = |node: &&command::Node| UNCUT.contains(&node.drv.as_str());
            let named = |node: &&command::Node| node.node_name.as_deref().is_some_and(ours);
            if let Some(client) = all.iter().filter(named).find(uncut) {
                return Err(Failure::conflict(format!(
                    "QEMU's own {} client speaks with its server, and cannot be cut off from it",
                    client.drv
                ))
                .hint("detach it without --force, or stop the domain; transport = \"served\" has no such limit"));
            }
            self.yank(ours).await?;
            let node = json!({"driver": "null-co", "node-name": gone, "size": size, "read-zeroes": true});
            self.execute(&command::BlockdevAdd { node }, None).await?;
            let path = format!("/machine/peripheral/{}", disk_id(place));
            let set = command::QomSet { path, property: "drive", value: gone.clone() };
            if let Err(failure) = self.execute(&set, None).await {
                self.execute(&command::BlockdevDel { node_name: gone }, None).await?;
                return Err(failure);
            }
        }
        self.forget_nodes_where(|name| ours(name) && name != gone).await?;
        self.forget_sets(ours).await?;
        if ran && self.status().await? == RunState::IoError { self.resume().await } else { Ok(()) }
    }
}
