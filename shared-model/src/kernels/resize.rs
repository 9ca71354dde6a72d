//! The two halves of a bilinear filter on bytes, in OpenCV's fixed-point arithmetic
//! (`modules/imgproc/src/resize.cpp`). The loops are plain; compilers make vectors of them.

use super::simd::{Instructions, Kernel, Simd};

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
    let gather = |offsets: &[usize]| offsets.iter().map(|&at| pixel(pixels, at)).collect::<Vec<u32>>();
    let pairs = [gather(&columns.offsets[0]), gather(&columns.offsets[1])];
    Instructions::best().run(FilterRow { pairs: [&pairs[0], &pairs[1]], columns, width, out });
}

/// The pixel's first three bytes, the first one lowest; the highest byte is anything.
#[inline(always)]
fn pixel(pixels: &[u8], at: usize) -> u32 {
    match pixels[at..].first_chunk() {
        Some(bytes) => u32::from_le_bytes(*bytes),
        // The picture's last pixel.
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
            let inputs = a.iter().zip(b).zip(v.iter().zip(w));
            for (out, ((a, b), (v, w))) in out.iter_mut().zip(inputs) {
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
        for (out, (a, b)) in self.out.iter_mut().zip(self.a.iter().zip(self.b)) {
            // Rounded as OpenCV's vector code does.
            let value = (((v * (a >> 4)) >> 16) + ((w * (b >> 4)) >> 16) + 2) >> 2;
            *out = value.clamp(0, 255) as f32;
        }
    }
}
