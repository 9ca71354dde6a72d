//! A campaign's folder in files that are each below a size, for machines that hand back no larger ones. Each parcel is a tar archive of
//! compressed pieces: what of it arrives can be used, whatever becomes of the others.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use walkdir::WalkDir;

use super::{CampaignFolder, FINISHED};
use crate::files::write_atomic;

/// What an entry of an archive takes besides its bytes, and what its end takes.
const ENTRY: usize = 2048;
/// Bytes that a file may come to when it is unpacked: a checkpoint has 15 MB.
const MOST_BYTES: u64 = 1 << 30;

/// A part of a compressed file.
struct Piece {
    /// `path.gz.1-of-2`, relative to the runs' folder.
    name: String,
    bytes: Vec<u8>,
}

/// Writes the campaign's runs as `parcel-001.tar` and so on into `to`, each of at most `max_bytes`: runs that have come to their end
/// first. Returns the files.
///
/// # Errors
/// Fails where a file cannot be read or written, or `to` holds parcels already.
pub fn pack(folder: &CampaignFolder, to: &Path, max_bytes: usize) -> Result<Vec<PathBuf>> {
    ensure!(max_bytes > 4 * ENTRY, "parcels of {max_bytes} bytes are too small: give a larger --max-mib");
    let old = parcels(to)?;
    ensure!(old.is_empty(), "{} holds parcels already: remove them, or name another folder", to.display());
    std::fs::create_dir_all(to).with_context(|| format!("the folder {} cannot be made", to.display()))?;
    let root = folder.runs();
    let mut files = Vec::new();
    for entry in WalkDir::new(&root).sort_by_file_name() {
        let entry = entry.with_context(|| format!("{} cannot be read", root.display()))?;
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    ensure!(!files.is_empty(), "there is nothing of the campaign in {}", root.display());
    let is_finished =
        |file: &PathBuf| file.ancestors().take_while(|path| *path != root).any(|path| path.join(FINISHED).is_file());
    files.sort_by_key(|file| !is_finished(file));

    let mut written = Vec::new();
    let mut parcel: Vec<Piece> = Vec::new();
    let room = max_bytes - 2 * ENTRY;
    for file in &files {
        for piece in pieces(&root, file, room)? {
            let taken: usize = parcel.iter().map(|piece| piece.bytes.len() + ENTRY).sum();
            if !parcel.is_empty() && taken + piece.bytes.len() + ENTRY > room {
                written.push(write(to, written.len() + 1, &std::mem::take(&mut parcel))?);
            }
            parcel.push(piece);
        }
    }
    written.push(write(to, written.len() + 1, &parcel)?);
    Ok(written)
}

/// Reads the parcels in `from` back into the campaign's folder; files that are there are replaced. Returns how many files came, and
/// which are incomplete, as parcels are missing.
///
/// # Errors
/// Fails where a parcel cannot be read or a file not written.
pub fn unpack(folder: &CampaignFolder, from: &Path) -> Result<(usize, Vec<String>)> {
    let parcels = parcels(from)?;
    ensure!(!parcels.is_empty(), "there are no parcels (parcel-001.tar ...) in {}", from.display());
    let mut found: BTreeMap<String, (usize, BTreeMap<usize, Vec<u8>>)> = BTreeMap::new();
    for path in &parcels {
        let name = || format!("the parcel {} cannot be read: was it cut short?", path.display());
        let mut archive = tar::Archive::new(File::open(path).with_context(name)?);
        for entry in archive.entries().with_context(name)? {
            let mut entry = entry.with_context(name)?;
            let piece = entry.path().with_context(name)?.to_string_lossy().into_owned();
            let (file, number, count) = parsed(&piece).with_context(name)?;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).with_context(name)?;
            let (all, of_file) = found.entry(file.into()).or_default();
            *all = count;
            of_file.insert(number, bytes);
        }
    }
    let mut incomplete = Vec::new();
    let mut count = 0;
    for (file, (all, pieces)) in found {
        if pieces.len() < all {
            incomplete.push(file);
            continue;
        }
        let compressed: Vec<u8> = pieces.into_values().flatten().collect();
        let mut bytes = Vec::new();
        let read = GzDecoder::new(&compressed[..]).take(MOST_BYTES).read_to_end(&mut bytes);
        read.with_context(|| format!("{file} in {} is damaged", from.display()))?;
        write_atomic(&folder.runs().join(&file), &bytes)?;
        count += 1;
    }
    Ok((count, incomplete))
}

