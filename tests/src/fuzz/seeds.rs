//! Whole inputs, drawn and written here: small, so that many can be read, and damage hits what matters.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage};
use native_train::onnx::{self, Export, OutputForm};
use native_train::train::metrics::{Evaluation, Record};
use native_train::train::settings::Settings;
use safetensors::tensor::{Dtype, TensorView};
use shared_model::graph::{Conv, Kernel, Node, Op};
use shared_model::{Channels, Manifest, Variant, WeightPrecision, Weights};

use super::formats::{protobuf_skeleton, zipped};
use crate::drawn::{annotation, drawn, write_voc};
use crate::repository;

/// Classes of the networks.
const CLASSES: usize = 3;

/// Names of these classes.
pub const NAMES: [&str; CLASSES] = ["red", "green", "blue"];

/// Every third row and column of a drawing: hundreds of pixels are as good as thousands.
fn image() -> RgbImage {
    let large = drawn(0);
    RgbImage::from_fn(32, 24, |x, y| *large.get_pixel(3 * x, 3 * y))
}

fn encoded(image: DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).expect("small images can be written");
    bytes
}

/// EXIF that turns an image, in the order of bytes of either family of processors.
fn exif(big_endian: bool) -> Vec<u8> {
    match big_endian {
        true => b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec(),
        false => b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x05\0\0\0\0\0\0\0".to_vec(),
    }
}

/// JPEG: in one pass and in several, upright and turned, grey, in inks.
pub fn jpeg() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for big_endian in [true, false] {
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 80);
        encoder.set_exif_metadata(exif(big_endian)).expect("JPEG has EXIF");
        encoder.write_image(image().as_raw(), 32, 24, ExtendedColorType::Rgb8).expect("small images can be written");
        files.push(bytes);
    }
    files.push(encoded(DynamicImage::from(image()).to_luma8().into(), ImageFormat::Jpeg));
    for (space, channels) in [(mozjpeg::ColorSpace::JCS_RGB, 3), (mozjpeg::ColorSpace::JCS_CMYK, 4)] {
        let mut encoder = mozjpeg::Compress::new(space);
        encoder.set_size(32, 24);
        encoder.set_progressive_mode();
        let mut encoder = encoder.start_compress(Vec::new()).expect("small images can be written");
        let levels: Vec<u8> = image().pixels().flat_map(|pixel| pixel.0.into_iter().cycle().take(channels)).collect();
        encoder.write_scanlines(&levels).expect("small images can be written");
        files.push(encoder.finish().expect("small images can be written"));
    }
    files
}

/// PNG: colours, grey, transparency, 16 bits, a palette's worth of EXIF.
pub fn png() -> Vec<Vec<u8>> {
    let image = DynamicImage::from(image());
    let mut turned = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut turned);
    encoder.set_exif_metadata(exif(true)).expect("PNG has EXIF");
    encoder.write_image(image.as_bytes(), 32, 24, ExtendedColorType::Rgb8).expect("small images can be written");
    let all = [image.clone(), image.to_luma8().into(), image.to_rgba8().into(), image.to_rgb16().into()];
    all.into_iter().map(|image| encoded(image, ImageFormat::Png)).chain([turned]).collect()
}

/// The other formats of images.
pub fn other_images() -> Vec<Vec<u8>> {
    let image = DynamicImage::from(image());
    let of = |format| encoded(image.clone(), format);
    vec![
        encoded(image.to_rgba8().into(), ImageFormat::Gif),
        of(ImageFormat::Bmp),
        of(ImageFormat::Tiff),
        of(ImageFormat::WebP),
    ]
}

/// Pascal VOC's XML.
pub fn voc() -> Vec<Vec<u8>> {
    let full = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<annotation>\n\t<folder>VOC</folder>\n\
        \t<filename>image0.jpg</filename>\n\t<size><width>96</width><height>96</height><depth>3</depth></size>\n\
        \t<object>\n\t\t<name>red</name>\n\t\t<pose>Left</pose>\n\t\t<truncated>0</truncated>\n\
        \t\t<difficult>1</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>8</xmin>\n\t\t\t<ymin>6.5</ymin>\n\
        \t\t\t<xmax>40</xmax>\n\t\t\t<ymax>50</ymax>\n\t\t</bndbox>\n\
        \t\t<part><name>head</name><bndbox><xmin>9</xmin><ymin>7</ymin><xmax>19</xmax><ymax>20</ymax></bndbox></part>\n\
        \t</object>\n\t<object><name>gr&#xfc;n &amp; co</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>96</xmax>\
        <ymax>96</ymax></bndbox></object>\n</annotation>\n";
    let utf16: Vec<u8> =
        [0xfeff].into_iter().chain(full.replace("utf-8", "utf-16").encode_utf16()).flat_map(u16::to_le_bytes).collect();
    vec![annotation("red", [9, 7, 38, 50]).into(), full.into(), utf16]
}

