//! Damage that leaves a format's outside whole: lengths, checksums and nesting are right, and what they hold is not. Bytes alone
//! would hardly ever get past them.

use std::io::{Cursor, Read, Write};

use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use rand::Rng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use serde_json::{Map, Value, json};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::mutate::{INTEGERS, NUMBERS, Random, few, mutate, pieces};

/// Makes a damaged file of one that has its format; `None` where it has not.
pub type Damage = fn(&mut Random, &[u8]) -> Option<Vec<u8>>;

/// Lines that are lost, doubled, exchanged.
pub fn lines(random: &mut Random, input: &[u8]) -> Option<Vec<u8>> {
    Some(pieces(random, input, b'\n'))
}

/// The same for tags.
pub fn tags(random: &mut Random, input: &[u8]) -> Option<Vec<u8>> {
    Some(pieces(random, input, b'<'))
}

/// The same for the parts of a link.
pub fn link_parts(random: &mut Random, input: &[u8]) -> Option<Vec<u8>> {
    let separator = *b"&,=%@".choose(random).expect("there are some");
    Some(pieces(random, input, separator))
}

/// JSON with other values.
pub fn json(random: &mut Random, input: &[u8]) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(input).ok()?;
    for _ in 0..few(random) {
        change_value(random, &mut value);
    }
    serde_json::to_vec(&value).ok()
}

fn change_value(random: &mut Random, value: &mut Value) {
    let inside = match value {
        Value::Array(items) if random.random_ratio(6, 7) => items.as_mut_slice().choose_mut(random),
        Value::Object(entries) if random.random_ratio(6, 7) => {
            let count = entries.len();
            entries.values_mut().nth(random.random_range(0..count.max(1)))
        }
        _ => None,
    };
    if let Some(inside) = inside {
        return change_value(random, inside);
    }
    match value {
        Value::Array(items) if !items.is_empty() && random.random() => {
            let item = items.remove(random.random_range(0..items.len()));
            for _ in 0..random.random_range(0..4) {
                items.push(item.clone());
            }
        }
        Value::Object(entries) if !entries.is_empty() && random.random() => {
            let key = entries.keys().nth(random.random_range(0..entries.len())).cloned().expect("there are so many");
            let value = entries.remove(&key).expect("the key is one of them");
            if random.random() {
                entries.insert(key + "x", value);
            }
        }
        other => *other = another_value(random),
    }
}

fn another_value(random: &mut Random) -> Value {
    match random.random_range(0..9) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(""),
        3 => json!("\u{0}\u{202e}é<&\"'%/\\../"),
        4 => json!([]),
        5 => Value::Object(Map::new()),
        6 => (0..random.random_range(1..140)).fold(Value::Null, |inside, _| json!([inside])),
        _ => {
            let number = NUMBERS.choose(random).expect("there are some");
            serde_json::from_str(number).unwrap_or_else(|_| json!(number))
        }
    }
}

/// A safetensors file with another header, or with other metadata inside it.
pub fn safetensors(random: &mut Random, input: &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(u64::from_le_bytes(input.first_chunk().copied()?)).ok()?;
    let (header, data) = input[8..].split_at_checked(length)?;
    let mut header: Value = serde_json::from_slice(header).ok()?;
    let said = header.pointer_mut("/__metadata__").and_then(Value::as_object_mut);
    match said.and_then(|said| said.values_mut().next()) {
        // A text with JSON in it.
        Some(Value::String(text)) if random.random() => {
            *text = String::from_utf8(json(random, text.as_bytes())?).ok()?;
        }
        _ => change_value(random, &mut header),
    }
    let mut header = serde_json::to_vec(&header).ok()?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    if random.random_ratio(1, 4) {
        file.truncate(file.len() - random.random_range(0..=data.len()));
    }
    Some(file)
}

/// A message of Protocol Buffers, as far as it can be told without knowing what it is about.
enum Field {
    /// The number and kind, and the bytes of what is not of the other kind.
    Plain(u64, Vec<u8>),
    /// The number, and the fields in it.
    Message(u64, Vec<Field>),
}

/// ONNX with other numbers, texts and fields. Long texts, which are the numbers of tensors, stay.
pub fn protobuf(random: &mut Random, input: &[u8]) -> Option<Vec<u8>> {
    let mut fields = fields(input, 0)?;
    for _ in 0..few(random) {
        change_field(random, &mut fields);
    }
    let mut bytes = Vec::new();
    write_fields(&fields, &mut bytes);
    Some(bytes)
}

