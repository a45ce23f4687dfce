//! From configuration and devices to a running switch.
//!
//! # Processors
//! With one, control and polling bodies alternate on it. With more, the boot processor has the
//! control body and each other one a polling body. How they rest: [`crate::rest`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use netdev::Netdev;
use runtime::{console, cpu, entropy, power, time};
use spin::mutex::Mutex;
use switch::{ByteChannel, Control, DatabaseParts, Machine, Pmd, SeedRefused, Switch, SwitchParts};
use sync::time::Nanos;
use virtio_drivers::transport::{DeviceType, SomeTransport};
use virtio_net::VirtioNet;

use crate::Harm;
use crate::configure::Found;
use crate::console_port::BytePort;
use crate::devices::Device;
use crate::disk::Disk;
use crate::dma::DeviceMemory;
use crate::rest::{self, Rest, Round, Work};
use crate::room::{Demand, Rings, RoomError};
use crate::serial_line::SerialLine;

/// The switch's clock begins here and not at zero, so that what was before it was switched on, the age of
/// rules that were kept, has a time too: 19 hours, as the longest timeout of a rule is 18.
const POWER_ON: Nanos = Nanos(1 << 46);
/// Bytes of the log moved to the serial line in one round of the control body.
const LOG_BYTES: usize = 16;

/// Why no switch could be built.
#[derive(Debug)]
pub(crate) enum BuildError {
    /// The configuration does not fit.
    Seed(SeedRefused),
    /// There is no room for it.
    Room(RoomError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(error) => error.fmt(f),
            Self::Room(error) => error.fmt(f),
        }
    }
}

type Nic = VirtioNet<SomeTransport<'static>, DeviceMemory>;

/// Builds the switch on a machine with so many bytes of memory.
pub(crate) fn build(
    found: Found,
    devices: Vec<Device>,
    disk: Option<Disk>,
    ram_bytes: u64,
) -> Result<Switch, BuildError> {
    let Found { config, database: file } = found;
    let random = entropy::seed();
    let epoch_ms = time::wall_clock().unwrap_or(0).saturating_mul(1000);
    let mut database = DatabaseParts {
        epoch_ms: epoch_ms.saturating_sub(POWER_ON.as_millis()),
        power_on: POWER_ON,
        disk: disk.map(|disk| -> Box<dyn switch::Disk> { Box::new(disk) }),
        file,
        breathe,
        ..DatabaseParts::default()
    };
    database.read(crate::heap_use().1, random, now());
    let takes_large = switch::takes_large_frames(&config, &database);
    let mut refused = refused(&config.nic_without);
    if !takes_large {
        refused |= virtio_net::SEGMENTATION;
    }
    let Opened { nics, mut channels } = open(devices, refused);
    channels.push(Box::new(SerialLine::default()));
    let n_cores = cpu::count().saturating_sub(1).max(1);
    let (heap_used, heap_total) = crate::heap_use();
    let free_bytes = heap_total.saturating_sub(heap_used);
    let pairs_of = |nic: &Nic| usize::from(nic.info().max_queue_pairs).clamp(1, n_cores);
    let demand = Demand {
        n_nics: nics.len(),
        n_pairs: nics.iter().map(pairs_of).sum(),
        n_jumbo_pairs: (nics.iter().filter(|nic| virtio_net::has_long_frames(nic.info().mtu)))
            .map(pairs_of)
            .sum(),
        n_cores,
        takes_large,
        free_bytes,
        taken_bytes: usize::try_from(ram_bytes).unwrap_or(usize::MAX).saturating_sub(free_bytes),
    };
    let rings = Rings::plan(&demand).map_err(BuildError::Room)?;
    let pool = rings.pool().map_err(BuildError::Room)?;
    let nics = nics.into_iter().map(|nic| -> Box<dyn Netdev> {
        // `n_rxq` may ask for more pairs than were reckoned with.
        let n_pairs = u16::try_from(pairs_of(&nic)).unwrap_or(u16::MAX);
        Box::new(nic.with_queue_size(rings.len).with_full_pairs(n_pairs))
    });
    let machine = Machine {
        nics: nics.collect(),
        channels,
        pool,
        n_cores,
        database,
        random,
        memory: crate::heap_use,
        cycles: time::tsc,
    };
    let parts = SwitchParts::from_seed(&config, machine).map_err(BuildError::Seed)?;
    Ok(Switch::new(parts, now()))
}

/// Runs the switch on all processors; ends by switching the machine off.
pub(crate) fn run(switch: Switch, harm: Harm) -> ! {
    let Switch { control, mut pmds } = switch;
    if cpu::count() > 1 {
        let dealt = core::mem::take(&mut pmds);
        pmds.extend((1..).zip(dealt).filter_map(|(number, pmd)| start(number, pmd, harm)));
    }
    *OWN.lock() = pmds;
    log::info!("ready {} us after power on", (now() - POWER_ON).as_micros());
    harm.do_on(0);
    let mut boot = BootProcessor { control };
    let mut rest = Rest::new(0);
    loop {
        rest.round(&mut boot);
        let control = &mut boot.control;
        rest::set_longest(control.longest_rest());
        if control.wants_exit() {
            // The answer to the one who asked leaves first.
            for _ in 0..100 {
                control.poll(now());
            }
            log::info!("switched off on request");
            console::flush_all();
            power::off();
        }
    }
}

