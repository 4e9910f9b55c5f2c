//! What is done and checked when a queue is opened.

use super::change::Names;
use super::directory::{self, DATA, Directory};
use super::fault::{self, damage};
use super::record::{self, Row};
use super::tables::{self, Tables};
use crate::QueueError;

/// Keys in `meta`.
const FORMAT_KEY: &[u8] = b"format";
const IDENTITY_KEY: &[u8] = b"identity";

/// Opens the environment and its tables in a locked directory.
pub(super) fn open_tables(directory: &Directory, map_size: usize) -> Result<Tables, QueueError> {
    let path = directory.path();
    let failed = |error| match error {
        heed::Error::Io(source) if fault::lacks_room(&source) => QueueError::NoSpace { source },
        heed::Error::Io(source) => directory::io("open", &path.join(DATA))(source),
        error => fault::corrupt(directory, &error),
    };
    let env = tables::open_env(path, map_size).map_err(failed)?;
    // What lies beyond the end of the file cannot be read, not even as an error.
    let needed = (env.info().last_page_number as u64 + 1)
        .saturating_mul(u64::from(env.unnamed_database_stat().page_size));
    let found = env.real_disk_size().map_err(failed)?;
    if found < needed {
        let detail = format!("{DATA} has {found} of {needed} bytes");
        return Err(QueueError::Corrupt {
            path: path.into(),
            detail,
        });
    }
    Tables::open(env).map_err(failed)
}

/// Writes what identifies the queue into new tables, and compares it in others.
pub(super) fn check_meta(tables: &Tables, directory: &Directory) -> Result<(), QueueError> {
    let check = || {
        let mut txn = tables.env.write_txn()?;
        let mut same = true;
        let format = directory::FORMAT.to_le_bytes();
        let identity = directory.identity();
        for (key, value) in [(FORMAT_KEY, &format[..]), (IDENTITY_KEY, &identity[..])] {
            same &= match tables.meta.get(&txn, key)? {
                Some(found) => found == value,
                None if directory.is_unfinished() => {
                    tables.meta.put(&mut txn, key, value)?;
                    true
                }
                None => false,
            };
        }
        txn.commit()?;
        Ok(same)
    };
    match check().map_err(|error| fault::storage("open", error))? {
        true => Ok(()),
        false => {
            let detail = format!("{DATA} belongs to another queue");
            Err(QueueError::Corrupt {
                path: directory.path().into(),
                detail,
            })
        }
    }
}

/// The targets that the queue knows.
pub(super) fn read_names(tables: &Tables, directory: &Directory) -> Result<Names, QueueError> {
    let read = || {
        let txn = tables.env.read_txn()?;
        let mut names = Names::new();
        for item in tables.meta.prefix_iter(&txn, b"t")? {
            let (key, value) = item?;
            let number = record::target_of_row_key(key);
            let (row, number) = Row::read(value)
                .zip(number)
                .ok_or_else(|| damage("the row of a target"))?;
            names.insert(row.name.into(), number);
        }
        Ok(names)
    };
    read().map_err(|error| fault::corrupt(directory, &error))
}
