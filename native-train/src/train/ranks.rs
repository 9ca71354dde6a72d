//! A training that several processes share, as MPI starts them: each computes its share of every step's batches.
//!
//! The first process trains as if it were alone: it evaluates, writes, and decides when to stop. The others
//! ([`follow`](super::follower::follow)) get its parameters at every step and hand back sums of gradients. Both together cost what an
//! all-reduce does, and nobody but the first can disagree about anything.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::checkpoint::TrainingProgress;
use super::schedule::Schedule;
use super::settings::Settings;
use super::trainer::BatchLosses;

#[cfg_attr(not(feature = "mpi"), path = "ranks/no_world.rs")]
mod world;

use world::World;

/// Variables that tell a process how many there are: Open MPI's, and those of MPICH and its relatives.
const COUNTS: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"];

/// What the first process tells the others.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// A training begins or goes on; its data and networks are needed.
    Prepare(Box<TrainingProgress>),
    /// A step; parameters follow.
    Step {
        /// Finished iterations.
        iteration: usize,
        /// When stages begin.
        schedule: Schedule,
        /// How often the first process has begun to load batches anew.
        loaders: usize,
        /// Losses against parts of the teacher that a share has.
        parts: usize,
    },
    /// It is over.
    End,
}

/// Which of a step's batches a process computes: every `count`-th.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The process's number, from 0.
    pub index: usize,
    /// How many there are; divides the number of a step's batches.
    pub count: usize,
}

impl Place {
    /// How many of the `accumulate` batches of a step.
    pub fn batches(&self, accumulate: usize) -> usize {
        accumulate / self.count
    }

    /// Which of the whole training's batches the process's `i`-th is.
    pub fn batch(&self, i: usize, accumulate: usize) -> usize {
        let each = self.batches(accumulate);
        i / each * accumulate + i % each * self.count + self.index
    }
}

/// The processes of a training, as one of them sees them.
pub struct Ranks {
    world: Option<World>,
}

impl Ranks {
    /// One process, which nobody shares anything with.
    pub fn alone() -> Self {
        Self { world: None }
    }

    /// All processes that MPI started together with this one, where it did.
    ///
    /// # Errors
    /// Fails where MPI does, or is not built in.
    pub fn join() -> Result<Self> {
        let is_one_of_many = COUNTS.iter().filter_map(|name| std::env::var(name).ok()).any(|count| count != "1");
        Ok(Self { world: if is_one_of_many { Some(World::join()?) } else { None } })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.world.as_ref().map_or(1, World::count)
    }

    /// The number of this one, from 0.
    pub fn index(&self) -> usize {
        self.world.as_ref().map_or(0, World::index)
    }

    /// Its number among those on the same machine, from 0.
    pub fn index_on_machine(&self) -> usize {
        self.world.as_ref().map_or(0, World::index_on_machine)
    }

    /// Refuses steps whose batches cannot be shared out evenly.
    ///
    /// # Errors
    /// Says so, and the remedy.
    pub fn check(&self, settings: &Settings) -> Result<()> {
        let (accumulate, count) = (settings.accumulate, self.count());
        ensure!(
            accumulate.is_multiple_of(count),
            "a step has {accumulate} batches, which {count} processes cannot share evenly: start as many as divide it, or a \
             training with --accumulate {}",
            accumulate.next_multiple_of(count)
        );
        Ok(())
    }

    /// This one's number, and how many there are.
    pub fn place(&self) -> Place {
        Place { index: self.index(), count: self.count() }
    }

    /// Tells the others what to do; called by the first alone.
    ///
    /// # Errors
    /// Fails where it cannot be written down.
    pub fn order(&self, order: &Order) -> Result<()> {
        let Some(world) = &self.world else { return Ok(()) };
        let mut text = serde_json::to_vec(order)?;
        world.broadcast(&mut [text.len() as u64]);
        world.broadcast(&mut text);
        Ok(())
    }

    /// What the first wants next; called by all others.
    ///
    /// # Errors
    /// Fails where it is not understood.
    pub fn await_order(&self) -> Result<Order> {
        let world = self.world.as_ref().context("there is no other process")?;
        let mut len = [0_u64];
        world.broadcast(&mut len);
        let mut text = vec![0_u8; usize::try_from(len[0])?];
        world.broadcast(&mut text);
        serde_json::from_slice(&text).context("the first process was not understood: all must be the same program")
    }

    /// Gives all processes the first one's parameters.
    pub fn share_parameters(&self, parameters: &mut [f32]) {
        if let Some(world) = &self.world {
            world.broadcast(parameters);
        }
    }

    /// Puts the shares of a step together, at the first process: its `update` becomes the sum of all, and the losses of all, which have
    /// `parts`, are returned. Every process calls this at every step, also where its own share failed; then its error is told to the
    /// first one.
    ///
    /// # Errors
    /// Fails at the first process where another's share failed.
    pub fn collect(
        &self,
        update: &mut Vec<f32>,
        own: Result<&BatchLosses, &anyhow::Error>,
        parts: usize,
    ) -> Result<Option<BatchLosses>> {
        let Some(world) = &self.world else { return Ok(None) };
        let (len, is_first) = (update.len(), self.index() == 0);
        let losses = own.ok().cloned().unwrap_or_default().to_values(parts);
        update.extend(losses);
        let has_failed = own.is_err() && !is_first;
        update.push(f32::from(u8::from(has_failed)));
        world.sum(update);
        if let (Err(error), true) = (own, has_failed) {
            world.send(format!("{error:#}").as_bytes());
        }
        if !is_first {
            update.truncate(len);
            return Ok(None);
        }
        let failed = update.pop().unwrap_or_default() as usize;
        let losses = update.split_off(len);
        let told: Vec<_> = (0..failed).map(|_| world.receive()).collect();
        if let Some((index, text)) = told.into_iter().min() {
            bail!("process {index} of {}: {}", world.count(), String::from_utf8_lossy(&text));
        }
        Ok(own.ok().map(|own| own.of_values(&losses)))
    }
}

impl Drop for Ranks {
    /// However the first process ends, the others do not wait for ever.
    fn drop(&mut self) {
        if self.index() == 0 {
            let _ = self.order(&Order::End);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_of_a_step_is_computed_once() {
        let (count, accumulate) = (3, 6);
        let of = |index, i| Place { index, count }.batch(i, accumulate);
        let mut step: Vec<_> = (0..count).flat_map(|index| [of(index, 4), of(index, 5)]).collect();
        step.sort_unstable();
        assert_eq!(step, [12, 13, 14, 15, 16, 17]);
        let alone = Ranks::alone().place();
        assert_eq!((0..9).map(|i| alone.batch(i, 3)).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    }
}
