//! Threads that write disjoint parts of one slice.

use rayon::prelude::*;

/// A slice that several threads write to, each its own part of it.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    start: *mut f32,
    len: usize,
}

// SAFETY: `Shared` only hands out pointers; whoever writes through them keeps the threads' parts apart.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(slice: &mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len() }
    }

    /// Pointer to element `at`, from which `count` elements may be written.
    ///
    /// # Safety
    /// No two threads may use overlapping ranges at the same time, and the slice must outlive the use.
    #[inline(always)]
    pub(crate) unsafe fn at(self, at: usize, count: usize) -> *mut f32 {
        debug_assert!(at + count <= self.len, "{at} + {count} is beyond {}", self.len);
        // SAFETY: inside the slice.
        unsafe { self.start.add(at) }
    }
}

/// Calls `work` for 0..`tasks`, on all threads of rayon's pool.
pub(crate) fn for_each(tasks: usize, work: impl Fn(usize) + Sync + Send) {
    if rayon::current_num_threads() > 1 && tasks > 1 {
        (0..tasks).into_par_iter().for_each(work);
    } else {
        (0..tasks).for_each(work);
    }
}

/// Splits 0..`count` into equal parts, a few for each thread.
pub(crate) fn parts(count: usize) -> Vec<(usize, usize)> {
    let threads = rayon::current_num_threads();
    let parts = if threads > 1 { (threads * 2).min(count) } else { 1 };
    (0..parts).map(|i| (count * i / parts, count * (i + 1) / parts)).collect()
}
