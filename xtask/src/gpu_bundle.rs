//! `cargo xtask gpu-bundle`: a folder that checks a GPU on a machine that has neither Rust nor this repository.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{build, cargo, executable, root};
use crate::libtorch;

const START: &str = include_str!("gpu_bundle.sh");
/// The archive of images in the folder.
const DATA: &str = "VOC.tar";
/// Bytes of the folder, at most.
const LIMIT: u64 = 60_000_000;

/// Make a folder to carry to a machine with an NVIDIA GPU: the program, images, and a script that checks the GPU or trains.
///
/// The machine needs NVIDIA's driver, and CUDA's libraries from a toolkit or from PyTorch. Where a libtorch is found (docs/cuda.md)
/// there is a second program with its engine.
#[derive(clap::Args)]
pub struct GpuBundle {
    /// The folder, which is replaced [default: target/gpu-bundle].
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// A data set in Pascal VOC's layout, of which as many images come along as there is room for: up to 60 MB in all.
    #[arg(long, value_name = "FOLDER:SPLIT")]
    data: Option<String>,
}

impl GpuBundle {
    /// Makes the folder.
    pub fn run(self) -> Result<()> {
        let out = self.out.unwrap_or_else(|| root().join("target/gpu-bundle"));
        if out.exists() {
            // Nothing of somebody else's.
            ensure!(out.join("start.sh").is_file(), "{} is there and was not made by this command", out.display());
            fs::remove_dir_all(&out).with_context(|| out.display().to_string())?;
        }
        fs::create_dir_all(&out).with_context(|| out.display().to_string())?;

        let plain = ["build", "--release", "--package", "native-train"];
        let mut command = cargo();
        command.args(plain).env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
        place(executable(&build(&mut command)?, "yolox-nano")?, &out.join("yolox-nano"))?;
        match libtorch::find() {
            Ok(libtorch) => {
                let mut command = cargo();
                command.args(plain).args(["--features", "torch"]).env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
                // Another place, so that the program without libtorch stays.
                command.env("CARGO_TARGET_DIR", root().join("target/torch"));
                let built = build(libtorch.equip(&mut command))?;
                place(executable(&built, "yolox-nano")?, &out.join("yolox-nano-torch"))?;
            }
            Err(error) => println!("without libtorch's engine: {error:#}"),
        }
        let start = out.join("start.sh");
        fs::write(&start, START).with_context(|| start.display().to_string())?;
        make_executable(&start)?;
        if let Some(data) = &self.data {
            let room = LIMIT.saturating_sub(size(&out)?);
            let images = archive(data, &out.join(DATA), room)?;
            println!("{images} pictures of {data}");
        }
        let size = size(&out)?;
        println!("{}: {:.1} MB", out.display(), size as f64 / 1e6);
        ensure!(size <= LIMIT, "the folder has more than {} MB", LIMIT / 1_000_000);
        println!("Copy it to a machine with a GPU and run ./start.sh there (./start.sh --help tells more).");
        Ok(())
    }
}

fn place(program: &Path, to: &Path) -> Result<()> {
    fs::copy(program, to).with_context(|| to.display().to_string())?;
    Ok(())
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}

/// Writes an archive of as many images of a split, from its first on, as fit into `room` bytes; returns their number.
fn archive(data: &str, to: &Path, room: u64) -> Result<usize> {
    let Some((folder, split)) = data.rsplit_once(':') else {
        bail!("--data {data}: a folder and a split are needed, as in VOCdevkit/VOC2007:trainval")
    };
    let folder = Path::new(folder);
    let list = format!("ImageSets/Main/{split}.txt");
    let names = fs::read_to_string(folder.join(&list)).with_context(|| folder.join(&list).display().to_string())?;
    // The list itself, and the archive's end.
    let mut used = padded(names.len() as u64) + 2 * BLOCK;
    let mut taken = Vec::new();
    for name in names.lines().filter_map(|line| line.split_whitespace().next()) {
        let files = [format!("JPEGImages/{name}.jpg"), format!("Annotations/{name}.xml")];
        let mut bytes = 0;
        for file in &files {
            let path = folder.join(file);
            bytes += padded(fs::metadata(&path).with_context(|| path.display().to_string())?.len());
        }
        if used + bytes > room {
            break;
        }
        used += bytes;
        taken.push((name, files));
    }
    ensure!(!taken.is_empty(), "there is no room for a single picture of {data}");
    let mut archive = tar::Builder::new(File::create(to).with_context(|| to.display().to_string())?);
    for file in taken.iter().flat_map(|(_, files)| files) {
        archive.append_path_with_name(folder.join(file), file)?;
    }
    let names: String = taken.iter().map(|(name, _)| format!("{name}\n")).collect();
    let mut header = tar::Header::new_ustar();
    header.set_size(names.len() as u64);
    header.set_mode(0o644);
    // The split's name goes into the script.
    archive.append_data(&mut header, "ImageSets/Main/train.txt", names.as_bytes())?;
    archive.finish()?;
    Ok(taken.len())
}

/// Bytes of an archive's blocks.
const BLOCK: u64 = 512;

/// What a file takes in an archive.
fn padded(bytes: u64) -> u64 {
    BLOCK + bytes.next_multiple_of(BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_takes_what_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        for part in ["JPEGImages", "Annotations", "ImageSets/Main"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        for name in ["a", "b", "c"] {
            fs::write(folder.path().join(format!("JPEGImages/{name}.jpg")), [0; 5000]).unwrap();
            fs::write(folder.path().join(format!("Annotations/{name}.xml")), [0; 100]).unwrap();
        }
        fs::write(folder.path().join("ImageSets/Main/val.txt"), "a\nb\nc\n").unwrap();
        let data = format!("{}:val", folder.path().display());
        let to = folder.path().join("out.tar");
        assert_eq!(archive(&data, &to, 1_000_000).unwrap(), 3);
        assert_eq!(archive(&data, &to, 16_000).unwrap(), 2);
        assert!(fs::metadata(&to).unwrap().len() <= 16_000);
        let mut tar = tar::Archive::new(File::open(&to).unwrap());
        let names: Vec<_> = tar.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names.last().unwrap(), "ImageSets/Main/train.txt");
        assert_eq!(names.len(), 5);
        assert!(archive(&data, &to, 100).unwrap_err().to_string().contains("no room"));
        assert!(archive("nowhere", &to, 100).unwrap_err().to_string().contains("a folder and a split"));
    }
}
