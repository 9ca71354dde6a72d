//! How memory and pace went over a run.

use std::fmt;

/// Parts of a run that are looked at by themselves.
const PARTS: usize = 10;
/// What memory may grow by from the second part to the last, relative: allocators and browsers keep more or less of what is free.
const GROWTH: f64 = 0.1;
/// The same in MiB, for small processes.
const GROWTH_MIB: f64 = 16.0;

/// What was seen at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Images so far.
    pub images: usize,
    /// Since the beginning.
    pub seconds: f64,
    /// Time of the processor since the beginning, where it was looked at: other work on the machine slows a run down without adding to it.
    pub cpu_seconds: Option<f64>,
    /// Resident memory.
    pub memory_mib: f64,
    /// The longest time in milliseconds since the moment before in which the page showed nothing new, where there is a page.
    pub pause_ms: Option<f64>,
}

/// The moments of a run, in their order.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// What ran.
    pub name: String,
    /// Its moments.
    pub moments: Vec<Moment>,
}

/// A tenth of a run's images.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    images: usize,
    per_second: f64,
    /// Time of the processor an image.
    cpu_ms: Option<f64>,
    /// The median over the part's moments.
    memory_mib: f64,
    pause_ms: Option<f64>,
}

impl Course {
    /// The run in equal shares of its images; fewer where it has fewer moments.
    fn parts(&self) -> Vec<Part> {
        let Some(last) = self.moments.last() else { return Vec::new() };
        let mut parts = Vec::new();
        let mut start = Moment { images: 0, seconds: 0.0, cpu_seconds: Some(0.0), ..*last };
        let mut rest = &self.moments[..];
        for part in 1..=PARTS {
            let end = last.images * part / PARTS;
            let count = if part == PARTS { rest.len() } else { rest.partition_point(|moment| moment.images <= end) };
            let (these, behind) = rest.split_at(count);
            rest = behind;
            let Some(&stop) = these.last() else { continue };
            let mut memory: Vec<f64> = these.iter().map(|moment| moment.memory_mib).collect();
            memory.sort_by(f64::total_cmp);
            let images = (stop.images - start.images) as f64;
            let cpu_seconds = stop.cpu_seconds.zip(start.cpu_seconds).map(|(stop, start)| stop - start);
            parts.push(Part {
                images: stop.images,
                per_second: images / (stop.seconds - start.seconds).max(1e-9),
                cpu_ms: cpu_seconds.map(|seconds| seconds * 1e3 / images),
                memory_mib: memory[memory.len() / 2],
                pause_ms: these.iter().filter_map(|moment| moment.pause_ms).reduce(f64::max),
            });
            start = stop;
        }
        parts
    }

    /// Whether memory stayed what it was in the second tenth; in the first, caches fill. `Err` says by how much it did not.
    ///
    /// # Errors
    /// Fails where memory grew, or the run was too short to tell.
    pub fn check_memory(&self) -> Result<(), String> {
        let parts = self.parts();
        let (Some(second), Some(last)) = (parts.get(1), parts.get(2..).and_then(<[Part]>::last)) else {
            return Err(format!("{}: the run was too short to say anything of its memory", self.name));
        };
        let most = second.memory_mib * (1.0 + GROWTH) + GROWTH_MIB;
        if last.memory_mib > most {
            let (from, to) = (second.memory_mib, last.memory_mib);
            return Err(format!("{}: memory grew from {from:.0} to {to:.0} MiB", self.name));
        }
        Ok(())
    }
}

impl fmt::Display for Course {
    /// A table in Markdown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {}: images | images/s | ms of a core an image | memory, MiB | longest pause, ms |", self.name)?;
        writeln!(f, "| ---: | ---: | ---: | ---: | ---: |")?;
        let known = |value: Option<f64>, digits| value.map_or_else(String::new, |value| format!("{value:.digits$}"));
        for Part { images, per_second, cpu_ms, memory_mib, pause_ms } in self.parts() {
            let (cpu, pause) = (known(cpu_ms, 1), known(pause_ms, 0));
            writeln!(f, "| {images} | {per_second:.1} | {cpu} | {memory_mib:.0} | {pause} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(memory: impl Fn(usize) -> f64) -> Course {
        let moment = |i: usize| {
            let (seconds, cpu_seconds) = (i as f64, Some(2.0 * i as f64));
            Moment { images: 10 * i, seconds, cpu_seconds, memory_mib: memory(i), pause_ms: None }
        };
        Course { name: "run".into(), moments: (1..=100).map(moment).collect() }
    }

    #[test]
    fn a_run_falls_into_tenths() {
        let parts = course(|_| 100.0).parts();
        assert_eq!(
            parts.iter().map(|part| part.images).collect::<Vec<_>>(),
            (1..=10).map(|i| 100 * i).collect::<Vec<_>>()
        );
        assert!(parts.iter().all(|part| (part.per_second - 10.0).abs() < 1e-9), "{parts:?}");
        assert!(parts.iter().all(|part| (part.cpu_ms.unwrap() - 200.0).abs() < 1e-9), "{parts:?}");
    }

    #[test]
    fn memory_may_fill_a_cache_and_then_stays() {
        course(|i| if i < 10 { 10.0 * i as f64 } else { 120.0 }).check_memory().unwrap();
        let error = course(|i| 200.0 + i as f64).check_memory().unwrap_err();
        assert!(error.contains("grew from 216 to 296 MiB"), "{error}");
        let short = Course { name: "run".into(), moments: Vec::new() };
        assert!(short.check_memory().unwrap_err().contains("too short"));
    }
}
