//! A tar archive that is read where it lies: an index of its members, and reads at any place by any thread.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

/// Bytes that headers and contents are rounded up to.
const BLOCK: u64 = 512;

/// First bytes of files that were compressed, and what decompresses them.
const COMPRESSED: [(&[u8], &str, &str); 7] = [
    (b"PK\x03\x04", "zip", "unzip"),
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"\xfd7zXZ\0", "xz", "unxz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", "unzstd"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", "7z x"),
    (b"Rar!\x1a\x07", "RAR", "unrar x"),
];

/// An open archive.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    /// Of every file in it: where its bytes begin and how many there are.
    members: HashMap<PathBuf, (u64, u64)>,
}

impl Archive {
    /// Opens the archive `path` and looks through its headers once.
    ///
    /// # Errors
    /// Fails, naming the archive and a remedy, where it is compressed, no archive, or cut short.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = path.display();
        let mut file = File::open(path).with_context(|| format!("the archive {name} cannot be opened"))?;
        let length = file.metadata().with_context(|| name.to_string())?.len();
        ensure!(length > 0, "the archive {name} is empty (0 bytes): copy or download it again");
        let mut start = Vec::new();
        file.by_ref().take(8).read_to_end(&mut start).with_context(|| name.to_string())?;
        if let Some((_, format, remedy)) = COMPRESSED.iter().find(|(magic, ..)| start.starts_with(magic)) {
            bail!(
                "the archive {name} is compressed ({format}), so that images cannot be read at any place: decompress it \
                 first, as in `{remedy} {name}`"
            );
        }
        file.rewind().with_context(|| name.to_string())?;
        let members = index(&file, length, path)?;
        Ok(Self { file, members })
    }

    /// The files in it, in no order.
    pub(super) fn members(&self) -> impl Iterator<Item = &Path> {
        self.members.keys().map(PathBuf::as_path)
    }

    pub(super) fn contains(&self, member: &Path) -> bool {
        self.members.contains_key(member)
    }

    /// The bytes of a member.
    ///
    /// # Errors
    /// Fails where there is none of this name, or the archive has changed since it was opened.
    pub(super) fn read(&self, member: &Path) -> io::Result<Vec<u8>> {
        let &(start, length) = self.members.get(member).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = vec![0; length as usize];
        read_exact_at(&self.file, &mut bytes, start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(error.kind(), "the archive has become shorter since it was opened: bring it back")
            }
            _ => error,
        })?;
        Ok(bytes)
    }
}

/// Where the files in an archive of `length` bytes lie.
fn index(file: &File, length: u64, path: &Path) -> Result<HashMap<PathBuf, (u64, u64)>> {
    let name = path.display();
    let cut_short = |what: String| anyhow!("{what} is cut short: copy or download the archive again");
    // Behind a member, whose end this is, there is at least one more block: of the next header, or of zeros.
    let is_cut = |end: u64| length < end + BLOCK;
    // What the crate says about a file that is no archive has lines of that file in it.
    let broken = |error: io::Error, end: u64| match end {
        _ if error.raw_os_error().is_some() => anyhow!("the archive {name} cannot be read ({error})"),
        0 => anyhow!("{name} is no tar archive: name a folder in Pascal VOC's layout, or a .tar archive of one"),
        _ if is_cut(end) => cut_short(format!("the archive {name}")),
        _ => anyhow!("the archive {name} is damaged behind byte {end}: copy or download it again"),
    };
    let mut members = HashMap::new();
    let mut end = 0;
    for entry in tar::Archive::new(file).entries_with_seek().map_err(|error| broken(error, 0))? {
        let entry = entry.map_err(|error| broken(error, end))?;
        let member = normal(&entry.path().map_err(|error| broken(error, end))?);
        let (start, size) = (entry.raw_file_position(), entry.size());
        if start.checked_add(size).is_none_or(|end| end > length) {
            return Err(cut_short(format!("{}", path.join(member).display())));
        }
        end = (start + size).next_multiple_of(BLOCK);
        let kind = entry.header().entry_type();
        if kind.is_file() || kind.is_contiguous() {
            members.insert(member, (start, size));
        } else if let (true, Some(target)) =
            (kind.is_hard_link(), entry.link_name().map_err(|error| broken(error, end))?)
        {
            // The same file under a second name.
            if let Some(&place) = members.get(&normal(&target)) {
                members.insert(member, place);
            }
        }
    }
    if is_cut(end) {
        return Err(cut_short(format!("the archive {name}")));
    }
    Ok(members)
}

/// Without the `./` that names begin with in archives of a folder's content.
fn normal(name: &Path) -> PathBuf {
    name.components().filter(|part| *part != Component::CurDir).collect()
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => (bytes, offset) = (&mut bytes[count..], offset + count as u64),
        }
    }
    Ok(())
}
