//! Scoring weights of one data set on another whose classes have other names.

use crate::classes::canonical_class;

/// Which class of a data set each class of some weights is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassMap {
    to_data: Vec<Option<usize>>,
    unknown: Vec<usize>,
}

impl ClassMap {
    /// Maps by name: the same name, else COCO's name for VOC's.
    pub fn new(weights: &[String], data: &[String]) -> Self {
        let position = |name: &str| data.iter().position(|data| data == name);
        let synonym = |name: &str| data.iter().position(|data| data != name && canonical_class(data) == name);
        let mut to_data: Vec<_> = weights.iter().map(|name| position(name)).collect();
        for (index, name) in to_data.iter_mut().zip(weights) {
            // A class of the weights under the data set's own name goes before one under another name.
            let wanted = synonym(name).filter(|&data_index| !weights.contains(&data[data_index]));
            *index = index.or(wanted);
        }
        let unknown = (0..data.len()).filter(|&index| !to_data.contains(&Some(index))).collect();
        Self { to_data, unknown }
    }

    /// The data set's class that is class number `class` of the weights; `None` where it has no such class.
    pub fn to_data(&self, class: usize) -> Option<usize> {
        self.to_data[class]
    }

    /// The data set's classes that the weights do not know.
    pub fn unknown(&self) -> &[usize] {
        &self.unknown
    }
}

#[cfg(test)]
mod tests {
    use crate::classes::COCO_CLASSES;

    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn coco_knows_all_of_voc() {
        let voc = strings(&[
            "aeroplane",
            "bicycle",
            "bird",
            "boat",
            "bottle",
            "bus",
            "car",
            "cat",
            "chair",
            "cow",
            "diningtable",
            "dog",
            "horse",
            "motorbike",
            "person",
            "pottedplant",
            "sheep",
            "sofa",
            "train",
            "tvmonitor",
        ]);
        let map = ClassMap::new(&strings(&COCO_CLASSES), &voc);
        assert!(map.unknown().is_empty());
        assert_eq!(map.to_data(0), Some(14), "person");
        assert_eq!(map.to_data(4), Some(0), "airplane");
        assert_eq!(map.to_data(79), None, "toothbrush");
    }

    #[test]
    fn names_that_no_one_knows_are_reported() {
        let map = ClassMap::new(&strings(&["sofa", "couch"]), &strings(&["dogg", "sofa"]));
        assert_eq!(map.unknown(), [0]);
        assert_eq!((map.to_data(0), map.to_data(1)), (Some(1), None));
    }
}
