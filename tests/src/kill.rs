//! Trainings, campaigns, prunings, publications and conversions that are disturbed at random moments, and have to end with the bits of
//! those that were not: see docs/reliability.md. `cargo xtask kill-test` and the test `kill` run [`campaign`].

mod disturb;
mod scene;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use walkdir::WalkDir;

pub use disturb::Disturbance;
pub use scene::Scene;

/// How the names of files begin that are being written.
const TEMPORARY: &str = ".yolox-nano-";

/// A command that is not disturbed comes to its end within this.
const LIMIT: Duration = Duration::from_secs(300);

/// Contents of files by their paths in a scene's folder.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What a scene comes to where nobody disturbs it.
struct Reference {
    files: Files,
    /// How long it takes.
    time: Duration,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Trials, by scene and disturbance.
    pub trials: BTreeMap<(Scene, Disturbance), usize>,
    /// Processes that were killed, or ended with an error as they should.
    pub ended: usize,
    /// Processes that were through before they could be disturbed.
    pub unhurt: usize,
    /// Disturbances that this machine does not allow, and why.
    pub skipped: BTreeMap<Disturbance, String>,
}

/// Makes `times` trials, which `seed` decides; `progress` is told of each.
///
/// # Errors
/// Fails at the first trial that does not end as an undisturbed one, telling how to repeat it.
pub fn campaign(times: usize, seed: u64, progress: &mut dyn FnMut(&str)) -> Result<Report> {
    let mut report = Report::default();
    let mut possible = Vec::new();
    for disturbance in Disturbance::ALL {
        match disturbance.is_possible() {
            Ok(()) => possible.push(disturbance),
            Err(why) => drop(report.skipped.insert(disturbance, format!("{why:#}"))),
        }
    }
    let mut references = BTreeMap::new();
    for number in 0..times {
        let mut random = Pcg64Mcg::seed_from_u64(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Every pair has its turn; what is left to chance is when and how often.
        let scene = Scene::ALL[number % Scene::ALL.len()];
        let disturbance = possible[(number + number / 30) % possible.len()];
        let reference = match references.entry(scene) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(reference(scene)?),
        };
        let trial = Trial { scene, disturbance, reference };
        let told = trial.run(&mut random, &mut report).with_context(|| {
            format!("trial {number} of seed {seed} ({scene:?}, {disturbance:?}); all up to it again: cargo xtask kill-test --seed {seed} --times {}", number + 1)
        })?;
        *report.trials.entry((scene, disturbance)).or_default() += 1;
        progress(&format!("{:3} {scene:?}, {disturbance:?}: {told}", number + 1));
    }
    Ok(report)
}

fn reference(scene: Scene) -> Result<Reference> {
    let folder = tempfile::tempdir()?;
    scene.prepare(folder.path());
    let start = Instant::now();
    finish(scene, folder.path())?;
    let files = scene.result(folder.path())?;
    ensure!(!files.is_empty(), "{scene:?} writes nothing that can be compared");
    Ok(Reference { files, time: start.elapsed() })
}

/// Runs a scene's command until it is through.
fn finish(scene: Scene, folder: &Path) -> Result<()> {
    let mut child = scene.command(folder).spawn().context("the program cannot be started")?;
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "the next start fails ({status}): {}", scene.said(folder));
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    bail!("the next start does not come to an end: {}", scene.said(folder))
}

struct Trial<'a> {
    scene: Scene,
    disturbance: Disturbance,
    reference: &'a Reference,
}

impl Trial<'_> {
    fn run(&self, random: &mut Pcg64Mcg, report: &mut Report) -> Result<String> {
        let Self { scene, disturbance, reference } = *self;
        let place = disturbance.place()?;
        let folder = place.path();
        scene.prepare(folder);
        let mut told = Vec::new();
        for _ in 0..*[1, 1, 2, 3].choose(random).expect("there are some") {
            // Beginnings and ends are short and delicate.
            let part = match random.random_range(0..4) {
                0 => random.random_range(0.0..0.2),
                _ => random.random_range(0.0..1.0),
            };
            let moment = reference.time.mul_f64(part);
            let ended = disturbance.apply(scene, &place, moment, random)?;
            told.push(format!("{:.2} s {}", moment.as_secs_f64(), if ended { "hurt" } else { "unhurt" }));
            *(if ended { &mut report.ended } else { &mut report.unhurt }) += 1;
            scene.check(folder).context("after the disturbance")?;
        }
        finish(scene, folder)?;
        compare(&scene.result(folder)?, &reference.files)?;
        let temporary = |entry: &walkdir::DirEntry| entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        if let Some(left) = WalkDir::new(folder).into_iter().filter_map(Result::ok).find(temporary) {
            bail!("{} is left", left.path().display());
        }
        Ok(told.join(", "))
    }
}

fn compare(found: &Files, expected: &Files) -> Result<()> {
    let names = |files: &Files| files.keys().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    ensure!(found.keys().eq(expected.keys()), "there are the files {}, not {}", names(found), names(expected));
    for (path, bytes) in expected {
        ensure!(&found[path] == bytes, "{} has other bytes", path.display());
    }
    Ok(())
}

/// The contents of the files at these paths below `folder`; those that are missing are left out.
fn read(folder: &Path, paths: &[&str]) -> Files {
    paths.iter().filter_map(|path| Some((PathBuf::from(path), fs::read(folder.join(path)).ok()?))).collect()
}
