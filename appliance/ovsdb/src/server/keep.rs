//! A server and its disk: open, append what was committed, begin anew when the log has grown.

use super::{Keeping, Server};
use crate::budget::Breath;
use crate::database::Database;
use crate::log::{self, LoadError};
use crate::schema::Schema;
use crate::store::{BlockDevice, Found, Store, StoreError};
use crate::uuid::Uuids;
use alloc::vec::Vec;
use core::fmt;

/// Why a disk gives no database. It is left as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpenError {
    /// The disk, or its layout.
    Store(StoreError),
    /// The log on it is whole, but says what this program does not understand.
    Log(LoadError),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "{error}"),
            Self::Log(error) => write!(f, "{error}"),
        }
    }
}

/// A database and where it is kept.
#[derive(Debug)]
pub struct Kept<D> {
    /// The database as of the last whole record.
    pub database: Database,
    /// The log, ready for more.
    pub store: Store<D>,
    /// The disk was new.
    pub is_new: bool,
}

/// Opens the database on a disk; a new disk gets an empty one. What a power cut left half is dropped,
/// and the log begun anew, so that nothing follows the half.
pub fn open<D: BlockDevice>(
    device: D,
    schema: &Schema,
    uuids: &mut Uuids,
    wall_ms: u64,
) -> Result<Kept<D>, OpenError> {
    let (mut store, found) = Store::open(device)?;
    let (database, is_new, is_clean) = match found {
        Found::Nothing => (Database::new(schema.clone(), uuids.fresh()), true, false),
        Found::Log(text) => {
            let loaded = log::load(&text, Some(schema), uuids).map_err(OpenError::Log)?;
            (loaded.database, false, loaded.torn.is_none() && !loaded.converted)
        }
    };
    if !is_clean {
        let comment = if is_new { "created" } else { "recovered" };
        store.begin(&log::snapshot(&database, comment, wall_ms))?;
    }
    // A log of the older layout moves at once, or by way of its other half.
    for _ in 0..2 {
        if store.wants_move() {
            match store.begin(&log::snapshot(&database, "moved", wall_ms)) {
                // It stays where it is.
                Err(StoreError::Full) => break,
                begun => begun?,
            }
        }
    }
    Ok(Kept { database, store, is_new })
}

impl Server {
    /// Brings what was committed since the last call to the disk, and lets clients hear of it. To be
    /// called after each [`Server::poll`]. After an error the server takes no more changes.
    pub fn keep_in<D: BlockDevice>(
        &mut self,
        store: &mut Store<D>,
        wall_ms: u64,
    ) -> Result<(), StoreError> {
        let records = self.take_records();
        if records.is_empty() || self.log_failed {
            return Ok(());
        }
        let mut kept = store.append(&records);
        if kept == Err(StoreError::Full) || (kept.is_ok() && store.is_crowded()) {
            let logged = self.databases.iter().find(|served| served.keeping == Keeping::Log);
            if let Some(served) = logged {
                // The snapshot has the records too, so one that fits settles all. One that does not
                // is no loss when they are in the old log.
                let breath = Breath::new(self.breathe);
                let snapshot = log::snapshot_texts(&served.database, "compacting", wall_ms, breath);
                match store.begin(&snapshot) {
                    Err(StoreError::Full) if kept.is_ok() => {}
                    begun => kept = begun,
                }
            }
        }
        match kept {
            Ok(()) => self.records_durable(records.len()),
            Err(error) => {
                ::log::error!("ovsdb: the log cannot be written ({error}); changes are refused");
                self.log_failed();
            }
        }
        kept
    }
}

/// The log on a disk as a file of Open vSwitch: its whole records.
pub fn extract<D: BlockDevice>(device: D) -> Result<Vec<u8>, OpenError> {
    let mut text = match Store::open(device)?.1 {
        Found::Nothing => Vec::new(),
        Found::Log(text) => text,
    };
    let loaded = log::load_text(&text, &mut Uuids::new(0)).map_err(OpenError::Log)?;
    text.truncate(loaded.length);
    Ok(text)
}

/// Puts a database file of Open vSwitch on a disk, in the place of what it holds. The file is read
/// first, and what the schema does not know left out.
pub fn import<D: BlockDevice>(
    device: D,
    file: &[u8],
    schema: &Schema,
    wall_ms: u64,
) -> Result<(), OpenError> {
    let loaded = log::load(file, Some(schema), &mut Uuids::new(0)).map_err(OpenError::Log)?;
    let (mut store, _) = Store::open(device)?;
    Ok(store.begin(&log::snapshot(&loaded.database, "imported", wall_ms))?)
}
