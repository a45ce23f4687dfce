//! The command line of a [`Vm`].
//!
//! Everything has its place written out (PCI slot, MMIO transport), so that the guest finds NICs in
//! the order in which they are described, whatever else is on the bus.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::backend::{Backend, Nic, Role};
use crate::vm::{Accel, Boot, Machine, Vm};

/// PCI slots: 0 is the host bridge, 1 the ISA bridge of pc, 0x1f that of q35.
const FIRST_NIC_SLOT: usize = 2;
const FIRST_CONSOLE_SLOT: usize = 0x1b;
const DISK_SLOT: usize = 0x1e;
const DATABASE_SLOT: usize = 0x1d;
/// By this serial the image knows the disk that is its own to write.
const DATABASE_SERIAL: &str = "uniswitch-db";
/// Transports of microvm are given out from the last down, as QEMU itself does it when asked for no
/// place: so the guest's order is ours. The lowest are for consoles.
const FIRST_NIC_TRANSPORT: usize = 23;
const FIRST_CONSOLE_TRANSPORT: usize = 1;
/// The largest receive ring that QEMU offers; its default of 256 loses bursts.
const RING_SIZE: u16 = 1024;

impl Vm {
    /// Program and arguments.
    pub fn command(&self) -> Vec<OsString> {
        let mut line = Line(vec![self.qemu.clone().into_os_string()]);
        line.arg("-name", &self.name);
        for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
            line.0.push(flag.into());
        }
        line.arg("-display", "none");
        self.machine(&mut line);
        line.arg("-serial", "stdio");
        self.boot(&mut line);
        if let Some(seed) = &self.seed {
            line.with_path("-fw_cfg", "name=opt/uniswitch/config,file=", seed, "");
        }
        if let Some(file) = &self.database_seed {
            line.with_path("-fw_cfg", "name=opt/uniswitch/database,file=", file, "");
        }
        if let Some(qmp) = &self.qmp {
            line.with_path("-chardev", "socket,id=qmp,server=on,wait=off,path=", qmp, "");
            line.arg("-mon", "chardev=qmp,mode=control");
        }
        for (i, console) in self.consoles.iter().enumerate() {
            self.console(&mut line, i, console);
        }
        for (i, nic) in self.nics.iter().enumerate() {
            self.nic(&mut line, i, nic);
        }
        if let Some(database) = &self.database {
            self.database(&mut line, database);
        }
        if let Some(drive) = &self.config_drive {
            self.config_drive(&mut line, drive);
        }
        line.0.extend(self.extra.iter().map(OsString::from));
        line.0
    }

    fn machine(&self, line: &mut Line) {
        let mut machine = self.machine.name().to_owned();
        if self.nics.iter().any(|nic| nic.backend.needs_shared_memory()) {
            machine += ",memory-backend=mem";
            line.arg(
                "-object",
                format!("memory-backend-memfd,id=mem,size={}M,share=on", self.memory_mib),
            );
        }
        line.arg("-machine", machine);
        line.arg("-accel", self.accel.name());
        let best = match self.accel {
            Accel::Kvm => "host",
            Accel::Tcg => "max",
        };
        line.arg("-cpu", self.cpu.as_deref().unwrap_or(best));
        line.arg("-smp", self.smp.to_string());
        line.arg("-m", format!("{}M", self.memory_mib));
        if self.machine == Machine::Microvm {
            line.arg("-global", "virtio-mmio.force-legacy=false");
        }
    }

    fn boot(&self, line: &mut Line) {
        match &self.boot {
            Boot::Kernel { path, cmdline } => {
                line.arg("-kernel", path);
                if !cmdline.is_empty() {
                    line.arg("-append", cmdline);
                }
            }
            Boot::Disk { path, format } => {
                let drive = format!("if=none,id=boot,snapshot=on,format={},file=", format.name());
                line.with_path("-drive", &drive, path, "");
                line.arg(
                    "-device",
                    format!("virtio-blk-pci,drive=boot,bootindex=0,addr={DISK_SLOT:#x}"),
                );
            }
        }
    }

    fn console(&self, line: &mut Line, i: usize, path: &Path) {
        let place = match self.machine {
            Machine::Microvm => {
                format!("device,bus=virtio-mmio-bus.{}", FIRST_CONSOLE_TRANSPORT - i)
            }
            _ => format!("pci,disable-legacy=on,addr={:#x}", FIRST_CONSOLE_SLOT + i),
        };
        line.with_path("-chardev", &format!("socket,id=ctl{i},server=on,wait=off,path="), path, "");
        line.arg("-device", format!("virtio-serial-{place},id=serial{i},max_ports=1"));
        line.arg("-device", format!("virtconsole,bus=serial{i}.0,chardev=ctl{i}"));
    }

    fn database(&self, line: &mut Line, path: &Path) {
        line.with_path("-drive", "if=none,id=db,format=raw,file=", path, "");
        let place = match self.machine {
            // Behind the NICs.
            Machine::Microvm => {
                format!("device,bus=virtio-mmio-bus.{}", FIRST_NIC_TRANSPORT - self.nics.len())
            }
            _ => format!("pci,disable-legacy=on,addr={DATABASE_SLOT:#x}"),
        };
        line.arg("-device", format!("virtio-blk-{place},drive=db,serial={DATABASE_SERIAL}"));
    }

    fn config_drive(&self, line: &mut Line, path: &Path) {
        line.with_path("-drive", "if=none,id=config,format=raw,readonly=on,file=", path, "");
        // Behind the NICs.
        let n_nics = self.nics.len();
        let place = match self.machine {
            Machine::Microvm => {
                let transport = FIRST_NIC_TRANSPORT - n_nics - usize::from(self.database.is_some());
                format!("device,bus=virtio-mmio-bus.{transport}")
            }
            _ => format!("pci,disable-legacy=on,addr={:#x}", FIRST_NIC_SLOT + n_nics),
        };
        line.arg("-device", format!("virtio-blk-{place},drive=config"));
    }

    fn nic(&self, line: &mut Line, i: usize, nic: &Nic) {
        self.netdev(line, nic);
        let place = match self.machine {
            Machine::Microvm => format!("device,bus=virtio-mmio-bus.{}", FIRST_NIC_TRANSPORT - i),
            // Network boot is nobody's wish here, and its ROM is in a package that may be missing.
            _ => format!("pci,disable-legacy=on,romfile=,addr={:#x}", FIRST_NIC_SLOT + i),
        };
        let mut device = format!(
            "virtio-net-{place},netdev={id},id={id}-nic,mac={mac},mrg_rxbuf=on,rx_queue_size={RING_SIZE}",
            id = nic.id,
            mac = nic.mac,
        );
        if let Backend::VhostUser { .. } = nic.backend {
            device += &format!(",tx_queue_size={RING_SIZE}");
        }
        if nic.n_queue_pairs > 1 {
            device += ",mq=on";
            if self.machine != Machine::Microvm {
                // A vector per queue, one for the control queue, one for changes of configuration.
                device += &format!(",vectors={}", 2 * nic.n_queue_pairs + 2);
            }
        }
        if nic.is_packed {
            device += ",packed=on";
        }
        if let Some(mtu) = nic.mtu {
            device += &format!(",host_mtu={mtu}");
        }
        line.arg("-device", device);
    }

    fn netdev(&self, line: &mut Line, nic: &Nic) {
        let id = &nic.id;
        let queues = match nic.n_queue_pairs {
            1 => String::new(),
            n => format!(",queues={n}"),
        };
        match &nic.backend {
            Backend::User { forwards } => {
                let forwards = forwards
                    .iter()
                    .map(|f| format!(",hostfwd=tcp:{}:{}-:{}", f.address, f.host, f.guest));
                line.arg("-netdev", format!("user,id={id}{}", forwards.collect::<String>()));
            }
            Backend::Tap { ifname } => line.arg(
                "-netdev",
                format!("tap,id={id},ifname={ifname},script=no,downscript=no{queues}"),
            ),
            Backend::Dgram { local, remote } => {
                let mut value =
                    OsString::from(format!("dgram,id={id},local.type=unix,local.path="));
                value.push(escaped(local));
                value.push(",remote.type=unix,remote.path=");
                value.push(escaped(remote));
                line.arg("-netdev", value);
            }
            Backend::Stream { path, role } => {
                let (server, again) = match role {
                    Role::Server => ("on", String::new()),
                    Role::Client => ("off", self.version.reconnect_of_stream()),
                };
                let kind =
                    format!("stream,id={id},server={server}{again},addr.type=unix,addr.path=");
                line.with_path("-netdev", &kind, path, "");
            }
            Backend::VhostUser { path, role } => {
                let role = match role {
                    Role::Server => "server=on".to_owned(),
                    Role::Client => self.version.reconnect_of_socket().to_owned(),
                };
                line.with_path("-chardev", &format!("socket,id={id}-chr,{role},path="), path, "");
                line.arg("-netdev", format!("vhost-user,id={id},chardev={id}-chr{queues}"));
            }
        }
    }
}

struct Line(Vec<OsString>);

impl Line {
    fn arg(&mut self, option: &str, value: impl AsRef<OsStr>) {
        self.0.push(option.into());
        self.0.push(value.as_ref().into());
    }

    fn with_path(&mut self, option: &str, before: &str, path: &Path, after: &str) {
        let mut value = OsString::from(before);
        value.push(escaped(path));
        value.push(after);
        self.arg(option, value);
    }
}

/// QEMU ends a value at a comma; a doubled one stands for itself.
fn escaped(path: &Path) -> OsString {
    match path.to_str() {
        Some(text) => text.replace(',', ",,").into(),
        None => path.into(),
    }
}

/// A command as a shell would take it, for people to copy.
pub fn shell_quoted(command: &[OsString]) -> String {
    let quoted = command.iter().map(|word| {
        let word = word.to_string_lossy();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%#".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) && !word.starts_with('#') {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