pub fn image_list() -> Vec<Vec<u8>> {
    let utf16: Vec<u8> =
        [0xfeff_u16].into_iter().chain("image0\r\nimage1".encode_utf16()).flat_map(u16::to_be_bytes).collect();
    vec![
        b"image0\nimage1\nimage2\n".into(),
        b"image0  1\nimage1 -1\nimage2  0\n".into(),
        b"\xef\xbb\xbf# all\r\n'./JPEGImages/image0.jpg'\r\nC:\\data\\images\\image1.JPG\r\nphoto\\ 1\r\n\r\nimage\xcc\x88\xe2\x80\x8b\r".into(),
        utf16,
    ]
}

pub fn class_list() -> Vec<Vec<u8>> {
    vec![b"red\ngreen\nblue\n".into(), b"\xef\xbb\xbf\"red\"\r\ngr\xc3\xbcn, hell\r\n\r\nblue".into()]
}

/// COCO's JSON.
pub fn coco() -> Vec<Vec<u8>> {
    let full = r#"{"info":{"year":2026},"licenses":[],"images":[
        {"id":1,"file_name":"a/image0.jpg","width":96,"height":64},{"id":2,"file_name":"image1.jpg"}],
        "annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[8,6,30,44.5],"area":1320,"iscrowd":0},
        {"id":2,"image_id":1,"category_id":7,"bbox":[1.5,2.5,10,10],"iscrowd":1},
        {"id":3,"image_id":2,"category_id":7,"bbox":[0,0,1,1]}],
        "categories":[{"id":1,"name":"red","supercategory":"colour"},{"id":7,"name":"green"}]}"#;
    let results = r#"[{"image_id":1,"category_id":1,"bbox":[8,6,30,44.5],"score":0.5}]"#;
    vec![full.into(), results.into()]
}

/// YOLO's text.
pub fn yolo() -> Vec<Vec<u8>> {
    vec![b"0 0.25 0.3 0.4 0.5\n2 0.5 0.5 1 1\n".into(), b"1 0.1 0.2 0.05 1e-2\r\n".into(), b"".into()]
}

/// Ultralytics' description of a data set, for [`yolo_data_set`].
pub fn data_yaml() -> Vec<Vec<u8>> {
    let list = "# a comment\npath: .\ntrain: images\nval: images\nnc: 3\nnames: [red, 'green', \"bl\\u00fce\"]\n";
    let map = "train:\n  - images\n  - images\nnames:\n  0: red\n  1: green\n  2: blue\nroboflow:\n  version: 1\n";
    vec![list.into(), map.into()]
}

/// Addresses' hashes.
pub fn links() -> Vec<Vec<u8>> {
    vec![
        b"#v=baseline-voc,final@320&score=0.35&nms=.5&s=chelsea&view=benchmark&lang=ko&hide=cup%2C%20mug,dog".into(),
        b"v=dw7&w=https%3A%2F%2Fexample.org%2Fmy.safetensors%3Fa%3D1%26b%3D2%23c&utm_source=x".into(),
    ]
}

