//! Threads: a team that works through one kernel after the other, and slices that all of its members write to.
//!
//! A network is a hundred kernels of 5 to 200 microseconds. Waking threads for each of them, as a general pool does, takes
//! as long as the kernels themselves. So helpers join once an image, from rayon's pool, and wait between kernels in a
//! loop without sleeping. Nobody waits for a helper that has not come: whoever is there does the work.

use std::cell::{RefCell, UnsafeCell};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` numbers of this thread's own, whatever they were before; kept between calls.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        work(&mut scratch[..len])
    })
}

/// The calling thread and its helpers.
pub(crate) struct Team {
    threads: usize,
    /// What is to be done now: see [`Now`].
    now: AtomicU64,
    /// Tasks of the current work that have ended.
    ended: AtomicUsize,
    work: UnsafeCell<Option<TaskPointer>>,
}

/// The current work; the caller of [`Team::for_each`] keeps it alive until its last task has ended.
type TaskPointer = *const (dyn Fn(usize) + Sync);

// SAFETY: `work` is only written while no task is open, and only read by whoever has claimed a task (see `claim`).
unsafe impl Sync for Team {}

/// A number for each piece of work, how many tasks it has, and the next one that nobody has claimed.
#[derive(Clone, Copy)]
struct Now {
    work: u64,
    tasks: u64,
    next: u64,
}

/// The helpers may go.
const CLOSED: u64 = u64::MAX;
/// Looks at what is waited for between two offers of the processor to others.
const SPINS: u32 = 1000;

impl Now {
    const BITS: u64 = 20;
    const MOST: u64 = (1 << Self::BITS) - 1;

    fn pack(self) -> u64 {
        // The work's number may wrap around: no helper sleeps through so many.
        (self.work << (2 * Self::BITS) | self.tasks << Self::BITS | self.next) & !(1 << 63)
    }

    fn unpack(bits: u64) -> Self {
        Self { work: bits >> (2 * Self::BITS), tasks: bits >> Self::BITS & Self::MOST, next: bits & Self::MOST }
    }
}

impl Team {
    /// A team of the calling thread only.
    pub(crate) const fn alone() -> Self {
        let now = AtomicU64::new(0);
        Self { threads: 1, now, ended: AtomicUsize::new(0), work: UnsafeCell::new(None) }
    }

    /// Calls `work` with a team of as many threads as rayon's pool has, as far as they are free.
    pub(crate) fn fork_join<R>(work: impl FnOnce(&Team) -> R) -> R {
        let threads = rayon::current_num_threads();
        let team = Self { threads, ..Self::alone() };
        if threads == 1 {
            return work(&team);
        }
        rayon::in_place_scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|_| team.help());
            }
            // Helpers are let go even if `work` panics.
            let _close = OnDrop(|| team.now.store(CLOSED, Ordering::Release));
            work(&team)
        })
    }

    /// Threads that may be there.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `work` for 0..`tasks`, each by some thread, and returns when all have ended.
    pub(crate) fn parallel_for(&self, tasks: usize, work: impl Fn(usize) + Sync) {
        if self.threads == 1 || tasks <= 1 {
            return (0..tasks).for_each(work);
        }
        debug_assert!(tasks as u64 <= Now::MOST);
        let last = Now::unpack(self.now.load(Ordering::Relaxed));
        let work: &(dyn Fn(usize) + Sync) = &work;
        // SAFETY: all tasks of the last work have ended, so that nobody reads it. Its lifetime may be forgotten, as this
        // function returns, or unwinds, only when all of its tasks have ended.
        unsafe {
            *self.work.get() = Some(std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), TaskPointer>(work));
        };
        self.ended.store(0, Ordering::Relaxed);
        let now = Now { work: last.work + 1, tasks: tasks as u64, next: 0 };
        self.now.store(now.pack(), Ordering::Release);
        let _wait = OnDrop(|| {
            // If a task of this thread has panicked, the rest need not be done.
            while self.claim().is_some() {
                self.ended.fetch_add(1, Ordering::Relaxed);
            }
            let mut spins = 0;
            while self.ended.load(Ordering::Acquire) < tasks {
                pause(&mut spins);
            }
        });
        while let Some(task) = self.claim() {
            let _ended = OnDrop(|| self.ended.fetch_add(1, Ordering::Release));
            work(task);
        }
    }

    /// Calls `work(from, to)` for equal parts of 0..`count`: enough of them that a thread that is late does not hold up the
    /// others for long.
    pub(crate) fn parallel_for_chunks(&self, count: usize, work: impl Fn(usize, usize) + Sync) {
        let parts = if self.threads > 1 { (self.threads * 4).min(count) } else { count.min(1) };
        self.parallel_for(parts, |i| work(count * i / parts, count * (i + 1) / parts));
    }

    /// Calls `work` for every chunk of `len` numbers of `a` together with the equally many chunks of `b`, which are of
    /// `b.len() / chunks` each.
    pub(crate) fn parallel_for_chunk_pairs<T: Send>(
        &self,
        a: &mut [f32],
        len: usize,
        b: &mut [T],
        work: impl Fn(usize, &mut [f32], &mut [T]) + Sync,
    ) {
        struct Start<T>(*mut T);
        // SAFETY: every task takes its own chunk through the pointer.
        unsafe impl<T: Send> Sync for Start<T> {}
        impl<T> Start<T> {
            /// The `i`-th `len` elements.
            ///
            /// # Safety
            /// They must be inside the slice that the pointer came from, and nobody else's.
            unsafe fn chunk<'a>(&self, i: usize, len: usize) -> &'a mut [T] {
                // SAFETY: the caller's.
                unsafe { std::slice::from_raw_parts_mut(self.0.add(i * len), len) }
            }
        }
        let chunks = a.len().checked_div(len).unwrap_or(0);
        let of_b = b.len().checked_div(chunks).unwrap_or(0);
        let (a, b) = (Start(a.as_mut_ptr()), Start(b.as_mut_ptr()));
        // SAFETY: chunks do not overlap, and each is one task's.
        self.parallel_for(chunks, |i| unsafe { work(i, a.chunk(i, len), b.chunk(i, of_b)) });
    }

    /// The next task that nobody has claimed.
    fn claim(&self) -> Option<usize> {
        let mut bits = self.now.load(Ordering::Acquire);
        loop {
            let now = Now::unpack(bits);
            if bits == CLOSED || now.next == now.tasks {
                return None;
            }
            match self.now.compare_exchange_weak(bits, bits + 1, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(now.next as usize),
                Err(other) => bits = other,
            }
        }
    }

    /// Claims tasks until the team is closed.
    fn help(&self) {
        let mut spins = 0;
        while self.now.load(Ordering::Relaxed) != CLOSED {
            let Some(task) = self.claim() else {
                pause(&mut spins);
                continue;
            };
            let _ended = OnDrop(|| self.ended.fetch_add(1, Ordering::Release));
            // SAFETY: the work stays until its tasks have ended, and this one has not.
            let work = unsafe { (*self.work.get()).expect("a task belongs to a work").as_ref() };
            work.expect("it is not null")(task);
            spins = 0;
        }
    }
}

/// Waits a moment: without sleeping at first, then leaving the processor to others. WebAssembly cannot leave it, and
/// sleeping there takes a millisecond or more, which measured worse than any spinning.
fn pause(spins: &mut u32) {
    *spins += 1;
    if spins.is_multiple_of(SPINS) {
        std::thread::yield_now();
    }
    std::hint::spin_loop();
}

/// Calls a function at the end of a scope, panic or not.
struct OnDrop<F: FnMut() -> R, R>(F);

impl<F: FnMut() -> R, R> Drop for OnDrop<F, R> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn in_pool<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    #[test]
    fn every_task_is_done_once_and_before_the_next_work() {
        for threads in [1, 2, 5] {
            in_pool(threads, || {
                Team::fork_join(|team| {
                    for round in 0..3000 {
                        let counts: Vec<AtomicUsize> = (0..round % 17).map(|_| AtomicUsize::new(0)).collect();
                        team.parallel_for(counts.len(), |task| {
                            counts[task].fetch_add(1, Ordering::Relaxed);
                        });
                        assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
                    }
                });
            });
        }
    }

    #[test]
    fn the_caller_waits_for_helpers() {
        in_pool(3, || {
            Team::fork_join(|team| {
                for _ in 0..30 {
                    let ended = AtomicUsize::new(0);
                    team.parallel_for(7, |_| {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                        ended.fetch_add(1, Ordering::Relaxed);
                    });
                    assert_eq!(ended.load(Ordering::Relaxed), 7);
                }
            });
        });
    }

    #[test]
    fn teams_inside_a_busy_pool_end() {
        use rayon::prelude::*;
        in_pool(3, || {
            (0..50_usize).into_par_iter().for_each(|_| {
                let sum = AtomicUsize::new(0);
                Team::fork_join(|team| {
                    for _ in 0..20 {
                        team.parallel_for(10, |task| {
                            sum.fetch_add(task, Ordering::Relaxed);
                        });
                    }
                });
                assert_eq!(sum.into_inner(), 20 * 45);
            });
        });
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        for culprit in 0..8 {
            in_pool(2, || {
                let run = || Team::fork_join(|team| team.parallel_for(8, |task| assert_ne!(task, culprit)));
                assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
            });
        }
    }

    #[test]
    fn parts_cover_everything() {
        for threads in [1, 3] {
            in_pool(threads, || {
                Team::fork_join(|team| {
                    for count in [0, 1, 5, 12, 100] {
                        let seen: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                        team.parallel_for_chunks(count, |from, to| {
                            for seen in &seen[from..to] {
                                seen.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                        assert!(seen.iter().all(|seen| seen.load(Ordering::Relaxed) == 1));
                    }
                });
            });
        }
    }

    #[test]
    fn helpers_take_tasks_while_the_caller_is_busy() {
        in_pool(2, || {
            Team::fork_join(|team| {
                let (begun, since) = (AtomicUsize::new(0), std::time::Instant::now());
                team.parallel_for(2, |_| {
                    begun.fetch_add(1, Ordering::Relaxed);
                    while begun.load(Ordering::Relaxed) < 2 {
                        assert!(since.elapsed().as_secs() < 60, "nobody helps");
                        std::thread::yield_now();
                    }
                });
            });
        });
    }
}
