//! Batches of training images, prepared ahead of time by threads of their own.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};

use crate::augment::{Augmentation, paint_plain, random};
use crate::data::Object;
use crate::data::TrainingSet;
use crate::data::images::{Images, open};
use crate::engine::Batch;

/// What a batch consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPlan {
    /// From 0.
    pub epoch: usize,
    /// For each image its position in the epoch, which decides how chance changes it, and its position in the
    /// training set.
    pub images: Vec<(usize, usize)>,
    /// Side in pixels of the images as the network takes them.
    pub size: usize,
    /// Whether some images become mosaics, or get objects of others pasted in.
    pub mosaic: bool,
}

/// Images and the objects of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelledBatch {
    /// The images.
    pub batch: Batch,
    /// For each image its objects.
    pub objects: Vec<Vec<Object>>,
}

/// How batches are prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderSettings {
    /// Decides, with epoch and position, how chance changes an image.
    pub seed: u64,
    /// Number of threads, at least one. The batches do not depend on it.
    pub threads: usize,
    /// Number of batches, at least one, that may be ready or on their way before they are asked for.
    pub prefetch: usize,
}

/// Delivers the batches of a training in order. Dropping it stops its threads.
#[derive(Debug)]
pub struct Loader {
    work: Arc<SharedQueue>,
    threads: Vec<JoinHandle<()>>,
}

impl Loader {
    /// Starts to prepare batches: `plan(i)` is the `i`-th of the whole training, `None` after the last one; the first
    /// one delivered is `first`. `plan` is asked by several threads, ahead of time and in any order.
    pub fn start(
        images: Arc<Images>,
        augmentation: Augmentation,
        settings: LoaderSettings,
        first: usize,
        plan: impl Fn(usize) -> Option<BatchPlan> + Send + Sync + 'static,
    ) -> Self {
        let recipe = Recipe { images, augmentation, seed: settings.seed };
        let queue = Queue { claimed: first, delivered: first, end: usize::MAX, ready: BTreeMap::new(), stopped: false };
        let work = Arc::new(SharedQueue {
            queue: Mutex::new(queue),
            changed: Condvar::new(),
            prefetch: settings.prefetch.max(1),
        });
        let (recipe, plan) = (Arc::new(recipe), Arc::new(plan));
        // Not rayon's threads: while the network computes, those wait for its next kernel and for nothing else.
        let threads = (0..settings.threads.max(1))
            .map(|_| {
                let (work, recipe, plan) = (Arc::clone(&work), Arc::clone(&recipe), Arc::clone(&plan));
                std::thread::spawn(move || work.prepare(|index| plan(index).map(|plan| recipe.batch(&plan))))
            })
            .collect();
        Self { work, threads }
    }
}