/// What the page's worker says.
pub fn messages() -> Vec<Vec<u8>> {
    [
        r#"{"Ready":{"threads":4,"relaxed_simd":true}}"#,
        r#"{"Progress":{"model":"final","received":1000}}"#,
        r#"{"Loaded":{"model":"final","facts":{"variant":"final","classes":["red"],"input_size":416,"source":"x","parameters":9,"gflops":1.5}}}"#,
        r#"{"LoadFailed":{"model":"final","error":{"Content":{"Misfit":{"variant":"final","problems":"x"}}}}}"#,
        r#"{"OpenFailed":{"picture":1,"error":{"Memory":{"width":9,"height":9}}}}"#,
        r#"{"Found":{"picture":1,"model":"final","candidates":[{"class":0,"score":0.5,"bbox":{"x1":0,"y1":0,"x2":1,"y2":1}}],"timing":{"preprocess":1,"network":2,"postprocess":3},"cold":true,"memory":1}}"#,
        r#"{"Measured":{"picture":1,"model":"final","timings":[],"memory":1}}"#,
        r#"{"Died":"out of memory"}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// A network of a variant with four channels in every layer: all layers, hardly any numbers.
fn narrow(variant: &str) -> Weights {
    narrow_but(variant, &[])
}

/// The same, but these layers have so many channels.
fn narrow_but(variant: &str, wide: &[(&str, usize)]) -> Weights {
    let variant = Variant::named(variant).expect("the variant exists");
    let graph = variant.graph(CLASSES);
    let is_free = |(i, layer): &(usize, &shared_model::graph::Layer)| {
        matches!(layer.op, Op::Conv(Conv { kernel: Kernel::Dense(_), .. })) && !graph.is_prediction(Node(*i))
    };
    let count = |name: &str| wide.iter().find(|(wide, _)| *wide == name).map_or(4, |&(_, count)| count);
    let layers = graph.layers.iter().enumerate().filter(is_free);
    let channels = layers.map(|(_, layer)| (layer.name.clone(), count(&layer.name).into()));
    let channels: Channels =
        serde_json::from_value(serde_json::Value::Object(channels.collect())).expect("they are counts");
    let mut weights = Weights::random_pruned(variant, &channels, CLASSES, 0).expect("four channels fit everywhere");
    weights.metadata.class_names = NAMES.map(String::from).into();
    weights
}

/// This project's weight files, and one without its metadata.
pub fn weights() -> Vec<Vec<u8>> {
    let baseline = narrow("baseline");
    let views = baseline.tensors.iter().take(20).map(|(name, tensor)| {
        let bytes: Vec<u8> = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (name.clone(), tensor.shape.clone(), bytes)
    });
    let views: Vec<_> = views.collect();
    let view = |(name, shape, bytes): &'static (String, Vec<usize>, Vec<u8>)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).expect("the shape fits"))
    };
    let views: &'static [_] = Box::leak(views.into_boxed_slice());
    let mut files = vec![safetensors::serialize(views.iter().map(view), None).expect("tensors can be written")];
    for weights in [baseline, narrow("final").fused().expect("the network can be folded")] {
        files.push(weights.to_bytes(WeightPrecision::Half).expect("small numbers fit"));
    }
    // Kernels of this size take a byte a number.
    let wide = narrow_but("final", &[("backbone.backbone.dark5.1.conv1", 72), ("backbone.backbone.dark5.1.conv2", 16)]);
    files.push(wide.to_bytes(WeightPrecision::Int8).expect("small numbers fit"));
    files
}

/// ONNX files: with their numbers of a narrow network; without them of whole ones, in all forms of output.
pub fn onnx() -> Vec<Vec<u8>> {
    let export = |weights: &Weights, output| {
        onnx::export(weights, &Export { batch: 1, height: 64, width: 64, output }).expect("the network can be written")
    };
    let whole = |variant, output| {
        let weights = Weights::random(Variant::named(variant).expect("the variant exists"), CLASSES, 0);
        // Longer ones are kernels and biases; shapes and indices are shorter.
        protobuf_skeleton(&export(&weights, output), 200).expect("this is ONNX")
    };
    vec![
        export(&narrow("baseline"), OutputForm::Decoded),
        whole("baseline", OutputForm::Decoded),
        whole("dw7", OutputForm::Yolox),
        whole("ghost", OutputForm::Raw),
    ]
}

/// Checkpoints as PyTorch writes them: of some tensors, and of a whole network.
pub fn torch() -> Vec<Vec<u8>> {
    let some = narrow("baseline").tensors.into_iter().take(12).enumerate();
    let mut files = Vec::new();
    let mut described = Vec::new();
    for (i, (name, tensor)) in some {
        described.push((name, tensor.shape, i));
        files.push((i, tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect()));
    }
    let whole = Weights::random(Variant::named("baseline").expect("the variant exists"), CLASSES, 0);
    // All have the numbers of the largest.
    let most = whole.tensors.values().map(|tensor| tensor.values.len()).max().unwrap_or_default();
    let all: Vec<_> = whole.tensors.into_iter().map(|(name, tensor)| (name, tensor.shape, 0)).collect();
    vec![checkpoint(&described, "Float", files), checkpoint(&all, "Half", vec![(0, vec![0x11; 2 * most])])]
}

/// A checkpoint of tensors with names, shapes and the numbers of their files.
fn checkpoint(tensors: &[(String, Vec<usize>, usize)], format: &str, numbers: Vec<(usize, Vec<u8>)>) -> Vec<u8> {
    let mut pickle =
        b"\x80\x02}(X\x0b\0\0\0start_epochJ\x07\0\0\0X\x05\0\0\0modelccollections\nOrderedDict\n)R(".to_vec();
    let text = |pickle: &mut Vec<u8>, text: &str| {
        pickle.push(b'X');
        pickle.extend((text.len() as u32).to_le_bytes());
        pickle.extend(text.as_bytes());
    };
    let int = |pickle: &mut Vec<u8>, value: usize| {
        pickle.push(b'J');
        pickle.extend((value as i32).to_le_bytes());
    };
    for (name, shape, file) in tensors {
        text(&mut pickle, name);
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut pickle, "storage");
        pickle.extend(format!("ctorch\n{format}Storage\n").as_bytes());
        text(&mut pickle, &file.to_string());
        text(&mut pickle, "cpu");
        int(&mut pickle, shape.iter().product());
        pickle.extend(b"tQ");
        int(&mut pickle, 0);
        for what in ["sizes", "steps"] {
            pickle.push(b'(');
            for (axis, &size) in shape.iter().enumerate() {
                int(&mut pickle, if what == "sizes" { size } else { shape[axis + 1..].iter().product() });
            }
            pickle.push(b't');
        }
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend(b"uu.");
    let mut files = vec![("archive/version".to_string(), b"3\n".to_vec()), ("archive/data.pkl".into(), pickle)];
    files.extend(numbers.into_iter().map(|(i, bytes)| (format!("archive/data/{i}"), bytes)));
    zipped(&files).expect("files can be archived")
}

/// Tar archives of data sets: in folders, and without.
pub fn tar() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("there is room for some files");
    write_voc(folder.path(), 2);
    let archive = |prefix: &str| {
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_dir_all(prefix, folder.path()).expect("files can be archived");
        archive.into_inner().expect("files can be archived")
    };
    vec![archive("VOCdevkit/VOC2007"), archive("")]
}

