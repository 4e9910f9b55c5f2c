//! Parameters of statements.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use webhook_queue::EventId;

/// 16 bytes as the database's type `uuid`, which takes no more room than they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Uuid(pub(crate) [u8; 16]);

impl From<EventId> for Uuid {
    fn from(id: EventId) -> Uuid {
        Uuid(id.0)
    }
}

impl From<Uuid> for EventId {
    fn from(id: Uuid) -> EventId {
        EventId(id.0)
    }
}

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::UUID
    }

    to_sql_checked!();
}

impl FromSql<'_> for Uuid {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Uuid, Box<dyn Error + Sync + Send>> {
        Ok(Uuid(raw.try_into()?))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::UUID
    }
}

/// An array as a parameter, and a null if it is empty.
#[derive(Debug)]
pub(crate) struct Array<'a, T>(pub(crate) &'a Vec<T>);

impl<T: ToSql> ToSql for Array<'_, T> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0.is_empty() {
            true => Ok(IsNull::Yes),
            false => self.0.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        <Vec<T> as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}