/// A file of Protocol Buffers without what is longer than `most` bytes and no message: tensors without their numbers.
pub fn protobuf_skeleton(input: &[u8], most: usize) -> Option<Vec<u8>> {
    fn shorten(fields: &mut [Field], most: usize) {
        for field in fields {
            match field {
                Field::Message(_, inside) => shorten(inside, most),
                Field::Plain(tag, bytes) if *tag & 7 == 2 && bytes.len() > most => *bytes = vec![0],
                Field::Plain(..) => {}
            }
        }
    }
    let mut fields = fields(input, 0)?;
    shorten(&mut fields, most);
    let mut bytes = Vec::new();
    write_fields(&fields, &mut bytes);
    Some(bytes)
}

fn varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for i in 0..10 {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << (7 * i).min(63);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn write_varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn fields(mut input: &[u8], depth: usize) -> Option<Vec<Field>> {
    let mut found = Vec::new();
    while !input.is_empty() {
        let tag = varint(&mut input)?;
        let (number, width) = (tag >> 3, |bytes: usize| Some(bytes));
        let length = match tag & 7 {
            0 => {
                let mut value = Vec::new();
                write_varint(varint(&mut input)?, &mut value);
                found.push(Field::Plain(tag, value));
                continue;
            }
            1 => width(8),
            5 => width(4),
            2 => usize::try_from(varint(&mut input)?).ok(),
            _ => None,
        }?;
        let (bytes, rest) = input.split_at_checked(length)?;
        input = rest;
        // Whatever can be read as a message is taken for one, small texts now and then among them.
        let inside = (tag & 7 == 2 && depth < 8 && !bytes.is_empty()).then(|| fields(bytes, depth + 1)).flatten();
        let is_message =
            inside.as_ref().is_some_and(|inside| inside.iter().all(|field| (1..64).contains(&field.number())));
        found.push(match inside {
            Some(inside) if number > 0 && is_message => Field::Message(tag, inside),
            _ => Field::Plain(tag, bytes.to_vec()),
        });
    }
    Some(found)
}

impl Field {
    fn number(&self) -> u64 {
        let (Self::Plain(tag, _) | Self::Message(tag, _)) = self;
        tag >> 3
    }
}

fn write_fields(fields: &[Field], bytes: &mut Vec<u8>) {
    for field in fields {
        let (Field::Plain(tag, _) | Field::Message(tag, _)) = field;
        write_varint(*tag, bytes);
        match field {
            Field::Plain(tag, value) => {
                if tag & 7 == 2 {
                    write_varint(value.len() as u64, bytes);
                }
                bytes.extend(value);
            }
            Field::Message(_, inside) => {
                let mut message = Vec::new();
                write_fields(inside, &mut message);
                write_varint(message.len() as u64, bytes);
                bytes.extend(message);
            }
        }
    }
}

fn change_field(random: &mut Random, fields: &mut Vec<Field>) {
    if fields.is_empty() {
        return;
    }
    let at = random.random_range(0..fields.len());
    match &mut fields[at] {
        Field::Message(_, inside) if random.random_ratio(9, 10) => change_field(random, inside),
        _ if random.random_ratio(1, 3) => {
            let field = fields.remove(at);
            match random.random_range(0..3) {
                0 => {}
                1 => fields.insert(random.random_range(0..=fields.len()), field),
                _ => {
                    let mut bytes = Vec::new();
                    write_fields(&[field], &mut bytes);
                    let copies = random.random_range(2..5);
                    fields.extend(self::fields(&bytes.repeat(copies), 0).into_iter().flatten());
                }
            }
        }
        Field::Message(tag, _) => *tag ^= 8 << random.random_range(0..3),
        Field::Plain(tag, bytes) => match *tag & 7 {
            0 => {
                bytes.clear();
                write_varint(*INTEGERS.choose(random).expect("there are some"), bytes);
            }
            2 => mutate(random, bytes, &[]),
            _ => bytes.iter_mut().for_each(|byte| *byte = random.random()),
        },
    }
}

/// What instructions of pickles look like, and words that readers of them know.
const PICKLE: [&[u8]; 14] = [
    b"(",
    b"t",
    b"R",
    b"Q",
    b"}",
    b"u",
    b"s",
    b"2",
    b"0",
    b"e",
    b"\x85",
    b"\x87",
    b"J\xff\xff\xff\xff",
    b"X\xff\xff\xff\x7f",
];

/// An archive of PyTorch's with another pickle, or with another file.
pub fn torch(random: &mut Random, input: &[u8]) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(input)).ok()?;
    let mut files = Vec::new();
    for i in 0..archive.len() {
        let mut file = archive.by_index(i).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        files.push((file.name().ok()?.into_owned(), bytes));
    }
    let is_pickle = |(name, _): &&mut (String, Vec<u8>)| name.ends_with("data.pkl");
    match files.iter_mut().find(is_pickle) {
        Some((_, pickle)) if random.random_ratio(5, 6) => mutate(random, pickle, &PICKLE),
        _ => {
            let (name, bytes) = files.as_mut_slice().choose_mut(random)?;
            if random.random() {
                mutate(random, bytes, &[]);
            } else {
                name.push('x');
            }
        }
    }
    zipped(&files)
}

