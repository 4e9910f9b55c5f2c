//! Writes the model's values like Gson, in one pass over their strings.
//!
//! serde_json's own serializer with the [`Gson`] formatter writes the same bytes, but scans each
//! string twice: for the escapes of JSON, and for the further ones of Gson. This one scans for both
//! at once, eight bytes at a time, and leaves everything else to the formatter.

use super::block::{any_to_escape, mask_to_escape, may_be_to_escape};
use super::gson::{Gson, escape_at};
use serde::ser::{Error, Impossible, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::ser::Formatter;
use std::fmt;
use std::io;

/// The name of the newtype struct whose JSON text is written unchanged.
pub(crate) const RAW_JSON: &str = "webhook_model::RawJson";

/// A serializer for the types in the model's structs.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    out: W,
}

impl<W: io::Write> Writer<W> {
    pub(crate) fn new(out: W) -> Self {
        Writer { out }
    }

    fn string(&mut self, string: &str) -> io::Result<()> {
        let bytes = string.as_bytes();
        Gson.begin_string(&mut self.out)?;
        let mut written = 0;
        if bytes.len() >= 64 {
            written = self.blocks(bytes)?;
        } else if !any_to_escape(bytes) {
            self.out.write_all(bytes)?;
            return Gson.end_string(&mut self.out);
        }
        // The rest is short.
        let mut at = written;
        while let Some(&byte) = bytes.get(at) {
            if may_be_to_escape(byte)
                && let Some((escape, length)) = escape_at(bytes.get(at..).unwrap_or_default())
            {
                self.out
                    .write_all(bytes.get(written..at).unwrap_or_default())?;
                self.out.write_all(escape)?;
                at += length;
                written = at;
            } else {
                at += 1;
            }
        }
        self.out
            .write_all(bytes.get(written..).unwrap_or_default())?;
        Gson.end_string(&mut self.out)
    }

    /// Writes the whole blocks of a long string, except for unescaped bytes at their end; returns
    /// how many bytes are written.
    fn blocks(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut staging = Staging::new();
        let mut written = 0;
        let (blocks, _) = bytes.as_chunks::<64>();
        for (index, block) in blocks.iter().enumerate() {
            let mut places = mask_to_escape(block);
            while places != 0 {
                let at = 64 * index + places.trailing_zeros() as usize;
                places &= places - 1;
                let from = bytes.get(at..).unwrap_or_default();
                let Some((escape, length)) = escape_at(from) else {
                    continue;
                };
                let plain = bytes.get(written..).unwrap_or_default();
                staging.push(plain, at - written, &mut self.out)?;
                match from.first() {
                    // Handle the most frequent ones separately, by copies of a fixed length.
                    Some(b'"') => staging.push_pair(*b"\\\"", &mut self.out)?,
                    Some(b'\\') => staging.push_pair(*b"\\\\", &mut self.out)?,
                    _ => staging.push(escape, escape.len(), &mut self.out)?,
                }
                written = at + length;
            }
        }
        staging.flush(&mut self.out)?;
        Ok(written)
    }
}

/// A buffer that joins short pieces before they are written.
///
/// A copy of a varying number of bytes branches on the number; a copy of a fixed number does not.
/// So each short piece is copied with the bytes after it, which the next piece overwrites.
struct Staging {
    bytes: [u8; 256],
    length: usize,
}

/// The number of bytes that are copied for a short piece.
const PIECE: usize = 16;

impl Staging {
    fn new() -> Self {
        Staging {
            bytes: [0; 256],
            length: 0,
        }
    }

    /// Adds two bytes.
    #[inline]
    fn push_pair(&mut self, pair: [u8; 2], out: &mut impl io::Write) -> io::Result<()> {
        if self.length + PIECE > self.bytes.len() {
            self.flush(out)?;
        }
        let place = self.bytes.get_mut(self.length..);
        if let Some(place) = place.and_then(|place| place.first_chunk_mut::<2>()) {
            *place = pair;
            self.length += 2;
        }
        Ok(())
    }

    /// Adds the first `length` bytes of `text`.
    #[inline(always)]
    fn push(&mut self, text: &[u8], length: usize, out: &mut impl io::Write) -> io::Result<()> {
        if self.length + PIECE > self.bytes.len() {
            self.flush(out)?;
        }
        if let (true, Some(piece)) = (length <= PIECE, text.first_chunk::<PIECE>())
            && let Some(place) = self.bytes.get_mut(self.length..)
            && let Some(place) = place.first_chunk_mut::<PIECE>()
        {
            *place = *piece;
            self.length += length;
            return Ok(());
        }
        let text = text.get(..length).unwrap_or_default();
        match self.bytes.get_mut(self.length..self.length + length) {
            Some(place) => {
                place.copy_from_slice(text);
                self.length += length;
                Ok(())
            }
            None => {
                self.flush(out)?;
                out.write_all(text)
            }
        }
    }

    fn flush(&mut self, out: &mut impl io::Write) -> io::Result<()> {
        let staged = self.bytes.get(..self.length).unwrap_or_default();
        self.length = 0;
        out.write_all(staged)
    }
}

/// Why a value could not be written.
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

/// An array or object that is being written.
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

/// The methods for types that no struct of the model has.
macro_rules! not_in_the_model {
    ($($method:ident($($Argument:ty),*) -> $Returned:ty;)*) => {
        $(
            fn $method(self, $(_: $Argument),*) -> Result<$Returned, Fault> {
                Err(Fault::custom(concat!("no struct of Aurora's needs ", stringify!($method))))
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
                "no struct of Aurora's needs serialize_newtype_struct",
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
            "no struct of Aurora's needs serialize_newtype_variant",
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
