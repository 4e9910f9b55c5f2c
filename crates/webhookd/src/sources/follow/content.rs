//! The bytes of a followed file, by their offset: as they are, or decompressed.

use flate2::read::MultiGzDecoder;
use std::fs::{File, Metadata};
use std::io::{BufReader, Error, ErrorKind, Read, Result};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

/// The first bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Bytes that are decompressed at a time while going forward to an offset.
const STEP: usize = 64 * 1024;

/// The file system and the inode of a file.
pub(super) type FileId = (u64, u64);

/// An open file.
pub(super) struct Content {
    file: Arc<File>,
    /// `None` if the file is not compressed.
    gzip: Option<Box<Gzip>>,
}

/// A decoder, and the offset of what it returns next.
struct Gzip {
    decoder: MultiGzDecoder<BufReader<FromStart>>,
    offset: u64,
}

/// Reads a file from its beginning, whatever else reads it.
struct FromStart {
    file: Arc<File>,
    offset: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl Gzip {
    fn new(file: &Arc<File>) -> Gzip {
        let file = Arc::clone(file);
        Gzip {
            decoder: MultiGzDecoder::new(BufReader::new(FromStart { file, offset: 0 })),
            offset: 0,
        }
    }

    /// Goes forward to `offset`. Returns false if the content ends before it.
    fn skip_to(&mut self, offset: u64) -> Result<bool> {
        let mut skipped = vec![0; STEP];
        while self.offset < offset {
            let length = usize::try_from(offset - self.offset).map_or(STEP, |left| left.min(STEP));
            match self.decoder.read(&mut skipped[..length])? {
                0 => return Ok(false),
                read => self.offset += read as u64,
            }
        }
        Ok(true)
    }
}

impl Content {
    /// The content of a file that a program writes to.
    pub(super) fn plain(file: File) -> Content {
        Content {
            file: Arc::new(file),
            gzip: None,
        }
    }

    /// The content of a rotated file, which may be compressed.
    ///
    /// # Errors
    /// It cannot be opened or read, or is compressed otherwise than by gzip.
    pub(super) fn open(path: &Path, is_compressed: bool) -> Result<Content> {
        let mut content = Content::plain(File::open(path)?);
        let mut magic = [0; GZIP.len()];
        if content.file.read_at(&mut magic, 0)? == magic.len() && magic == GZIP {
            content.gzip = Some(Box::new(Gzip::new(&content.file)));
        } else if is_compressed {
            return Err(Error::new(ErrorKind::InvalidData, "it is not a gzip file"));
        }
        Ok(content)
    }

    /// Whether it is compressed, so that it does not grow.
    pub(super) fn is_compressed(&self) -> bool {
        self.gzip.is_some()
    }

    pub(super) fn metadata(&self) -> Result<Metadata> {
        self.file.metadata()
    }

    pub(super) fn id(&self) -> Result<FileId> {
        self.metadata().map(|metadata| id(&metadata))
    }

    /// Reads at an offset. In a compressed file, going back costs reading it from its beginning.
    pub(super) fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let Some(gzip) = &mut self.gzip else {
            return self.file.read_at(buffer, offset);
        };
        if offset < gzip.offset {
            **gzip = Gzip::new(&self.file);
        }
        if !gzip.skip_to(offset)? {
            return Ok(0);
        }
        let read = gzip.decoder.read(buffer)?;
        gzip.offset += read as u64;
        Ok(read)
    }

    /// The bytes from `offset` on, fewer than `length` only at the end, or where a compressed file
    /// is damaged.
    pub(super) fn bytes(&mut self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if self.gzip.is_some() && is_damage(&error) => {
                    // The decoder cannot go on; the next read begins anew.
                    self.gzip = Some(Box::new(Gzip::new(&self.file)));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// Whether an error of reading means that a compressed file is damaged or incomplete.
pub(super) fn is_damage(error: &Error) -> bool {
    use ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

pub(super) fn id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_gzip_file_is_read_at_any_offset() {
        let folder = tempfile::tempdir().unwrap();
        let text: Vec<u8> = (0..300_000_u32).map(|it| (it % 251) as u8).collect();
        // Two members, as `cat a.gz b.gz` makes them.
        let (first, second) = text.split_at(100_000);
        let path = folder.path().join("events.1.gz");
        std::fs::write(&path, [gzip(first), gzip(second)].concat()).unwrap();
        let mut content = Content::open(&path, true).unwrap();
        assert!(content.is_compressed());
        for (offset, length) in [(0, 256), (250_000, 10), (99_990, 20), (5, 299_995)] {
            let end = offset + length;
            let read = content.bytes(offset as u64, length).unwrap();
            assert!(read == text[offset..end], "{offset}..{end}");
        }
        assert_eq!(content.bytes(299_999, 9).unwrap().len(), 1);
        assert_eq!(content.bytes(400_000, 9).unwrap().len(), 0);
    }

    #[test]
    fn an_incomplete_gzip_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.1.gz");
        let whole = gzip(b"some text that is cut short");
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let mut content = Content::open(&path, true).unwrap();
        for _ in 0..2 {
            let read = content.bytes(0, 100).unwrap().len() as u64;
            let error = content.read_at(&mut [0; 100], read).unwrap_err();
            assert!(is_damage(&error), "{error}");
        }
        std::fs::write(&path, b"").unwrap();
        assert!(is_damage(&Content::open(&path, true).err().unwrap()));
    }
}
