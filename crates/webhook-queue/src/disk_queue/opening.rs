//! Opens a queue's files and checks them.

use std::io::ErrorKind;

use heed::{Env, WithoutTls};

use super::directory::{self, DATA, Directory};
use super::fault;
use super::files;
use super::tables::{self, Tables};
use super::target_rows::{self, Names};
use super::verification::{self, Depth};
use crate::QueueError;

/// Keys in `meta`.
const FORMAT_KEY: &[u8] = b"format";
const IDENTITY_KEY: &[u8] = b"identity";

/// Opens the environment and its tables in a locked directory.
pub(super) fn open_tables(directory: &Directory, map_size: usize) -> Result<Tables, QueueError> {
    let path = directory.path();
    let failed = |error| match error {
        heed::Error::Io(source) if source.kind() == ErrorKind::OutOfMemory => {
            let bytes = map_size;
            QueueError::AddressSpace { bytes, source }
        }
        heed::Error::Io(source) => files::io("open", &path.join(DATA))(source),
        error => directory::corrupt(path, error.to_string()),
    };
    let env = tables::open_env(path, map_size).map_err(failed)?;
    // A page beyond the end of the file must not be read: that ends the process.
    let found = env.real_disk_size().map_err(failed)?;
    let needed = extent(&env);
    if found >= needed {
        let tables = Tables::open(env, directory.has_states()).map_err(failed)?;
        return match tables.are_all() {
            true => Ok(tables),
            false => Err(directory::corrupt(
                path,
                "its list of tables is damaged".into(),
            )),
        };
    }
    // Free pages at the end may be missing if the last commit was interrupted before it extended
    // the file. Anything else that is missing is damage. A page of which a part is there is missing
    // too: LMDB would follow what the part says as if it were whole.
    let cut = directory.cut_data(whole_pages(&env, found))?;
    let opened = directory.lengthen(needed).and_then(|()| {
        let whole = Tables::open(env, directory.has_states())
            .ok()
            .filter(Tables::are_all);
        let whole = whole.filter(|tables| {
            let read = verification::read_all(tables, directory.identity(), Depth::Events);
            read.is_ok_and(|found| found.is_whole())
        });
        let detail = format!("{DATA} has {found} of {needed} bytes");
        whole.ok_or_else(|| directory::corrupt(path, detail))
    });
    if opened.is_err() {
        // If the file cannot be restored, the next opening finds the damage all the same.
        directory.restore_data(found, &cut).ok();
    }
    opened
}

/// The bytes of a file of this length that are whole pages. The first two are LMDB's own, and are used
/// as far as they are there.
fn whole_pages(env: &Env<WithoutTls>, length: u64) -> u64 {
    let page = u64::from(env.unnamed_database_stat().page_size);
    (length / page * page).max(length.min(2 * page))
}

/// The size of the file with all pages that were ever used.
pub(super) fn extent(env: &Env<WithoutTls>) -> u64 {
    (env.info().last_page_number as u64 + 1)
        .saturating_mul(u64::from(env.unnamed_database_stat().page_size))
}

/// Writes the format and the identity into new tables; compares them in existing ones.
pub(super) fn check_meta(tables: &Tables, directory: &Directory) -> Result<(), QueueError> {
    let check = || {
        let mut txn = tables.env.write_txn()?;
        let mut same = true;
        let format = directory::FIRST_FORMAT.to_le_bytes();
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
            let detail =
                format!("{DATA} belongs to another queue than FORMAT, or FORMAT is damaged");
            Err(directory::corrupt(directory.path(), detail))
        }
    }
}

/// The names and numbers of the targets.
pub(super) fn read_names(tables: &Tables, directory: &Directory) -> Result<Names, QueueError> {
    let txn = tables.env.read_txn();
    let rows = txn.and_then(|txn| target_rows::read_rows(tables, &txn));
    let rows = rows.map_err(|error| directory::corrupt(directory.path(), error.to_string()))?;
    let named = rows
        .into_iter()
        .map(|(number, row)| (row.name.into(), number));
    Ok(named.collect())
}
