//! What a test boots.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use qemu::{Accel, Machine};
use seed::{Address, BootConfig, Management, NicMatch, OnPanic};

/// What a data port is plugged into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plug {
    /// A pair of Unix datagram sockets, one of which the bench reads and writes.
    Bench,
    /// Something that the test brings.
    Other(qemu::Backend),
}

/// A machine and what it is told at birth.
#[derive(Clone, Debug)]
pub struct Config {
    /// Machine type.
    pub machine: Machine,
    /// vCPUs.
    pub smp: u16,
    /// Memory.
    pub memory_mib: u32,
    /// One for each data port: `p1`, `p2`, ….
    pub ports: Vec<Plug>,
    /// MTUs offered on data ports, where they are not the usual one.
    pub mtus: BTreeMap<usize, u16>,
    /// Data ports whose NICs offer packed rings; 0 is the management NIC.
    pub packed: Vec<usize>,
    /// Queue pairs of data ports' NICs, where they are more than one.
    pub pairs: BTreeMap<usize, u16>,
    /// The configuration, handed over as a firmware item. Its management address is where the user-mode
    /// network forwards to.
    pub seed: BootConfig,
    /// Whether the bench adds a management NIC on QEMU's user-mode network, as the first one.
    pub has_management: bool,
    /// The disk on which the image keeps its database.
    pub database: Option<PathBuf>,
    /// A config drive, which says all: with it there is no seed.
    pub config_drive: Option<PathBuf>,
    /// What is booted; none is the tree's image, with no command line.
    pub boot: Option<qemu::Boot>,
    /// Further arguments for QEMU.
    pub extra: Vec<String>,
}

impl Config {
    /// A q35 with `n_ports` data ports on the bench, one vCPU and 128 MiB.
    #[must_use]
    pub fn new(n_ports: usize) -> Self {
        let address = Address::Static {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix_len: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
        };
        let seed = BootConfig {
            management: Some(Management { nic: NicMatch::Index(0), address }),
            on_panic: OnPanic::PowerOff,
            ..BootConfig::default()
        };
        Self {
            machine: Machine::Q35,
            smp: 1,
            memory_mib: 128,
            ports: vec![Plug::Bench; n_ports],
            mtus: BTreeMap::new(),
            packed: Vec::new(),
            pairs: BTreeMap::new(),
            seed,
            has_management: true,
            database: None,
            config_drive: None,
            boot: None,
            extra: Vec::new(),
        }
    }

    /// With so many vCPUs.
    #[must_use]
    pub fn smp(mut self, n: u16) -> Self {
        self.smp = n;
        self
    }

    /// On such a machine.
    #[must_use]
    pub fn machine(mut self, machine: Machine) -> Self {
        self.machine = machine;
        self
    }

    /// With so much memory.
    #[must_use]
    pub fn memory(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// With this MTU offered on data port `port` (from 1).
    #[must_use]
    pub fn mtu(mut self, port: usize, mtu: u16) -> Self {
        self.mtus.insert(port, mtu);
        self
    }

    /// With packed rings offered by these NICs; 0 is the management NIC.
    #[must_use]
    pub fn packed(mut self, ports: &[usize]) -> Self {
        self.packed.extend(ports);
        self
    }

    /// With so many queue pairs at the NIC of data port `port` (from 1), which something that the test brings must have
    /// as well.
    #[must_use]
    pub fn pairs(mut self, port: usize, n: u16) -> Self {
        self.pairs.insert(port, n);
        self
    }

    /// With data port `port` (from 1) plugged into something that the test brings.
    #[must_use]
    pub fn plug(mut self, port: usize, backend: qemu::Backend) -> Self {
        self.ports[port - 1] = Plug::Other(backend);
        self
    }

    /// Booting this instead of the tree's image.
    #[must_use]
    pub fn boot(mut self, boot: qemu::Boot) -> Self {
        self.boot = Some(boot);
        self
    }

    /// Without a management NIC.
    #[must_use]
    pub fn unmanaged(mut self) -> Self {
        self.has_management = false;
        self.seed.management = None;
        self
    }

    /// With its database on this disk, which is made if it is not there.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn database(mut self, disk: &Path) -> Self {
        if let Err(why) = qemu::database::create(disk) {
            panic!("{}: {why}", disk.display());
        }
        self.database = Some(disk.into());
        self
    }

    /// With nothing told but what is on this config drive.
    #[must_use]
    pub fn config_drive(mut self, image: &Path) -> Self {
        self.config_drive = Some(image.into());
        self
    }

    /// With further arguments for QEMU.
    #[must_use]
    pub fn extra(mut self, args: &[&str]) -> Self {
        self.extra.extend(args.iter().map(ToString::to_string));
        self
    }

    /// With a seed changed by `change`.
    #[must_use]
    pub fn seed(mut self, change: impl FnOnce(&mut BootConfig)) -> Self {
        change(&mut self.seed);
        self
    }
}

/// The only accelerator that is the same on every host.
pub(crate) const ACCEL: Accel = Accel::Tcg;
