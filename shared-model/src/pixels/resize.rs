//! The two halves of a bilinear filter on bytes, in OpenCV's fixed-point arithmetic
//! (`modules/imgproc/src/resize.cpp`). The loops are plain, and compilers make vectors of them, but for WebAssembly: a module
//! that is small because it is optimised for size as a whole has no automatic vectors.

use crate::kernels::simd::{Instructions, Kernel, Simd};

/// Fraction bits of a weight.
pub(crate) const BITS: u32 = 11;

/// For each output column, the two input pixels it lies between and their weights, which add up to `1 << BITS`.
#[derive(Default)]
pub(crate) struct Columns {
    /// Byte offsets of the pixels in a row.
    pub(crate) offsets: [Vec<usize>; 2],
    pub(crate) weights: [Vec<i32>; 2],
}

/// The horizontal half: `out` (3 planes, one number a column) from the row at the start of `pixels`, which go on behind it.
pub(crate) fn filter_row(pixels: &[u8], columns: &Columns, out: &mut [i32]) {
    let width = columns.offsets[0].len();
    // Three colours in one load.
    let fork_join = |offsets: &[usize]| offsets.iter().map(|&at| pixel(pixels, at)).collect::<Vec<u32>>();
    let pairs = [fork_join(&columns.offsets[0]), fork_join(&columns.offsets[1])];
    Instructions::best().run(FilterRow { pairs: [&pairs[0], &pairs[1]], columns, width, out });
}

/// The pixel's first three bytes, the first one lowest; the highest byte is anything.
#[inline(always)]
fn pixel(pixels: &[u8], at: usize) -> u32 {
    match pixels[at..].first_chunk() {
        Some(bytes) => u32::from_le_bytes(*bytes),
        // The image's last pixel.
        None => u32::from_le_bytes([pixels[at], pixels[at + 1], pixels[at + 2], 0]),
    }
}

struct FilterRow<'a> {
    pairs: [&'a [u32]; 2],
    columns: &'a Columns,
    width: usize,
    out: &'a mut [i32],
}

impl Kernel for FilterRow<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        let Self { pairs: [a, b], columns: Columns { weights: [v, w], .. }, width, out } = self;
        for (c, out) in out.chunks_exact_mut(width).enumerate() {
            let done = wide::filter(a, b, v, w, 8 * c as u32, out);
            let inputs = a.iter().zip(b).zip(v.iter().zip(w));
            for (out, ((a, b), (v, w))) in out.iter_mut().zip(inputs).skip(done) {
                *out = (a >> (8 * c) & 0xff) as i32 * v + (b >> (8 * c) & 0xff) as i32 * w;
            }
        }
    }
}

/// The vertical half: `out` from the filtered rows `a` and `b`, which count with `weights`.
pub(crate) fn blend_rows(a: &[i32], b: &[i32], weights: [i32; 2], out: &mut [f32]) {
    Instructions::best().run(BlendRows { a, b, weights, out });
}

struct BlendRows<'a> {
    a: &'a [i32],
    b: &'a [i32],
    weights: [i32; 2],
    out: &'a mut [f32],
}

impl Kernel for BlendRows<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const ROWS: usize, const TILE: usize>(self) {
        let [v, w] = self.weights;
        let done = wide::blend(self.a, self.b, self.weights, self.out);
        for (out, (a, b)) in self.out.iter_mut().zip(self.a.iter().zip(self.b)).skip(done) {
            // Rounded as OpenCV's vector code does.
            let value = (((v * (a >> 4)) >> 16) + ((w * (b >> 4)) >> 16) + 2) >> 2;
            *out = value.clamp(0, 255) as f32;
        }
    }
}

/// As many outputs as whole vectors hold; returns how many those are.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod wide {
    pub(super) fn filter(_: &[u32], _: &[u32], _: &[i32], _: &[i32], _: u32, _: &mut [i32]) -> usize {
        0
    }

    pub(super) fn blend(_: &[i32], _: &[i32], _: [i32; 2], _: &mut [f32]) -> usize {
        0
    }
}