/// The parcels in a folder, in their order.
fn parcels(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("{} cannot be read", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("parcel-") && name.ends_with(".tar") {
            paths.push(path.clone());
        }
    }
    paths.sort();
    Ok(paths)
}

/// A file, compressed, in pieces of at most `room` bytes.
fn pieces(root: &Path, file: &Path, room: usize) -> Result<Vec<Piece>> {
    let name = file.strip_prefix(root).expect("files come from the runs' folder");
    let name = name.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&bytes)?;
    let compressed = encoder.finish()?;
    let count = compressed.len().div_ceil(room - ENTRY).max(1);
    let piece =
        |(i, bytes): (usize, &[u8])| Piece { name: format!("{name}.gz.{}-of-{count}", i + 1), bytes: bytes.into() };
    Ok(compressed.chunks(compressed.len().div_ceil(count)).enumerate().map(piece).collect())
}

/// Of `path.gz.1-of-2`: the path, which leads nowhere but down, 1, and 2.
fn parsed(piece: &str) -> Result<(&str, usize, usize)> {
    let foreign = || format!("\"{piece}\" is no piece of a campaign");
    let (file, numbers) = piece.rsplit_once(".gz.").with_context(foreign)?;
    let (number, count) = numbers.split_once("-of-").with_context(foreign)?;
    let (number, count) =
        (number.parse::<usize>().with_context(foreign)?, count.parse::<usize>().with_context(foreign)?);
    let leads_down = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    if !leads_down || number == 0 || number > count {
        bail!(foreign());
    }
    Ok((file, number, count))
}

fn write(to: &Path, number: usize, pieces: &[Piece]) -> Result<PathBuf> {
    let path = to.join(format!("parcel-{number:03}.tar"));
    let mut archive = tar::Builder::new(Vec::new());
    for Piece { name, bytes } in pieces {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, name, &bytes[..])?;
    }
    write_atomic(&path, &archive.into_inner()?)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that do not compress.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let byte = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..len).map(byte).collect()
    }

    #[test]
    fn parcels_are_small_and_come_back_and_a_missing_one_costs_only_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CampaignFolder::new(&dir.path().join("campaign"));
        let large = noise(70_000);
        let files = [("b-s0/checkpoint.safetensors", &large[..]), ("b-s0.log", b"said"), ("a-s0/finished.json", b"{}")];
        for (name, bytes) in files {
            write_atomic(&folder.runs().join(name), bytes).unwrap();
        }
        let parcels = dir.path().join("parcels");
        let written = pack(&folder, &parcels, 30_000).unwrap();
        assert!(written.len() >= 3, "{written:?}");
        assert!(written.iter().all(|file| file.metadata().unwrap().len() <= 30_000));
        assert!(pack(&folder, &parcels, 30_000).unwrap_err().to_string().contains("already"));

        let other = CampaignFolder::new(&dir.path().join("other"));
        assert_eq!(unpack(&other, &parcels).unwrap(), (3, Vec::new()));
        for (name, bytes) in files {
            assert_eq!(std::fs::read(other.runs().join(name)).unwrap(), bytes, "{name}");
        }
        // What has come to its end is in the first; the large file's pieces are behind it.
        std::fs::remove_file(&written[2]).unwrap();
        let partial = CampaignFolder::new(&dir.path().join("partial"));
        let (_, incomplete) = unpack(&partial, &parcels).unwrap();
        assert!(incomplete.iter().any(|file| file.ends_with("checkpoint.safetensors")), "{incomplete:?}");
        assert!(partial.runs().join("a-s0/finished.json").is_file());
    }

    #[test]
    fn pieces_lead_nowhere_else() {
        assert_eq!(parsed("a/b.json.gz.1-of-2").unwrap(), ("a/b.json", 1, 2));
        for bad in ["../a.gz.1-of-1", "/a.gz.1-of-1", "a.gz.0-of-1", "a.gz.3-of-2", "a.gz", "a.gz.x-of-1"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