/// Parcels of a campaign.
pub fn parcels() -> Vec<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in [("a-s0.log", "said"), ("a-s0/weights/best.safetensors", "numbers")] {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).expect("memory does not fail");
        let bytes = encoder.finish().expect("memory does not fail");
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, format!("{name}.gz.1-of-1"), &bytes[..]).expect("files can be archived");
    }
    vec![archive.into_inner().expect("files can be archived")]
}

/// The list of published models.
pub fn manifest() -> Vec<Vec<u8>> {
    vec![std::fs::read(repository().join("models/manifest.json")).expect("the repository has models")]
}

/// The published list, for readers of what refers to it.
pub fn published() -> Manifest {
    Manifest::from_json(&String::from_utf8_lossy(&manifest()[0])).expect("the published list is right")
}

/// Settings of a training: some, and all.
pub fn settings() -> Vec<Vec<u8>> {
    let some = "train = [\"voc:train\"]\nval = ['voc:val']\nvariant = \"final\"\nmulti-scale = \"320:640\"\n\
        epochs = 3\nlr = 1e-3\n# faster\nclasses = [\"red\", \"green\"]\n[augmentation]\nmosaic = 0.5\nhsv = [0.0, 0.5, 0.5]\n";
    let all = toml::to_string_pretty(&Settings {
        train: vec!["voc:train".parse().expect("this is a source")],
        ..Settings::default()
    });
    vec![some.into(), all.expect("settings can be written").into()]
}

/// Plans of campaigns.
pub fn plans() -> Vec<Vec<u8>> {
    vec![
        b"[defaults]\ntrain = [\"voc:train\"]\nepochs = 3\n\n[[runs]]\nvariants = [\"baseline\", \"final\"]\nseeds = [0, 1]\n\n\
          [[runs]]\nname = \"slow\"\nvariants = [\"final\"]\nlr = 0.001\n"
            .into(),
    ]
}

/// Lines of a training's metrics.
pub fn metrics() -> Vec<Vec<u8>> {
    let evaluation =
        Record::Evaluation(Evaluation { iteration: 5, epoch: 1.0, ap: 3.5, ap50: 7.5, best: true, seconds: 0.5 });
    let line = serde_json::to_string(&evaluation).expect("records can be written");
    // The last one was being written.
    vec![format!("{line}\n{line}\n{}", &line[..20]).into()]
}

/// Draws the data set that annotations and lists are read in.
pub fn data_set(folder: &Path) {
    write_voc(folder, 3);
    // Nothing of it may look like another image's.
    image().save(folder.join("JPEGImages/photo 1.png")).expect("small images can be written");
    let plain = RgbImage::from_pixel(8, 8, Rgb([0; 3]));
    plain.save(folder.join("JPEGImages/image\u{308}.png")).expect("small images can be written");
}

/// A data set in YOLO's format, of the images that [`coco`] has.
///
/// # Panics
/// Panics where a file cannot be written.
pub fn yolo_data_set(folder: &Path) {
    let write = |path: &str, bytes: &[u8]| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("there is room for some files");
        std::fs::write(path, bytes).expect("there is room for some files");
    };
    let image = RgbImage::from_pixel(96, 64, Rgb([0; 3]));
    let png = encoded(image.into(), ImageFormat::Png);
    for name in ["image0.jpg", "image1.jpg", "a/image0.jpg"] {
        write(&format!("images/{name}"), &png);
    }
    write("data.yaml", &data_yaml()[0]);
    write("labels/image1.txt", &yolo()[1]);
}
