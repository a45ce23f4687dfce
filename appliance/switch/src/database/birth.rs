//! How the database comes to be: at once, or in steps between rounds of forwarding.
//!
//! ```text
//! Unborn ──► schema ──► database and server ──► seed ──► served
//! ```
//! What a disk says must be in force before the first frame, so it is read before anything is forwarded; what of it
//! decides how devices are opened even before the switch is made ([`DatabaseParts::read`]).
//! A seed that the switch begins with in any case can wait: the switch forwards first, and the database,
//! which will say nothing new, is built when the first frames have passed ([`REST`]), or when the first
//! client is there. Each step is short, and the polling bodies have their turn between them.

use super::view::View;
use super::{DatabaseParts, Databases, Disk, NAME};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use ovsdb::store::Store;
use ovsdb::{Bounds, Database, JsonLimits, Keeping, Limits, Schema, Server, Uuids};
use sync::time::Nanos;

/// So long after the first round nothing is done yet: those who wait for the switch are served first.
const REST: Nanos = Nanos::from_millis(10);

/// A database that is not built yet.
#[derive(Debug)]
pub(super) struct Unborn {
    parts: DatabaseParts,
    /// Bytes of the heap.
    memory: usize,
    random: u64,
    due: Option<Nanos>,
    schema: Option<Schema>,
}

impl Unborn {
    pub(super) fn new(parts: DatabaseParts, memory: usize, random: u64) -> Self {
        Self { parts, memory, random, due: None, schema: None }
    }

    /// When to go on with it.
    pub(super) fn due(&self) -> Nanos {
        self.due.unwrap_or(Nanos::ZERO)
    }
}

impl Databases {
    /// Goes on with building when that is due; true when it did.
    pub(super) fn grow(&mut self, now: Nanos) -> bool {
        let Some(unborn) = &mut self.birth else { return false };
        let due = *unborn.due.get_or_insert(now.saturating_add(REST));
        let is_due = now >= due;
        if is_due {
            self.step(now);
        }
        is_due
    }

    /// Builds what is not there yet.
    pub(super) fn finish(&mut self, now: Nanos) {
        while let Some(unborn) = &self.birth {
            let breathe = unborn.parts.breathe;
            self.step(now);
            breathe();
        }
    }

    fn step(&mut self, now: Nanos) {
        let Some(mut unborn) = self.birth.take() else { return };
        if self.server.is_some() {
            return self.seed(&unborn.parts, now);
        }
        match (unborn.parts.read.take(), unborn.schema.take()) {
            (Some(read), _) => self.serve(&unborn, read),
            (None, None) => unborn.schema = Some(Schema::open_vswitch()),
            (None, Some(schema)) => {
                let read = unborn.parts.open(schema, unborn.memory, unborn.random, now);
                self.serve(&unborn, read);
            }
        }
        self.birth = Some(unborn);
    }

    /// The server of what was read.
    fn serve(&mut self, unborn: &Unborn, read: ReadDatabase) {
        let ReadDatabase { database, store } = read;
        self.store = store;
        let keeping = match &self.store {
            Some(_) => Keeping::Log,
            None => {
                log::info!("ovsdb: in memory only, changes end with the machine");
                Keeping::Memory
            }
        };
        self.is_seasoned = has_root(&database);
        let limits = limits(unborn.memory);
        let mut server = Server::new(limits, vec![(database, keeping)], unborn.random);
        server.set_breathe(unborn.parts.breathe);
        self.server = Some(server);
    }

    fn seed(&mut self, parts: &DatabaseParts, now: Nanos) {
        let wall_ms = self.wall_ms(now);
        let seed = parts.seed.as_ref().filter(|_| !self.is_seasoned);
        if let (Some(seed), Some(server)) = (seed, &mut self.server) {
            let results = server.transact(NAME, &seed.operations(), wall_ms);
            if let Some(error) = results.iter().find(|result| result.get("error").is_some()) {
                log::error!("ovsdb: the seed does not fit the database: {error}");
            }
            self.keep(now);
        }
    }
}

/// A database as it is before anybody is served.
#[derive(Debug)]
pub struct ReadDatabase {
    database: Database,
    /// The disk on which it is kept.
    store: Option<Store<Box<dyn Disk>>>,
}

