//! Keys of guest files that have no counterpart, and what to do instead (xmdomain.cfg(5), xl.cfg(5)).

/// Why a key does not carry over; none where fief does not know it.
pub(super) fn why(key: &str) -> Option<&'static str> {
    Some(match key {
        "cpus" | "cpus_soft" | "vcpu_avail" | "cpuid" | "cpu_weight" | "cpu_cap" | "cap" | "weight" | "pool"
        | "cpu_weights" => "processors are not pinned or weighed; the host's scheduler shares them out",
        "vnclisten" | "vncdisplay" | "vncunused" | "vncpasswd" | "vncpassword" | "vncviewer" | "vncconsole" => {
            "the screen is on a private socket, without a port or a password: `fief view NAME`"
        }
        "opengl"
        | "display"
        | "xauthority"
        | "nographic"
        | "gfx_passthru"
        | "spice"
        | "spicehost"
        | "spiceport"
        | "spicetls_port"
        | "spicepasswd"
        | "spicedisable_ticketing"
        | "vga"
        | "stdvga"
        | "videoram" => "the screen is a plain one, seen over VNC",
        "keymap" => "the viewer's own keyboard counts",
        "serial" | "monitor" | "console" | "channel" => {
            "every domain has one serial console (ttyS0): `fief console NAME`, `fief logs NAME`"
        }
        "usb" | "usbdevice" | "usbctrl" | "usbdev" => "there is no USB; the pointer is a PS/2 mouse",
        "soundhw" => "there is no sound",
        "pci" | "irq" | "ioports" | "iomem" | "dtdev" | "rdm" | "pci_msitranslate" | "pci_power_mgmt" => {
            "devices of the host are not handed to guests"
        }
        "localtime" | "rtc_timeoffset" => {
            "the clock is in UTC: let the guest take it so (Windows: RealTimeIsUniversal = 1)"
        }
        "acpi"
        | "apic"
        | "pae"
        | "hap"
        | "nx"
        | "hpet"
        | "timer_mode"
        | "tsc_mode"
        | "vpt_align"
        | "viridian"
        | "nestedhvm"
        | "xen_platform_pci"
        | "xen_extended_power_mgmt"
        | "acpi_s3"
        | "acpi_s4"
        | "acpi_firmware"
        | "smbios_firmware"
        | "mmio_hole"
        | "altp2m"
        | "altp2mhvm"
        | "hdtype"
        | "features"
        | "ms_vm_genid"
        | "max_grant_frames"
        | "max_maptrack_frames"
        | "nomigrate"
        | "vuart" => "a domain is one kind of machine (QEMU's q35), with what that has",
        "device_model"
        | "device_model_version"
        | "device_model_override"
        | "device_model_args"
        | "device_model_args_pv"
        | "device_model_args_hvm"
        | "device_model_stubdomain_override"
        | "device_model_user"
        | "guest_os_type"
        | "e820_host" => "fief runs QEMU by itself; none of its options are handed on",
        "shadow_memory" | "shadow_mode" | "claim_mode" | "numa_placement" | "vnuma" => {
            "memory is the host's kernel's to manage"
        }
        "on_xend_start" => "fief set NAME --autostart starts a domain with the host",
        "on_xend_stop" => "host/systemd/fief@.service shuts domains down with the host",
        "on_watchdog" | "on_soft_reset" => "fief has no such event",
        "ip" | "netmask" | "gateway" | "hostname" | "dhcp" | "interface" | "nfs_server" | "nfs_root" => {
            "these went to the kernel's command line: the guest's own configuration, or DHCP, says them now"
        }
        "nics" => "the cards are those of vif",
        "seclabel" | "init_seclabel" | "device_model_seclabel" | "access_control" | "driver_domain" => {
            "QEMU runs confined, as a user of its own, without labels"
        }
        "vtpm" | "vscsi" | "p9" | "vkb" | "vdispl" | "vsnd" | "pvcalls" => "fief has no such device",
        _ => return None,
    })
}
