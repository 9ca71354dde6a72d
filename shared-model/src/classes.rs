//! The classes of public data sets, and which of them are the same.

/// The names of Pascal VOC's 20 classes, in their usual order: that of the alphabet.
#[rustfmt::skip]
pub const VOC_CLASSES: [&str; 20] = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
];

/// The names of COCO's 80 classes (<https://cocodataset.org>, `instances_*2017.json`), in the order of Megvii's weights.
#[rustfmt::skip]
pub const COCO_CLASSES: [&str; 80] = [
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
];

/// COCO's name and VOC's name of the same class, where they differ.
const SYNONYMS: [(&str, &str); 6] = [
    ("airplane", "aeroplane"),
    ("motorcycle", "motorbike"),
    ("couch", "sofa"),
    ("potted plant", "pottedplant"),
    ("dining table", "diningtable"),
    ("tv", "tvmonitor"),
];

/// One name for the classes that have two: COCO's for VOC's ("motorcycle" for "motorbike"). Any other name stays as it
/// is.
pub fn canonical_class(name: &str) -> &str {
    SYNONYMS.iter().find(|(_, voc)| *voc == name).map_or(name, |(coco, _)| coco)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_voc_is_one_of_coco() {
        for name in VOC_CLASSES {
            assert!(COCO_CLASSES.contains(&canonical_class(name)), "{name}");
        }
        for name in COCO_CLASSES {
            assert_eq!(canonical_class(name), name);
        }
        assert_eq!(canonical_class("motorbike"), "motorcycle");
        assert_eq!(canonical_class("Motorbike"), "Motorbike", "a name that nobody knows");
    }
}