/// As many outputs as whole vectors hold; returns how many those are.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wide {
    use std::arch::wasm32::*;

    #[inline(always)]
    pub(super) fn filter(a: &[u32], b: &[u32], v: &[i32], w: &[i32], shift: u32, out: &mut [i32]) -> usize {
        let chunks = a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0);
        let weights = v.as_chunks::<4>().0.iter().zip(w.as_chunks::<4>().0);
        let mut done = 0;
        for (out, ((a, b), (v, w))) in out.as_chunks_mut::<4>().0.iter_mut().zip(chunks.zip(weights)) {
            // SAFETY: arrays of four numbers.
            unsafe {
                let load = |from: *const u32| v128_load(from.cast());
                let byte = |x| v128_and(u32x4_shr(x, shift), i32x4_splat(0xff));
                let first = i32x4_mul(byte(load(a.as_ptr())), load(v.as_ptr().cast()));
                let second = i32x4_mul(byte(load(b.as_ptr())), load(w.as_ptr().cast()));
                v128_store(out.as_mut_ptr().cast(), i32x4_add(first, second));
            }
            done += 4;
        }
        done
    }

    #[inline(always)]
    pub(super) fn blend(a: &[i32], b: &[i32], [v, w]: [i32; 2], out: &mut [f32]) -> usize {
        let rows = a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0);
        let mut done = 0;
        for (out, (a, b)) in out.as_chunks_mut::<4>().0.iter_mut().zip(rows) {
            // SAFETY: arrays of four numbers.
            unsafe {
                let part = |row: &[i32; 4], weight| {
                    let row = i32x4_shr(v128_load(row.as_ptr().cast()), 4);
                    i32x4_shr(i32x4_mul(row, i32x4_splat(weight)), 16)
                };
                let value = i32x4_shr(i32x4_add(i32x4_add(part(a, v), part(b, w)), i32x4_splat(2)), 2);
                let value = i32x4_min(i32x4_max(value, i32x4_splat(0)), i32x4_splat(255));
                v128_store(out.as_mut_ptr().cast(), f32x4_convert_i32x4(value));
            }
            done += 4;
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Random;

    #[test]
    fn equals_naive_filter() {
        let mut random = Random::new(7);
        for _ in 0..60 {
            let (width, from, channels) = (random.in_range(1, 70), random.in_range(1, 100), random.pick(&[3, 4]));
            let pixels: Vec<u8> = (0..from * channels).map(|_| random.in_range(0, 255) as u8).collect();
            let mut columns = Columns::default();
            for _ in 0..width {
                let weight = random.in_range(0, 1 << BITS) as i32;
                for (i, weight) in [weight, (1 << BITS) - weight].into_iter().enumerate() {
                    columns.offsets[i].push(random.in_range(0, from - 1) * channels);
                    columns.weights[i].push(weight);
                }
            }
            let mut filtered = vec![0; 3 * width];
            filter_row(&pixels, &columns, &mut filtered);
            for (i, &value) in filtered.iter().enumerate() {
                let (c, x) = (i / width, i % width);
                let part = |j: usize| i32::from(pixels[columns.offsets[j][x] + c]) * columns.weights[j][x];
                assert_eq!(value, part(0) + part(1), "colour {c}, column {x} of {width}");
            }

            let other: Vec<i32> = filtered.iter().rev().copied().collect();
            let weight = random.in_range(0, 1 << BITS) as i32;
            let weights = [weight, (1 << BITS) - weight];
            let mut blended = vec![0.0; filtered.len()];
            blend_rows(&filtered, &other, weights, &mut blended);
            for ((value, a), b) in blended.iter().zip(filtered).zip(other) {
                let exact =
                    (f64::from(a * weights[0]) + f64::from(b) * f64::from(weights[1])) / f64::from(1 << (2 * BITS));
                // Fixed-point arithmetic drops bits in each half.
                assert!((f64::from(*value) - exact).abs() <= 1.0, "{value}, not {exact}");
            }
        }
    }
}
