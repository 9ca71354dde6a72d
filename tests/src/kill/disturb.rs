//! How a command is disturbed.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use rand::Rng;
use rand_pcg::Pcg64Mcg;
use tempfile::TempDir;
use walkdir::WalkDir;

use super::Scene;
use super::scene::in_folder;
use crate::yolox_nano;

/// Something that goes wrong outside of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disturbance {
    /// SIGKILL to the process and all that it started.
    Kill,
    /// SIGKILL to the process alone: what it started lives on for a moment.
    KillParent,
    /// SIGKILL, and then the clock is years ahead or behind, as the times of all files show.
    Clock,
    /// No file may grow beyond some size.
    FileSize,
    /// A small file system that becomes full, and is made larger.
    FullDisk,
    /// Folders become read-only for somebody who may not change that, and writable again.
    ReadOnly,
}

/// Nobody's user.
const NOBODY: u32 = 65534;

/// Bytes of a file system with enough room.
const ROOMY: u64 = 256 << 20;

/// Longest that a process may take to notice that it cannot go on.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a trial takes place.
pub struct Place {
    folder: TempDir,
    /// Whether a file system of its own is there.
    is_mounted: bool,
}

impl Place {
    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn mount(&self, options: &str) -> Result<()> {
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.path()).status()?;
        ensure!(status.success(), "a small file system cannot be mounted ({status})");
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
        }
    }
}

impl Disturbance {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Kill, Self::KillParent, Self::Clock, Self::FullDisk, Self::FileSize, Self::ReadOnly];

    /// Whether this machine allows it.
    ///
    /// # Errors
    /// Says why not.
    pub fn is_possible(self) -> Result<()> {
        match self {
            Self::FullDisk => {
                ensure!(is_root(), "only root can mount a small file system");
                self.place().map(drop)
            }
            Self::ReadOnly if is_root() => {
                let folder = tempfile::tempdir()?;
                fs::set_permissions(folder.path(), permissions(0o777))?;
                let mut command = Command::new(yolox_nano());
                command.arg("--version").current_dir(folder.path()).stdout(std::process::Stdio::null());
                std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
                let status =
                    command.status().context("nobody's user may not start the program, and root writes anywhere")?;
                ensure!(status.success(), "nobody's user cannot run the program ({status})");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A new folder to do it in.
    pub(super) fn place(self) -> Result<Place> {
        let mut place = Place { folder: tempfile::tempdir()?, is_mounted: false };
        if self == Self::FullDisk {
            place.mount(&format!("size={ROOMY}"))?;
            place.is_mounted = true;
        }
        Ok(place)
    }

    /// Starts a scene's command and disturbs it after `moment`. Afterwards nothing is in the way of the next start. Returns false
    /// where the command was through before.
    pub(super) fn apply(self, scene: Scene, place: &Place, moment: Duration, random: &mut Pcg64Mcg) -> Result<bool> {
        let folder = place.path();
        match self {
            Self::Kill | Self::KillParent | Self::Clock => {
                let mut child = scene.command(folder).spawn()?;
                let is_through = wait(&mut child, moment)?;
                if self != Self::KillParent {
                    // In one go, as where a machine dies. Those that are through by then are none any more.
                    let all = std::iter::once(child.id()).chain(children(child.id())).map(|id| id.to_string());
                    Command::new("kill").arg("-KILL").args(all).output()?;
                }
                child.kill()?;
                child.wait()?;
                if self == Self::Clock {
                    let days: i64 = random.random_range(-3000..3000);
                    set_times(folder, days)?;
                }
                Ok(!is_through)
            }
            Self::FileSize => {
                let plain = scene.command(folder);
                let mut command = Command::new("sh");
                // Some kinds of shells count by 512 bytes, others by 1024. Without the signal, writing fails.
                command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", random.random_range(0..9000)));
                command.arg("sh").arg(plain.get_program()).args(plain.get_args());
                in_folder(&mut command, folder);
                refuse(&mut command, folder)
            }
            Self::FullDisk => {
                let used: u64 = WalkDir::new(folder)
                    .into_iter()
                    .map(|entry| {
                        entry.and_then(|entry| entry.metadata()).map_or(0, |data| data.len().next_multiple_of(4096))
                    })
                    .sum();
                let room = used + random.random_range(0..16 << 20);
                place.mount(&format!("remount,size={room}"))?;
                let ended = refuse(&mut scene.command(folder), folder);
                place.mount(&format!("remount,size={ROOMY}"))?;
                ended
            }
            Self::ReadOnly => {
                set_permissions(folder, 0o777)?;
                let mut command = scene.command(folder);
                if is_root() {
                    std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
                }
                let mut child = command.spawn()?;
                let is_through = wait(&mut child, moment)?;
                set_permissions(folder, 0o555)?;
                let ended = end(&mut child, folder);
                set_permissions(folder, 0o777)?;
                Ok(!is_through && !ended?)
            }
        }
    }
}

/// Runs a command that may find no room. Returns whether it failed.
fn refuse(command: &mut Command, folder: &Path) -> Result<bool> {
    let mut child = command.spawn()?;
    end(&mut child, folder).map(|success| !success)
}

/// Waits for the end of a process, which must be one of its own will: success or an error that it tells. Returns whether
/// it was success.
fn end(child: &mut Child, folder: &Path) -> Result<bool> {
    if !wait(child, PATIENCE)? {
        child.kill()?;
        child.wait()?;
        bail!("it does not come to an end where it cannot write");
    }
    let status = child.wait()?;
    match status.code() {
        Some(code @ (0 | 1)) => Ok(code == 0),
        _ => bail!("it ends with {status} where it cannot write ({})", folder.display()),
    }
}

/// Waits so long for the end of a process; whether it came.
fn wait(child: &mut Child, time: Duration) -> Result<bool> {
    let start = Instant::now();
    loop {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        let left = time.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(false);
        }
        std::thread::sleep(left.min(Duration::from_millis(2)));
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    WalkDir::new(folder).into_iter().filter_map(Result::ok).map(walkdir::DirEntry::into_path)
}

/// All files are from so many days later than now.
fn set_times(folder: &Path, days: i64) -> Result<()> {
    let span = Duration::from_secs(days.unsigned_abs() * 86_400);
    let now = SystemTime::now();
    let time = if days < 0 { now - span } else { now + span };
    for path in entries(folder).filter(|path| path.is_file()) {
        let times = FileTimes::new().set_modified(time).set_accessed(time);
        File::options().write(true).open(&path)?.set_times(times).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// What a process has started; nothing where the system does not tell.
fn children(id: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    texts.flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}

fn permissions(mode: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

fn set_permissions(folder: &Path, mode: u32) -> Result<()> {
    // A folder may be gone by now.
    entries(folder).for_each(|path| drop(fs::set_permissions(path, permissions(mode))));
    Ok(())
}
