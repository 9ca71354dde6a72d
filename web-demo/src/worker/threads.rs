//! Threads of a browser: workers that run the same program on the same memory.
//!
//! A worker cannot be started from Rust, so `assets/worker.js` starts them; here they become rayon's pool.

use std::sync::{Condvar, Mutex, PoisonError};

use rayon::{ThreadBuilder, ThreadPoolBuilder};

/// Places in the pool that no thread has taken yet.
static PLACES: Mutex<Vec<ThreadBuilder>> = Mutex::new(Vec::new());
static ADDED: Condvar = Condvar::new();

/// Makes the calling thread and `threads - 1` that [`join`] the pool of the whole program.
///
/// # Panics
/// If there is a pool already.
pub fn gather(threads: usize) {
    let pool = ThreadPoolBuilder::new().num_threads(threads).use_current_thread().spawn_handler(|place| {
        PLACES.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        ADDED.notify_one();
        Ok(())
    });
    pool.build_global().expect("this is called once, before anything that would start a pool");
}

/// Takes a place in the pool and works there for ever.
pub fn join() {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let place = loop {
        match places.pop() {
            Some(place) => break place,
            None => places = ADDED.wait(places).unwrap_or_else(PoisonError::into_inner),
        }
    };
    drop(places);
    place.run();
}
