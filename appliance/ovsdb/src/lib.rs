#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod atom;
mod budget;
mod database;
mod datum;
mod error;
mod history;
mod json;
pub mod log;
mod monitor;
mod parse;
mod row;
mod schema;
mod server;
pub mod store;
mod transaction;
mod trash;
mod types;
mod uuid;

pub use atom::{Atom, AtomKind, Names};
pub use database::{Commit, Database};
pub use datum::Datum;
pub use error::{Error, ErrorKind};
pub use json::{JsonError, JsonLimits};
pub use row::{Row, RowChange};
pub use schema::{Column, FIRST_COLUMN, Schema, TableSchema, UUID_COLUMN, VERSION_COLUMN};
pub use server::{
    CellChange, ClientId, CloseReason, Keeping, Kept, Limits, OpenError, Outbox, Server, extract,
    import, open,
};
pub use transaction::{Bounds, Client, Executed, Results, Transaction, execute};
pub use types::{BaseType, ColumnType, Constraint, Strength, UNLIMITED};
pub use uuid::{Uuid, Uuids};
