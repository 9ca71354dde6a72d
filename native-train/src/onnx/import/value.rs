//! Arrays of a file: their shape, and their numbers where they do not depend on the image.

use std::rc::Rc;

use half::f16;

use super::super::proto::{TensorProto, data_type};

/// Most axes of an array that is looked at; the network needs four, splitting an image into squares six.
const MAX_RANK: usize = 8;

/// Numbers, whatever their precision in the file. Truth values are integers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Numbers {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

/// An array.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) shape: Vec<usize>,
    /// As many as the shape says.
    pub(super) numbers: Option<Rc<Numbers>>,
}

/// The product of `shape`, if it is one that this program would hold.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    /// An image of 4096 x 4096 pixels ten times.
    const MAX_ELEMENTS: usize = 1 << 29;
    let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size))?;
    (shape.len() <= MAX_RANK && count <= MAX_ELEMENTS).then_some(count)
}

impl Value {
    /// An array whose numbers are known only when the network runs.
    pub(super) fn unknown(shape: &[usize]) -> Option<Self> {
        elements(shape)?;
        Some(Self { shape: shape.into(), numbers: None })
    }

    pub(super) fn floats(shape: &[usize], numbers: Vec<f32>) -> Option<Self> {
        Self::new(shape, Numbers::Floats(numbers))
    }

    pub(super) fn integers(shape: &[usize], numbers: Vec<i64>) -> Option<Self> {
        Self::new(shape, Numbers::Integers(numbers))
    }

    /// `None` where there are not as many numbers as the shape says.
    pub(super) fn new(shape: &[usize], numbers: Numbers) -> Option<Self> {
        (elements(shape)? == numbers.len()).then(|| Self { shape: shape.into(), numbers: Some(Rc::new(numbers)) })
    }

    /// The array in a file; `external` are its bytes where they are in another file. `None` where it contradicts itself
    /// or has numbers that nothing here is made of.
    pub(super) fn parse(tensor: &TensorProto, external: Option<&[u8]>) -> Option<Self> {
        let shape: Vec<usize> = tensor.dims.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>()?;
        let raw = external.or(tensor.raw_data.as_deref());
        let small = || tensor.int32_data.iter().map(|&value| i64::from(value));
        let numbers = match tensor.data_type? {
            data_type::FLOAT => {
                Numbers::Floats(raw.map_or(Some(tensor.float_data.clone()), |raw| words(raw, f32::from_le_bytes))?)
            }
            data_type::DOUBLE => Numbers::Floats(raw.map_or_else(
                || Some(tensor.double_data.iter().map(|&value| value as f32).collect()),
                |raw| words(raw, |bytes| f64::from_le_bytes(bytes) as f32),
            )?),
            data_type::FLOAT16 => Numbers::Floats(raw.map_or_else(
                || Some(small().map(|bits| f16::from_bits(bits as u16).to_f32()).collect()),
                |raw| words(raw, |bytes| f16::from_le_bytes(bytes).to_f32()),
            )?),
            data_type::INT64 => {
                Numbers::Integers(raw.map_or(Some(tensor.int64_data.clone()), |raw| words(raw, i64::from_le_bytes))?)
            }
            data_type::INT32 => {
                Numbers::Integers(raw.map_or_else(
                    || Some(small().collect()),
                    |raw| words(raw, |bytes| i32::from_le_bytes(bytes).into()),
                )?)
            }
            data_type::BOOL | data_type::UINT8 => Numbers::Integers(
                raw.map_or_else(|| small().collect(), |raw| raw.iter().map(|&value| value.into()).collect()),
            ),
            data_type::INT8 => Numbers::Integers(
                raw.map_or_else(|| small().collect(), |raw| raw.iter().map(|&value| (value as i8).into()).collect()),
            ),
            _ => return None,
        };
        Self::new(&shape, numbers)
    }

    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn reals(&self) -> Option<Vec<f32>> {
        Some(match self.numbers.as_deref()? {
            Numbers::Floats(values) => values.clone(),
            Numbers::Integers(values) => values.iter().map(|&value| value as f32).collect(),
        })
    }

    /// Its numbers, if they are integers.
    pub(super) fn whole(&self) -> Option<&[i64]> {
        match self.numbers.as_deref()? {
            Numbers::Floats(_) => None,
            Numbers::Integers(values) => Some(values),
        }
    }

    /// The same numbers in another shape.
    pub(super) fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        (elements(shape)? == self.count()).then(|| Self { shape: shape.into(), numbers: self.numbers.clone() })
    }
}

impl Numbers {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Integers(values) => values.len(),
        }
    }

    /// The numbers at some places, which must be there.
    pub(super) fn pick(&self, places: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::Floats(values) => Self::Floats(places.map(|place| values[place]).collect()),
            Self::Integers(values) => Self::Integers(places.map(|place| values[place]).collect()),
        }
    }
}

/// Numbers of `N` bytes each; `None` where there is part of one.
fn words<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
    let (words, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then(|| words.iter().map(|&word| read(word)).collect())
}
