//! A pipe that is full from the start.

use rustix::io::ioctl_fionbio;
use std::io::{ErrorKind, PipeReader, PipeWriter, Write};

/// A pipe in which a write blocks until something is read. As long as the reader is not dropped, a
/// write does not fail, either.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe can be made");
    ioctl_fionbio(&writer, true).expect("a pipe can be non-blocking");
    loop {
        // One byte at a time, so that no room for a short line is left.
        match writer.write(b"\n") {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("a pipe takes bytes: {error}"),
        }
    }
    ioctl_fionbio(&writer, false).expect("a pipe can be blocking");
    (reader, writer)
}