/// Each item is the next batch, once it is ready; it fails, naming the file, where an image cannot be decoded.
impl Iterator for Loader {
    type Item = Result<LabelledBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut queue = self.work.lock();
        loop {
            let next = queue.delivered;
            if let Some(batch) = queue.ready.remove(&next) {
                queue.delivered += 1;
                self.work.changed.notify_all();
                return Some(batch);
            }
            if next >= queue.end {
                return None;
            }
            queue = self.work.wait(queue);
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.work.lock().stopped = true;
        self.work.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// What the threads share.
#[derive(Debug)]
struct SharedQueue {
    queue: Mutex<Queue>,
    /// Told of every change of the queue.
    changed: Condvar,
    prefetch: usize,
}

#[derive(Debug)]
struct Queue {
    /// The next batch that no thread has begun.
    claimed: usize,
    /// The next batch to be delivered.
    delivered: usize,
    /// The first batch that there is not, as far as known.
    end: usize,
    ready: BTreeMap<usize, Result<LabelledBatch>>,
    stopped: bool,
}

impl SharedQueue {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no thread panics while it holds the queue")
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed.wait(queue).expect("no thread panics while it holds the queue")
    }

    /// What each thread does: begins one batch after another, none too early, until there is none left.
    fn prepare(&self, batch: impl Fn(usize) -> Option<Result<LabelledBatch>>) {
        while let Some(index) = self.claim() {
            // Whoever waits for the batch must hear of it, whatever happens.
            let made = catch_unwind(AssertUnwindSafe(|| batch(index))).unwrap_or_else(|_| {
                Some(Err(anyhow!("batch {index} could not be prepared: this is a bug, please report it")))
            });
            let mut queue = self.lock();
            match made {
                Some(batch) => drop(queue.ready.insert(index, batch)),
                None => queue.end = queue.end.min(index),
            }
            self.changed.notify_all();
        }
    }

    fn claim(&self) -> Option<usize> {
        let mut queue = self.lock();
        loop {
            if queue.stopped || queue.claimed >= queue.end {
                return None;
            }
            if queue.claimed < queue.delivered + self.prefetch {
                queue.claimed += 1;
                return Some(queue.claimed - 1);
            }
            queue = self.wait(queue);
        }
    }
}

/// All that a batch depends on, but for its plan.
#[derive(Debug)]
struct Recipe {
    images: Arc<Images>,
    augmentation: Augmentation,
    seed: u64,
}

impl Recipe {
    fn batch(&self, plan: &BatchPlan) -> Result<LabelledBatch> {
        let BatchPlan { epoch, ref images, size, mosaic } = *plan;
        batch(images, size, |&(position, image), planes| {
            let rng = random(self.seed, epoch, position);
            self.augmentation.paint(rng, &self.images, image, size, mosaic, planes)
        })
    }
}

/// Images of a training set as detection sees them: letterboxed, not changed by chance.
///
/// # Errors
/// Fails, naming the file, where one cannot be decoded.
pub fn plain_batch(set: &TrainingSet, images: &[usize], size: usize) -> Result<LabelledBatch> {
    batch(images, size, |&image, planes| {
        let (_, objects) = paint_plain(&open(set, image)?, set, image, size, planes)?;
        Ok(objects)
    })
}

fn batch<T>(
    images: &[T],
    size: usize,
    mut paint: impl FnMut(&T, &mut [u8]) -> Result<Vec<Object>>,
) -> Result<LabelledBatch> {
    let area = 3 * size * size;
    let mut pixels = vec![0; images.len() * area];
    let objects = images.iter().zip(pixels.chunks_exact_mut(area)).map(|(image, planes)| paint(image, planes));
    let objects = objects.collect::<Result<Vec<_>>>()?;
    Ok(LabelledBatch { batch: Batch { pixels, images: images.len(), height: size, width: size }, objects })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::rectangles;
    use crate::data::{Difficult, Source};

    fn plan(index: usize) -> Option<BatchPlan> {
        let images = (0..3).map(|i| (3 * index + i, (7 * index + i) % 6)).collect();
        (index < 9).then_some(BatchPlan { epoch: index / 3, images, size: 32 * (1 + index % 2), mosaic: index < 6 })
    }

    fn start(set: &Arc<TrainingSet>, threads: usize, prefetch: usize, first: usize) -> Loader {
        let settings = LoaderSettings { seed: 5, threads, prefetch };
        let images = Arc::new(Images::new(Arc::clone(set), 100_000));
        Loader::start(images, Augmentation::default(), settings, first, plan)
    }

    fn without_cache(set: TrainingSet) -> Arc<Images> {
        Arc::new(Images::new(Arc::new(set), 0))
    }

    fn rest(loader: Loader) -> Vec<LabelledBatch> {
        loader.collect::<Result<_>>().unwrap()
    }

    #[test]
    fn batches_depend_neither_on_threads_nor_on_where_one_starts() {
        let (_voc, set) = rectangles();
        let set = Arc::new(set);
        let one = rest(start(&set, 1, 1, 0));
        assert_eq!(one.len(), 9);
        assert_eq!((one[1].batch.width, one[1].batch.pixels.len()), (64, 3 * 3 * 64 * 64));
        assert_ne!(one[0].batch.pixels, one[2].batch.pixels);
        assert!(one == rest(start(&set, 3, 2, 0)) && one == rest(start(&set, 2, 100, 0)));
        assert!(one[4..] == rest(start(&set, 3, 4, 4)), "after a resume");
    }

    #[test]
    fn an_archive_gives_the_batches_of_its_folder() {
        let (voc, set) = rectangles();
        let archive = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(archive.path(), voc.archive(&["VOC2007"])).unwrap();
        let source = Source { folder: archive.path().into(), split: "train".into() };
        let archived = TrainingSet::open(&[source], None, Difficult::Learn).unwrap();
        assert!(rest(start(&Arc::new(archived), 3, 2, 0)) == rest(start(&Arc::new(set), 1, 1, 0)));
    }

    #[test]
    fn no_more_than_asked_for_is_prepared_ahead() {
        let (_voc, set) = rectangles();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        let settings = LoaderSettings { seed: 0, threads: 3, prefetch: 2 };
        let mut loader = Loader::start(without_cache(set), Augmentation::default(), settings, 0, move |index| {
            record.lock().unwrap().push(index);
            plan(index)
        });
        for delivered in 1..=5 {
            loader.next().unwrap().unwrap();
            assert!(asked.lock().unwrap().iter().all(|&index| index < delivered + 2));
        }
    }

    #[test]
    fn a_image_that_broke_meanwhile_is_named_in_its_turn() {
        let (voc, set) = rectangles();
        voc.cut("colour4");
        let mut loader = Loader::start(
            without_cache(set.clone()),
            Augmentation { mosaic: 0.0, ..Augmentation::default() },
            LoaderSettings { seed: 0, threads: 2, prefetch: 3 },
            0,
            |index| (index < 6).then(|| BatchPlan { epoch: 0, images: vec![(index, index)], size: 32, mosaic: true }),
        );
        for index in 0..6 {
            match loader.next().unwrap() {
                Ok(_) => assert_ne!(index, 4),
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(index == 4 && error.contains("colour4.jpg") && error.contains("cut short"), "{error}");
                }
            }
        }
        assert!(loader.next().is_none() && loader.next().is_none());
        assert!(plain_batch(&set, &[3, 4], 32).is_err());
    }

    #[test]
    fn dropping_stops_threads_that_wait_and_panics_do_not_hang() {
        let (_voc, set) = rectangles();
        let set = Arc::new(set);
        let mut loader = start(&set, 3, 2, 0);
        loader.next().unwrap().unwrap();
        drop(loader);
        drop(start(&set, 2, 1, 0));
        let settings = LoaderSettings { seed: 0, threads: 1, prefetch: 1 };
        let images = Arc::new(Images::new(set, 0));
        let mut loader = Loader::start(images, Augmentation::default(), settings, 0, |_| panic!("on purpose"));
        assert!(loader.next().unwrap().unwrap_err().to_string().contains("a bug"));
    }

    #[test]
    fn plain_batches_are_in_the_order_asked_for() {
        let (_voc, set) = rectangles();
        let batch = plain_batch(&set, &[5, 0], 64).unwrap();
        assert_eq!((batch.batch.images, batch.batch.pixels.len()), (2, 2 * 3 * 64 * 64));
        assert_eq!(batch.objects.iter().map(|objects| objects[0].class).collect::<Vec<_>>(), [5, 0]);
        assert_eq!(plain_batch(&set, &[0], 64).unwrap().batch.pixels, batch.batch.pixels[3 * 64 * 64..]);
    }
}