/// The control body and, with one processor, the polling bodies too.
struct BootProcessor {
    control: Control,
}

impl Work for BootProcessor {
    fn round(&mut self) -> Round {
        let own = poll_own();
        let did_anything = self.control.poll(now());
        let control = Round::of(did_anything, self.control.did_chores());
        let log = Round::of(console::flush(LOG_BYTES), true);
        own.max(control).max(log)
    }

    fn arm(&mut self) -> bool {
        OWN.try_lock().is_some_and(|mut own| own.iter_mut().all(|pmd| pmd.arm()))
            && self.control.arm()
    }

    fn patience(&mut self) -> Nanos {
        let now = now();
        let control = self.control.next_deadline(now);
        let own = OWN.try_lock().and_then(|own| own.iter().map(|pmd| pmd.next_deadline(now)).min());
        own.unwrap_or(Nanos::MAX).min(control).saturating_sub(now)
    }

    fn rested(&mut self, time: Nanos) {
        if let Some(mut own) = OWN.try_lock() {
            own.iter_mut().for_each(|pmd| pmd.rested(time));
        }
    }
}

/// Gives a polling body to processor `number`. One that does not start gives it back, to be polled
/// by the boot processor: a body that nobody polls would pass no fence, and so hold up every barrier.
fn start(number: usize, pmd: Pmd, harm: Harm) -> Option<Pmd> {
    // Whoever takes the body out has it; a processor that wakes up too late finds nothing.
    let body = Arc::new(Mutex::<_>::new(Some(pmd)));
    let theirs = body.clone();
    let work = move || {
        let pmd = theirs.lock().take();
        if let Some(pmd) = pmd {
            poll(pmd, harm, number);
        }
    };
    let error = cpu::start(number, work).err()?;
    log::error!("cpu{number} does not start ({error}); cpu0 polls its queues");
    body.lock().take()
}

/// What a polling processor does, for ever.
fn poll(pmd: Pmd, harm: Harm, number: usize) -> ! {
    harm.do_on(number);
    let mut processor = PollingProcessor { pmd };
    let mut rest = Rest::new(number);
    loop {
        rest.round(&mut processor);
    }
}

/// A polling body alone.
struct PollingProcessor {
    pmd: Pmd,
}

impl Work for PollingProcessor {
    fn round(&mut self) -> Round {
        Round::of(self.pmd.poll(now()), self.pmd.did_chores())
    }

    fn arm(&mut self) -> bool {
        self.pmd.arm()
    }

    fn patience(&mut self) -> Nanos {
        let now = now();
        self.pmd.next_deadline(now).saturating_sub(now)
    }

    fn rested(&mut self, time: Nanos) {
        self.pmd.rested(time);
    }
}

fn now() -> Nanos {
    POWER_ON + Nanos(time::now())
}

/// The polling bodies that the boot processor has beside the control body.
static OWN: Mutex<Vec<Pmd>> = Mutex::new(Vec::new());

/// A round of the boot processor's own polling bodies: from the loop, and from within long waits and
/// long work of the control body. Bodies meet by rings only, so it is as if another processor did it.
pub(crate) fn breathe() {
    poll_own();
}

fn poll_own() -> Round {
    // Taken only by this processor, and never from within a polling body: it is free.
    let Some(mut own) = OWN.try_lock() else { return Round::Nothing };
    let rounds = own.iter_mut().map(|pmd| Round::of(pmd.poll(now()), pmd.did_chores()));
    rounds.max().unwrap_or(Round::Nothing)
}

/// Devices as the switch uses them.
#[derive(Default)]
struct Opened {
    nics: Vec<Nic>,
    channels: Vec<Box<dyn ByteChannel>>,
}

/// The features of those names.
fn refused(names: &[String]) -> u64 {
    names.iter().fold(0, |bits, name| match virtio_net::optional_feature(name) {
        Some(bit) => bits | bit,
        None => {
            log::error!("nic-without: the driver has no optional feature {name}");
            bits
        }
    })
}

/// Opens NICs and consoles; what cannot be opened is logged and left out. NICs do without the features
/// that are refused.
fn open(devices: Vec<Device>, refused: u64) -> Opened {
    let Opened { mut nics, mut channels } = Opened::default();
    for device in devices {
        let kind = device.kind();
        let Device { location, transport, doorbells } = device;
        match kind {
            DeviceType::Network => {
                match VirtioNet::new(location.clone(), transport, DeviceMemory, refused) {
                    Ok(nic) => nics.push(match doorbells {
                        Some(doorbells) => nic.with_doorbells(doorbells),
                        None => nic,
                    }),
                    Err(error) => log::error!("NIC at {location} cannot be used: {error:?}"),
                }
            }
            DeviceType::Console => match BytePort::new(transport, doorbells) {
                Ok(port) => channels.push(Box::new(port)),
                Err(error) => log::warn!("console at {location} cannot be used: {error}"),
            },
            _ => log::debug!("device at {location} is not used"),
        }
    }
    Opened { nics, channels }
}

impl fmt::Debug for BytePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BytePort")
    }
}

impl ByteChannel for BytePort {
    fn read(&mut self, into: &mut [u8]) -> usize {
        Self::read(self, into)
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        Self::write(self, bytes)
    }

    fn look_within(&self) -> Option<Nanos> {
        (!self.has_interrupt()).then_some(Nanos::from_millis(4))
    }
}
