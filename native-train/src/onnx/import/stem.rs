//! Space-to-depth, the network's first operation: in other programs' files slices and a joining in many spellings, in ours
//! a part of the convolution behind it. It is recognised by what it makes of an image whose numbers all differ.

use std::collections::HashMap;

use super::super::focus::QUARTERS;
use super::ImportError;
use super::compute::{Budget, compute};
use super::normalise::{BUDGET, Network};
use super::operation::Operation;
use super::value::Value;

impl Network {
    /// The value that is the image after space-to-depth, if that is an operation of its own.
    ///
    /// # Errors
    /// Fails where the image is too large to look at.
    pub(super) fn space_to_depth(&self) -> Result<Option<String>, ImportError> {
        let mut budget = Budget(BUDGET);
        let on_image = |operation: &Operation| operation.name == "Conv" && operation.inputs.contains(&self.input);
        if self.operations.iter().any(on_image) {
            return Ok(None);
        }
        let found = self.find_space_to_depth(&mut budget);
        if found.is_none() && budget.0 == 0 { Err(ImportError::TooLarge) } else { Ok(found) }
    }

    fn find_space_to_depth(&self, budget: &mut Budget) -> Option<String> {
        let [images, height, width] = self.input_shape;
        let shape = [images, 3, height, width];
        budget.spend(&shape)?;
        // The numbers that single precision holds; further away they repeat.
        let numbers = (0..shape.iter().product()).map(|i: usize| (i % (1 << 24)) as f32).collect();
        let mut known = HashMap::from([(self.input.as_str(), Value::floats(&shape, numbers)?)]);
        let expected = [images, 12, height / 2, width / 2];
        for operation in &self.operations {
            if !operation.inputs.iter().any(|input| known.contains_key(input.as_str())) {
                continue;
            }
            let inputs: Vec<Option<&Value>> =
                operation.inputs.iter().map(|input| known.get(input.as_str()).or(self.value(input))).collect();
            for (name, value) in operation.outputs.iter().zip(compute(operation, &inputs, budget).into_iter().flatten())
            {
                if value.shape == expected && value.reals().is_some_and(|found| is_space_to_depth(&found, shape)) {
                    return Some(name.clone());
                }
                if value.numbers.is_some() {
                    known.insert(name, value);
                }
            }
        }
        None
    }
}

/// Whether `found` are the numbers of the counted image of `shape` in quarters.
fn is_space_to_depth(found: &[f32], [images, colours, height, width]: [usize; 4]) -> bool {
    let mut found = found.iter();
    let mut next_is = |place: usize| found.next() == Some(&((place % (1 << 24)) as f32));
    (0..images).all(|image| {
        QUARTERS.iter().all(|[row, column]| {
            (0..colours).all(|colour| {
                let plane = (image * colours + colour) * height * width;
                let rows = (*row..height).step_by(2);
                rows.clone().all(|y| (*column..width).step_by(2).all(|x| next_is(plane + y * width + x)))
            })
        })
    })
}
