//! The letterbox equals OpenCV's `INTER_LINEAR` and YOLOX's `preproc` bit for bit.

use integration_tests::repository;
use safetensors::SafeTensors;
use shared_model::{ColourOrder, Image, Letterbox, letterbox};

#[test]
fn equals_opencv_to_the_bit() {
    let bytes = std::fs::read(repository().join("tests/data/opencv-letterbox.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert!(file.len() >= 10);
    for (name, expected) in file.iter() {
        let (size, side) = name.split_once("to").unwrap();
        let (width, height) = size.split_once('x').unwrap();
        let [width, height, side] = [width, height, side].map(|number| number.parse::<usize>().unwrap());
        let rgb: Vec<u8> = (0..width * height * 3).map(|i| ((i * 7919 + i / 7 * 31) % 251) as u8).collect();
        let (planes, fit) = letterbox(Image::rgb(&rgb, width, height).unwrap(), side, ColourOrder::Bgr);
        assert_eq!(fit, Letterbox::fit(width, height, side));
        for (i, (&found, &expected)) in planes.iter().zip(expected.data()).enumerate() {
            assert_eq!(found, f32::from(expected), "{name}: plane {}, pixel {}", i / (side * side), i % (side * side));
        }

        // The same image with alpha, as a browser's canvas gives it, and in the other colour order.
        let rgba: Vec<u8> = rgb.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
        let (swapped, _) = letterbox(Image::rgba(&rgba, width, height).unwrap(), side, ColourOrder::Rgb);
        let area = side * side;
        assert!(swapped[..area] == planes[2 * area..] && swapped[2 * area..] == planes[..area], "{name}");
    }
}
