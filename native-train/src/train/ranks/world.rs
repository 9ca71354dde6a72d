//! The processes, by MPI.

use anyhow::{Context, Result};
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::Equivalence;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Root, Source};

/// All of them.
pub(super) struct World {
    all: SimpleCommunicator,
    on_machine: SimpleCommunicator,
    /// Ends MPI when it is dropped, last of all.
    _universe: Universe,
}

impl World {
    pub(super) fn join() -> Result<Self> {
        // One thread speaks to MPI; the others compute.
        let (universe, _) = mpi::initialize_with_threading(Threading::Funneled).context("MPI cannot be started")?;
        let all = universe.world();
        let on_machine = all.split_shared(all.rank());
        Ok(Self { all, on_machine, _universe: universe })
    }

    pub(super) fn index(&self) -> usize {
        self.all.rank() as usize
    }

    pub(super) fn count(&self) -> usize {
        self.all.size() as usize
    }

    pub(super) fn index_on_machine(&self) -> usize {
        self.on_machine.rank() as usize
    }

    /// The first one's values, to all.
    pub(super) fn broadcast<T: Equivalence>(&self, values: &mut [T]) {
        self.all.process_at_rank(0).broadcast_into(values);
    }

    /// The sum of all processes' values, to the first.
    pub(super) fn sum(&self, values: &mut [f32]) {
        let (first, sum) = (self.all.process_at_rank(0), SystemOperation::sum());
        if self.index() == 0 {
            let own = values.to_vec();
            first.reduce_into_root(&own, values, sum);
        } else {
            first.reduce_into(&*values, sum);
        }
    }

    /// Says something to the first.
    pub(super) fn send(&self, text: &[u8]) {
        self.all.process_at_rank(0).send(text);
    }

    /// What somebody has said, and who.
    pub(super) fn receive(&self) -> (usize, Vec<u8>) {
        let (text, status) = self.all.any_process().receive_vec();
        (status.source_rank() as usize, text)
    }
}
