//! Ctrl-C and SIGTERM: the first asks training to stop at a good moment, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Exit code of a process that the second signal ended, as a shell would report it.
const EXIT_CODE: i32 = 130;

/// Whether somebody asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens for the process's signals from now on.
    ///
    /// # Errors
    /// Fails where the process listens already, or the system does not let it.
    pub fn listen() -> Result<Self> {
        let interrupt = Self::default();
        let asked = Arc::clone(&interrupt.asked);
        let on_signal = move || {
            if asked.swap(true, Ordering::Relaxed) {
                std::process::exit(EXIT_CODE);
            }
            eprintln!("stopping after this iteration; once more to stop at once");
        };
        ctrlc::set_handler(on_signal).context("signals cannot be listened for")?;
        Ok(interrupt)
    }

    /// Asks to stop when standard input ends: when whoever started this process wants it to, or is no more.
    pub fn at_end_of_input(&self) {
        let interrupt = self.clone();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            interrupt.ask();
        });
    }

    /// Asks to stop.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}