impl DatabaseParts {
    /// Reads what disk or file say, so that [`Self::setting`] knows it and the switch begins with it. `memory` is
    /// the size of the heap in bytes.
    pub fn read(&mut self, memory: usize, random: u64, now: Nanos) {
        if self.disk.is_some() || self.file.is_some() {
            self.read = Some(self.open(Schema::open_vswitch(), memory, random, now));
        }
    }

    /// What `Open_vSwitch:other_config` says of `key`, as far as it was read.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&str> {
        View { database: &self.read.as_ref()?.database }.root()?.pair("other_config", key)
    }

    /// Whether there is a configuration, as far as it was read: no seed is looked at then.
    pub(crate) fn is_seasoned(&self) -> bool {
        self.read.as_ref().is_some_and(|read| has_root(&read.database))
    }

    /// The database of the disk, or that of the file, or an empty one.
    fn open(&mut self, schema: Schema, memory: usize, random: u64, now: Nanos) -> ReadDatabase {
        let wall_ms = self.epoch_ms.saturating_add(now.as_millis());
        let mut uuids = Uuids::new(random.rotate_left(29));
        let (mut kept, mut store) = (None, None);
        if let Some(disk) = self.disk.take() {
            match ovsdb::open(disk, &schema, &mut uuids, wall_ms) {
                Ok(found) => {
                    log::info!("ovsdb: kept on the disk, generation {}", found.store.generation());
                    store = Some(found.store);
                    kept = Some(found.database);
                }
                Err(error) => {
                    log::error!("ovsdb: the disk gives no database ({error}); it is left alone");
                }
            }
        }
        let mut database = kept.unwrap_or_else(|| Database::new(schema, uuids.fresh()));
        if let Some((place, file)) = self.file.take()
            && !has_root(&database)
        {
            let schema = database.schema();
            match read_file(&file, schema, &mut uuids, memory, (store.as_mut(), wall_ms)) {
                Ok(read) => {
                    log::info!("ovsdb: begins as {place} says");
                    database = read;
                }
                Err(why) => log::error!("{place} is no database to begin with: {why}; not used"),
            }
        }
        ReadDatabase { database, store }
    }
}

/// The database that a file of Open vSwitch holds, on the disk as well if there is one.
fn read_file(
    file: &[u8],
    schema: &Schema,
    uuids: &mut Uuids,
    memory: usize,
    (store, wall_ms): (Option<&mut Store<Box<dyn Disk>>>, u64),
) -> Result<Database, String> {
    // JSON in memory is many times as long as its text.
    if file.len() > memory / 32 {
        return Err(format!("{} KiB are too much for this machine's memory", file.len() >> 10));
    }
    let read = ovsdb::log::load(file, Some(schema), uuids).map_err(|why| why.to_string())?;
    if let Some(why) = read.torn {
        return Err(format!("it is broken after record {}: {why}", read.n_records));
    }
    if !has_root(&read.database) {
        return Err(format!("it has no row in {NAME}"));
    }
    if let Some(store) = store {
        let records = ovsdb::log::snapshot(&read.database, "seed", wall_ms);
        store.begin(&records).map_err(|why| format!("the disk does not take it: {why}"))?;
    }
    Ok(read.database)
}

/// Whether anybody has said what the switch is to be.
fn has_root(database: &Database) -> bool {
    database.schema().table(NAME).is_some_and(|root| database.n_rows(root) > 0)
}

/// What clients may take of a machine with so many bytes of heap: at the worst about a third, while all
/// of them do their worst at once.
fn limits(memory: usize) -> Limits {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    let share = |part: usize, least: usize, most: usize| (memory / part).clamp(least, most);
    Limits {
        max_clients: share(MIB, 16, 64),
        json: JsonLimits {
            max_bytes: share(64, 512 * KIB, 16 * MIB),
            // 32 bytes each.
            max_values: share(16, 2 * MIB, 128 * MIB) / 32,
            ..JsonLimits::default()
        },
        max_input: share(32, MIB, 32 * MIB),
        bounds: Bounds {
            max_operations: share(8 * KIB, 8192, 131_072),
            max_steps: 1_000_000,
            max_selected: share(32, MIB, 8 * MIB),
            max_weight: share(16, 2 * MIB, 64 * MIB),
        },
        high_water: share(512, 32 * KIB, 256 * KIB),
        ..Limits::default()
    }
}