/// A zip archive of files that are stored as they are.
pub fn zipped(files: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(name.as_str(), SimpleFileOptions::default()).ok()?;
        writer.write_all(bytes).ok()?;
    }
    Some(writer.finish().ok()?.into_inner())
}

/// Bytes of a header of a tar archive: name, size, kind, name of a link's target and what kind of archive it is.
const TAR_FIELDS: [std::ops::Range<usize>; 6] = [0..100, 124..136, 124..136, 156..157, 157..257, 257..265];

/// A tar archive with another header, whose checksum is right.
pub fn tar(random: &mut Random, input: &[u8]) -> Option<Vec<u8>> {
    let mut file = input.to_vec();
    let headers: Vec<usize> =
        (0..file.len() / 512).map(|i| 512 * i).filter(|at| file[at + 257..at + 262] == *b"ustar").collect();
    for _ in 0..few(random) {
        let header = &mut file[*headers.choose(random)?..][..512];
        let field = TAR_FIELDS.choose(random)?.clone();
        if field.len() == 12 && random.random() {
            // Sizes of eight billion bytes and more have another form, with the highest bit set.
            let value = *INTEGERS.choose(random)?;
            header[124..136].fill(0);
            header[124] = 0x80;
            header[128..136].copy_from_slice(&value.to_be_bytes());
        } else if field.len() == 12 {
            let digits = format!("{:011o}", *INTEGERS.choose(random)? & 0x1_ffff_ffff);
            header[124..135].copy_from_slice(digits.as_bytes());
        } else {
            let mut bytes = header[field.clone()].to_vec();
            let kinds: [&[u8]; 9] = [b"1", b"2", b"5", b"x", b"g", b"L", b"K", b"S", b"../"];
            mutate(random, &mut bytes, &kinds);
            bytes.resize(field.len(), 0);
            header[field].copy_from_slice(&bytes);
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    Some(file)
}

/// A PNG file with other chunks, whose checksums are right, and with other bytes under the compression.
pub fn png(random: &mut Random, input: &[u8]) -> Option<Vec<u8>> {
    let (signature, mut rest) = input.split_at_checked(8)?;
    let mut chunks: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    while let Some((head, behind)) = rest.split_at_checked(8) {
        let length = u32::from_be_bytes(head[..4].try_into().ok()?) as usize;
        let (data, behind) = behind.split_at_checked(length)?;
        chunks.push((head[4..].to_vec(), data.to_vec()));
        rest = behind.get(4..)?;
    }
    if chunks.is_empty() {
        return None;
    }
    let at = random.random_range(0..chunks.len());
    match random.random_range(0..6) {
        0 => drop(chunks.remove(at)),
        1 => chunks.insert(at, chunks[at].clone()),
        2 => {
            let other = random.random_range(0..chunks.len());
            chunks.swap(at, other);
        }
        3 if chunks[at].0 == b"IDAT" => {
            let mut pixels = Vec::new();
            ZlibDecoder::new(&chunks[at].1[..]).read_to_end(&mut pixels).ok()?;
            mutate(random, &mut pixels, &[]);
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&pixels).ok()?;
            chunks[at].1 = encoder.finish().ok()?;
        }
        _ => mutate(random, &mut chunks[at].1, &[b"\0\0\x40\0", b"\x10", b"\x06"]),
    }
    let mut file = signature.to_vec();
    for (kind, data) in chunks {
        file.extend((data.len() as u32).to_be_bytes());
        let begin = file.len();
        file.extend(kind);
        file.extend(data);
        let mut crc = Crc::new();
        crc.update(&file[begin..]);
        file.extend(crc.sum().to_be_bytes());
    }
    Some(file)
}

/// A JPEG file with another byte close behind a marker: sizes, tables, EXIF.
pub fn jpeg(random: &mut Random, input: &[u8]) -> Option<Vec<u8>> {
    let mut file = input.to_vec();
    let frame = file.windows(2).position(|two| two == [0xff, 0xc0] || two == [0xff, 0xc2]);
    if let Some(sides) = frame.and_then(|frame| file.get_mut(frame + 5..frame + 9))
        && random.random_ratio(1, 10)
    {
        for side in sides.chunks_mut(2) {
            side.copy_from_slice(&random.random_range(1_u16..20_000).to_be_bytes());
        }
        return Some(file);
    }
    let markers: Vec<usize> = (1..file.len()).filter(|&i| file[i - 1] == 0xff && file[i] >= 0xc0).collect();
    for _ in 0..few(random) {
        let at = markers.choose(random)? + random.random_range(0..40);
        let value = if random.random() { random.random() } else { *INTEGERS.choose(random)? as u8 };
        *file.get_mut(at)? = value;
    }
    Some(file)
}
