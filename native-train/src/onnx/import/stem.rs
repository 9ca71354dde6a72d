//! Space-to-depth, the network's first operation: in Megvii's files eight slices and a joining, in ours a part of the
//! convolution behind it.

use super::super::focus::QUARTERS;
use super::Found;
use super::recognise::{Recogniser, same};

/// The axis of rows; columns follow.
const ROWS: i64 = 2;

impl Recogniser<'_> {
    /// Finds space-to-depth; the picture itself where a convolution does it.
    pub(super) fn stem(&mut self, picture: &str) -> Found<String> {
        if self.has_consumer(picture, "Conv") { Ok(picture.into()) } else { self.space_to_depth(picture) }
    }

    /// Finds the four slices of every other row and column of `picture`, and their joining.
    fn space_to_depth(&mut self, picture: &str) -> Found<String> {
        let mut slices = Vec::new();
        for [row, column] in QUARTERS {
            let rows = self.slice(picture, ROWS, row as i64)?;
            slices.push(self.slice(&rows, ROWS + 1, column as i64)?);
        }
        self.concat(&slices, 1)
    }

    /// Finds the slice of every other element of `value`, from `first` to the end.
    fn slice(&mut self, value: &str, axis: i64, first: i64) -> Found<String> {
        let file = self.file;
        self.claim("Slice", &[value.to_string()], |node| {
            let parameter = |i: usize| node.input.get(i).and_then(|name| file.integers(name)).unwrap_or_default();
            same("slicing from", &parameter(1), &[first])?;
            same("slicing along", &parameter(3), &[axis])?;
            same("slicing in steps of", &parameter(4), &[2])?;
            match parameter(2)[..] {
                // PyTorch writes the greatest number for "to the end".
                [i64::MAX] => Ok(()),
                ref end => Err(format!("slicing up to {end:?} was found")),
            }
        })
    }
}
