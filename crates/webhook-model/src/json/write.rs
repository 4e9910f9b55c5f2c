//! Writing the model's values as Gson does, in one pass over their strings.
//!
//! serde_json's own serializer with the [`Gson`] formatter writes the same bytes, and scans each
//! string twice for that: for what JSON escapes, and for what Gson escapes besides. Here both are
//! looked for at once, eight bytes at a time; all else is the formatter's.

use super::block::first_to_escape;
use super::gson::{Gson, escape_at};
use serde::ser::{Error, Impossible, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::ser::Formatter;
use std::fmt;
use std::io;

/// The name under which a JSON text is serialized that is to be written as it is.
pub(crate) const RAW_JSON: &str = "webhook_model::RawJson";

/// A serializer of what the model's structs are made of.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    out: W,
}

impl<W: io::Write> Writer<W> {
    pub(crate) fn new(out: W) -> Self {
        Writer { out }
    }

    fn string(&mut self, string: &str) -> io::Result<()> {
        Gson.begin_string(&mut self.out)?;
        let mut rest = string.as_bytes();
        loop {
            let (plain, from_escape) = rest.split_at(first_to_escape(rest));
            self.out.write_all(plain)?;
            let Some((&first, others)) = from_escape.split_first() else {
                return Gson.end_string(&mut self.out);
            };
            rest = others;
            match first {
                // The most frequent ones apart: two bytes are copied faster than so many.
                b'"' => self.out.write_all(b"\\\"")?,
                b'\\' => self.out.write_all(b"\\\\")?,
                _ => match escape_at(from_escape) {
                    Some((escape, length)) => {
                        self.out.write_all(escape)?;
                        rest = from_escape.get(length..).unwrap_or_default();
                    }
                    // A character that only starts as one to escape does.
                    None => self.out.write_all(&[first])?,
                },
            }
        }
    }
}

/// Why a value was not written.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    Value(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault::Value(message.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Io(error) => error.fmt(f),
            Fault::Value(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Fault {}

/// An array or object of which a part is written.
pub(crate) struct Compound<'w, W> {
    writer: &'w mut Writer<W>,
    first: bool,
}

impl<W: io::Write> SerializeSeq for Compound<'_, W> {
    type Ok = ();
    type Error = Fault;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, element: &T) -> Result<(), Fault> {
        Gson.begin_array_value(&mut self.writer.out, self.first)?;
        self.first = false;
        element.serialize(&mut *self.writer)?;
        Ok(Gson.end_array_value(&mut self.writer.out)?)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(Gson.end_array(&mut self.writer.out)?)
    }
}

impl<W: io::Write> SerializeMap for Compound<'_, W> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Fault> {
        Gson.begin_object_key(&mut self.writer.out, self.first)?;
        self.first = false;
        key.serialize(&mut *self.writer)?;
        Ok(Gson.end_object_key(&mut self.writer.out)?)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Fault> {
        Gson.begin_object_value(&mut self.writer.out)?;
        value.serialize(&mut *self.writer)?;
        Ok(Gson.end_object_value(&mut self.writer.out)?)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(Gson.end_object(&mut self.writer.out)?)
    }
}

/// Methods for what no struct of the model holds.
macro_rules! not_in_the_model {
    ($($method:ident($($Argument:ty),*) -> $Returned:ty;)*) => {
        $(
            fn $method(self, $(_: $Argument),*) -> Result<$Returned, Fault> {
                Err(Fault::custom(concat!("no struct of Aurora's calls for ", stringify!($method))))
            }
        )*
    };
}

type Never = Impossible<(), Fault>;

impl<'w, W: io::Write> Serializer for &'w mut Writer<W> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Compound<'w, W>;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Compound<'w, W>;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    fn serialize_bool(self, value: bool) -> Result<(), Fault> {
        Ok(Gson.write_bool(&mut self.out, value)?)
    }

    fn serialize_i32(self, value: i32) -> Result<(), Fault> {
        Ok(Gson.write_i32(&mut self.out, value)?)
    }

    fn serialize_i64(self, value: i64) -> Result<(), Fault> {
        Ok(Gson.write_i64(&mut self.out, value)?)
    }

    fn serialize_f64(self, value: f64) -> Result<(), Fault> {
        Ok(Gson.write_f64(&mut self.out, value)?)
    }

    fn serialize_str(self, value: &str) -> Result<(), Fault> {
        Ok(self.string(value)?)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'w, W>, Fault> {
        Gson.begin_array(&mut self.out)?;
        Ok(Compound {
            writer: self,
            first: true,
        })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'w, W>, Fault> {
        Gson.begin_object(&mut self.out)?;
        Ok(Compound {
            writer: self,
            first: true,
        })
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        if name != RAW_JSON {
            return Err(Fault::custom(
                "no struct of Aurora's calls for serialize_newtype_struct",
            ));
        }
        let mut raw = serde_json::Serializer::with_formatter(&mut self.out, Gson);
        value
            .serialize(&mut raw)
            .map_err(|error| Fault::Io(error.into()))
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Fault> {
        Err(Fault::custom(
            "no struct of Aurora's calls for serialize_newtype_variant",
        ))
    }

    not_in_the_model! {
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_char(char) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_tuple_variant(
            &'static str, u32, &'static str, usize
        ) -> Never;
        serialize_struct(&'static str, usize) -> Never;
        serialize_struct_variant(
            &'static str, u32, &'static str, usize
        ) -> Never;
    }
}
