//! One array for all intermediate values of a network, in which values that are not needed at the same time share room.

use std::ops::Range;

/// Places begin at multiples of this many numbers (a cache line).
const ALIGNMENT: usize = 16;

/// Values to be placed, by their position in the list of sizes.
pub(crate) struct Values {
    sizes: Vec<usize>,
    /// The larger value that a value is a part of, and where its part begins.
    inside: Vec<Option<(usize, usize)>>,
    /// From the first write to behind the last read.
    lives: Vec<Option<Range<usize>>>,
}

impl Values {
    /// Values of so many numbers each; those of none have no place.
    pub(crate) fn new(sizes: Vec<usize>) -> Self {
        let count = sizes.len();
        Self { sizes, inside: vec![None; count], lives: vec![None; count] }
    }

    /// Places `part` inside `whole`, `offset` numbers behind its beginning.
    pub(crate) fn put_inside(&mut self, part: usize, whole: usize, offset: usize) {
        self.inside[part] = Some((whole, offset));
    }

    /// Whether the value is a part of another.
    pub(crate) fn is_inside(&self, value: usize) -> bool {
        self.inside[value].is_some()
    }

    /// The value is read or written at the time `when`. Parts must have been put inside before.
    pub(crate) fn touch(&mut self, value: usize, when: usize) {
        let (whole, _) = self.resolve(value);
        let life = self.lives[whole].get_or_insert(when..when + 1);
        *life = life.start.min(when)..life.end.max(when + 1);
    }

    fn resolve(&self, mut value: usize) -> (usize, usize) {
        let mut offset = 0;
        while let Some((whole, at)) = self.inside[value] {
            offset += at;
            value = whole;
        }
        (value, offset)
    }

    /// Every value's place, and the numbers in the whole array.
    pub(crate) fn arrange(&self) -> (Vec<Range<usize>>, usize) {
        // The largest first, each at the lowest free place.
        let mut wholes: Vec<usize> = (0..self.sizes.len()).filter(|&i| self.lives[i].is_some()).collect();
        wholes.sort_by_key(|&i| std::cmp::Reverse(self.sizes[i]));
        let mut starts = vec![0; self.sizes.len()];
        let mut placed: Vec<usize> = Vec::new();
        for &i in &wholes {
            let overlaps = |&&j: &&usize| match (&self.lives[i], &self.lives[j]) {
                (Some(a), Some(b)) => a.start < b.end && b.start < a.end,
                _ => false,
            };
            let mut taken: Vec<Range<usize>> =
                placed.iter().filter(overlaps).map(|&j| starts[j]..starts[j] + self.sizes[j]).collect();
            taken.sort_by_key(|range| range.start);
            let mut start = 0;
            for range in taken {
                if start + self.sizes[i] <= range.start {
                    break;
                }
                start = start.max(range.end.next_multiple_of(ALIGNMENT));
            }
            starts[i] = start;
            placed.push(i);
        }
        let range = |i: usize| {
            let (whole, offset) = self.resolve(i);
            let start = starts[whole] + offset;
            if self.lives[whole].is_some() { start..start + self.sizes[i] } else { 0..0 }
        };
        let len = wholes.iter().map(|&i| starts[i] + self.sizes[i]).max().unwrap_or(0);
        ((0..self.sizes.len()).map(range).collect(), len.next_multiple_of(ALIGNMENT))
    }
}
