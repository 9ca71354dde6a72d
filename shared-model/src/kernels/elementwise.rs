//! Operations that touch every number once.

use super::parallel::{Shared, Team};

/// `out = a + b`.
pub(crate) fn add(team: &Team, a: &[f32], b: &[f32], out: &mut [f32]) {
    let shared = Shared::new(out);
    team.parallel_for_chunks(a.len(), |from, to| {
        // SAFETY: every part is written by one thread.
        let out = unsafe { std::slice::from_raw_parts_mut(shared.at(from, to - from), to - from) };
        for ((out, a), b) in out.iter_mut().zip(&a[from..]).zip(&b[from..]) {
            *out = a + b;
        }
    });
}

/// Every channel of `x` (channels x pixels) times its factor.
pub(crate) fn scale(x: &[f32], factors: &[f32], out: &mut [f32]) {
    let pixels = x.len() / factors.len();
    for ((x, out), factor) in x.chunks_exact(pixels).zip(out.chunks_exact_mut(pixels)).zip(factors) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x * factor;
        }
    }
}

/// Mean of every channel of `x` (channels x pixels).
pub(crate) fn global_mean(x: &[f32], out: &mut [f32]) {
    let pixels = x.len() / out.len();
    for (x, out) in x.chunks_exact(pixels).zip(out) {
        *out = x.iter().sum::<f32>() / pixels as f32;
    }
}

/// Every number of `x` (rows of `width`) becomes a square of 2 x 2.
pub(crate) fn upsample(team: &Team, x: &[f32], width: usize, out: &mut [f32]) {
    let shared = Shared::new(out);
    team.parallel_for_chunks(x.len() / width, |from, to| {
        let count = (to - from) * 4 * width;
        // SAFETY: every row becomes two rows of its own.
        let out = unsafe { std::slice::from_raw_parts_mut(shared.at(from * 4 * width, count), count) };
        for (row, out) in x[from * width..].chunks_exact(width).zip(out.chunks_exact_mut(4 * width)) {
            let (top, bottom) = out.split_at_mut(2 * width);
            for (pair, &value) in top.as_chunks_mut::<2>().0.iter_mut().zip(row) {
                *pair = [value; 2];
            }
            bottom.copy_from_slice(top);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_examples() {
        let mut out = [0.0; 8];
        upsample(&Team::alone(), &[1.0, 2.0], 2, &mut out);
        assert_eq!(out, [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
        let mut out = [0.0; 2];
        add(&Team::alone(), &[1.0, 2.0], &[3.0, 5.0], &mut out);
        assert_eq!(out, [4.0, 7.0]);
        global_mean(&[1.0, 3.0, 10.0, 20.0], &mut out);
        assert_eq!(out, [2.0, 15.0]);
        let mut out = [0.0; 4];
        scale(&[1.0, 2.0, 3.0, 4.0], &[2.0, 10.0], &mut out);
        assert_eq!(out, [2.0, 4.0, 30.0, 40.0]);
    }
}
