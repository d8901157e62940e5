//! QEMU, 7.2 (Debian 12) to 10.
pub mod probe {
    pub fn choose(
        _g: &crate::gate::Gate,
        _w: crate::config::domain::Accelerator,
    ) -> crate::error::Result<(crate::hypervisor::ChosenAccelerator, Option<String>)> {
        Err(crate::error::Failure::other("x"))
    }
}
pub fn prepare(
    _l: super::Launch,
    _f: &std::path::Path,
    _h: &crate::config::policy::HostSettings,
) -> crate::error::Result<super::Prepared> {
    Err(crate::error::Failure::other("x"))
}
pub struct Monitor;
impl Monitor {
    pub async fn connect(
        _f: &std::path::Path,
    ) -> crate::error::Result<(Monitor, tokio::sync::mpsc::Receiver<super::Event>)> {
        Err(crate::error::Failure::other("x"))
    }
    pub async fn cont(&mut self) -> crate::error::Result<()> {
        Ok(())
    }
    pub async fn stop(&mut self) -> crate::error::Result<()> {
        Ok(())
    }
    pub async fn quit(&mut self) -> crate::error::Result<()> {
        Ok(())
    }
    pub async fn system_powerdown(&mut self) -> crate::error::Result<()> {
        Ok(())
    }
    pub async fn add_vnc_client(&mut self, _fd: std::os::fd::OwnedFd) -> crate::error::Result<()> {
        Ok(())
    }
}
