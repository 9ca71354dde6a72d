//! TensorBoard's event files: scalars over iterations.
//!
//! A file is a row of records (`tensorflow/core/lib/io/record_writer.cc`), each an `Event`
//! (`tensorflow/core/util/event.proto`) in protobuf's wire format, of which four fields are needed.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// How the names of event files begin.
pub(super) const EVENTS: &str = "events.out.tfevents.";

/// An event file, open for more.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Starts a file in `folder`; TensorBoard reads all of a folder's files as one.
    ///
    /// # Errors
    /// Fails where it cannot be written.
    pub fn create(folder: &Path) -> Result<Self> {
        let id = std::process::id();
        let path = folder.join(format!("{EVENTS}{}.{id}", unix_seconds() as u64));
        let file = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        let mut events = Self { path, file };
        events.write(&event(unix_seconds(), 0, &bytes_field(3, b"brain.Event:2")))?;
        Ok(events)
    }

    /// Adds the values of some scalars, each with its name, at an iteration.
    ///
    /// # Errors
    /// Fails where the file cannot be written.
    pub fn scalars(&mut self, iteration: usize, scalars: &[(String, f64)]) -> Result<()> {
        let value = |(tag, value): &(String, f64)| {
            let mut bytes = bytes_field(1, tag.as_bytes());
            bytes.push(key(2, FIXED32));
            bytes.extend((*value as f32).to_le_bytes());
            bytes_field(1, &bytes)
        };
        let summary: Vec<u8> = scalars.iter().flat_map(value).collect();
        self.write(&event(unix_seconds(), iteration as u64, &bytes_field(5, &summary)))
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        self.file.write_all(&record(event)).with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Protobuf's wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

fn key(field: u8, wire_type: u8) -> u8 {
    field << 3 | wire_type
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn bytes_field(field: u8, value: &[u8]) -> Vec<u8> {
    [&[key(field, LENGTH_DELIMITED)], varint(value.len() as u64).as_slice(), value].concat()
}

/// An `Event`: wall time, step, and what it is about.
fn event(wall_time: f64, step: u64, what: &[u8]) -> Vec<u8> {
    let time = [&[key(1, FIXED64)], wall_time.to_le_bytes().as_slice()].concat();
    let step = [&[key(2, VARINT)], varint(step).as_slice()].concat();
    [time.as_slice(), &step, what].concat()
}

/// A record: length, its checksum, data, its checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_checksum(&length).to_le_bytes(), data, &masked_checksum(data).to_le_bytes()].concat()
}

/// `tensorflow/core/lib/hash/crc32c.h`.
fn masked_checksum(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of protobuf's own description of its wire format.
    #[test]
    fn numbers_are_written_as_protobuf_does() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(300), [0xac, 0x02]);
        assert_eq!(event(0.0, 5, &bytes_field(3, b"a")), [9, 0, 0, 0, 0, 0, 0, 0, 0, 16, 5, 26, 1, b'a']);
    }

    #[test]
    fn records_carry_their_checksums() {
        // CRC-32C of "123456789" is 0xe3069283 in every catalogue of checksums.
        let expected = 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(masked_checksum(b"123456789"), expected);
        let record = record(b"123456789");
        assert_eq!(record.len(), 8 + 4 + 9 + 4);
        assert_eq!((record[0], &record[12..21], &record[21..]), (9, &b"123456789"[..], &expected.to_le_bytes()[..]));
    }

    #[test]
    fn a_file_holds_its_version_and_the_scalars() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path()).unwrap();
        events.scalars(7, &[("loss/total".into(), 1.5), ("lr".into(), 0.25)]).unwrap();
        let bytes = std::fs::read(&events.path).unwrap();
        let mut rest = bytes.as_slice();
        let mut records = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            records.push(&rest[12..12 + length]);
            rest = &rest[16 + length..];
        }
        let contains = |record: &[u8], text: &[u8]| record.windows(text.len()).any(|window| window == text);
        assert_eq!(records.len(), 2);
        assert!(contains(records[0], b"brain.Event:2"));
        assert!(contains(records[1], b"loss/total") && contains(records[1], &1.5f32.to_le_bytes()));
        assert_eq!(records[1][9..11], [16, 7], "the step");
    }
}
