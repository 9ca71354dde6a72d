//! Input sizes. A model is on show at its own size under its own name, and at another under one that says so, as in
//! `final-voc@640`: so it may be on show, in a link, in the gallery and in the benchmark at several sizes at once.

/// Sides in pixels of the squares that pictures may be fitted into, as the page offers them.
pub const INPUT_SIZES: [usize; 5] = [224, 320, 416, 512, 640];

/// The networks halve their input five times.
const MULTIPLE: usize = 32;

/// The name of a model at a size that is not its own.
pub fn sized_name(model: &str, side: usize) -> String {
    format!("{model}@{side}")
}

/// A model, and the size behind its name if that is not its own: the inverse of [`sized_name`].
pub fn split_size(name: &str) -> (&str, Option<usize>) {
    let is_size = |side: &usize| {
        (INPUT_SIZES[0]..=INPUT_SIZES[INPUT_SIZES.len() - 1]).contains(side) && side.is_multiple_of(MULTIPLE)
    };
    let size = name.rsplit_once('@').and_then(|(model, side)| Some((model, side.parse().ok().filter(is_size)?)));
    size.map_or((name, None), |(model, side)| (model, Some(side)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_sizes() {
        assert_eq!(split_size("final-voc"), ("final-voc", None));
        assert_eq!(split_size(&sized_name("final-voc", 640)), ("final-voc", Some(640)));
        assert_eq!(split_size("random:dw7@224"), ("random:dw7", Some(224)));
        for no_size in ["a@", "a@100", "a@672", "a@192", "a@x", "a@-416"] {
            assert_eq!(split_size(no_size), (no_size, None));
        }
        assert!(INPUT_SIZES.iter().all(|&side| split_size(&sized_name("a", side)).1 == Some(side)));
    }
}
