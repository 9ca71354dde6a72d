//! The table of readers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use native_train::campaign::{CampaignFolder, parcels, plan};
use native_train::convert::{Conversion, Images};
use native_train::data::labels::{self, Classes};
use native_train::data::reading::{BadBoxes, ExifBoxes, OtherClasses, Unannotated};
use native_train::data::voc::VocFolder;
use native_train::data::{Format, Reading, Source, class_list, text};
use native_train::foreign;
use native_train::models::Models;
use native_train::photo::Photo;
use native_train::train::metrics;
use native_train::train::schedule::{Schedule, StageLengths};
use native_train::train::settings::Settings;
use shared_model::voc::Annotation;
use shared_model::{BBox, Detection, Manifest, Weights, cost};
use tempfile::TempDir;
use web_demo::readers as page;

use super::formats::{self, Damage};
use super::seeds;

/// Something that reads input from outside.
pub struct Reader {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it reads, in words.
    pub reads: &'static str,
    /// Inputs that the test reads: all readers together take about a minute.
    pub tested: u64,
    /// Makes the whole inputs.
    pub(super) seeds: fn() -> Vec<Vec<u8>>,
    /// What has a meaning in the format.
    pub(super) words: &'static [&'static [u8]],
    /// Damage that only this format has.
    pub(super) damage: &'static [Damage],
    /// Reads an input, lets go what comes of it, and tells whether anything did.
    pub(super) read: fn(&[u8]) -> bool,
}

impl Reader {
    /// The reader of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        READERS.iter().chain([&FAULTY]).find(|reader| reader.name == name)
    }
}

/// All of them.
pub static READERS: [Reader; 25] = [
    Reader {
        name: "jpeg",
        reads: "JPEG images with EXIF",
        tested: 2000,
        seeds: seeds::jpeg,
        words: &[
            b"\xff\xd8",
            b"\xff\xd9",
            b"\xff\xda",
            b"\xff\xc2",
            b"\xff\xc4",
            b"\xff\xdb",
            b"\xff\xe1",
            b"Exif\0\0",
        ],
        damage: &[formats::jpeg],
        read: image,
    },
    Reader {
        name: "png",
        reads: "PNG images with EXIF",
        tested: 2000,
        seeds: seeds::png,
        words: &[b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"acTL", b"iCCP", b"zTXt"],
        damage: &[formats::png],
        read: image,
    },
    Reader {
        name: "images",
        reads: "GIF, BMP, TIFF and WebP images",
        tested: 2000,
        seeds: seeds::other_images,
        words: &[b"GIF89a", b"BM", b"II*\0", b"RIFF", b"WEBP", b"VP8X", b"VP8 ", b"VP8L", b"\x21\xf9\x04", b"\x2c"],
        damage: &[],
        read: image,
    },
    Reader {
        name: "voc-xml",
        reads: "Pascal VOC's annotations, in their data set",
        tested: 2000,
        seeds: seeds::voc,
        words: &[
            b"<object>",
            b"</object>",
            b"<annotation>",
            b"<bndbox>",
            b"<name>",
            b"<![CDATA[",
            b"<!--",
            b"<!DOCTYPE a [",
            b"<!ENTITY a \"b\">",
            b"&a;",
            b"&#0;",
            b"xmlns:",
            b"UTF-16",
            b"utf-7",
        ],
        damage: &[formats::tags, formats::tags, formats::lines],
        read: voc_xml,
    },
    Reader {
        name: "voc-list",
        reads: "lists of a split's images",
        tested: 2000,
        seeds: seeds::image_list,
        words: &[
            b"\r",
            b"\n",
            b"-1",
            b"#",
            b"\\",
            b"/",
            b"../",
            b"\"",
            b"JPEGImages/",
            b".jpg",
            b".xml",
            b"\xe2\x80\x8b",
            b"\xff\xfe",
        ],
        damage: &[formats::lines],
        read: voc_list,
    },
    Reader {
        name: "class-list",
        reads: "lists of classes",
        tested: 2000,
        seeds: seeds::class_list,
        words: &[b"\r", b"\n", b"#", b"'", b"\"", b"\xe2\x80\x8b", b"\xff\xfe", b"\0"],
        damage: &[formats::lines],
        read: class_list,
    },
    Reader {
        name: "tar",
        reads: "tar archives of data sets",
        tested: 1000,
        seeds: seeds::tar,
        words: &[b"ustar", b"../", b"./", b"JPEGImages", b"Annotations"],
        damage: &[formats::tar, formats::tar],
        read: tar,
    },
    Reader {
        name: "coco",
        reads: "COCO's JSON, and what becomes of it in other formats",
        tested: 1000,
        seeds: seeds::coco,
        words: &[b"{", b"[", b"null", b"\"bbox\":", b"\\ud800", b"../", b"\"file_name\":\"/\""],
        damage: &[formats::json, formats::json],
        read: coco,
    },
    Reader {
        name: "yolo",
        reads: "YOLO's text, and what becomes of it in other formats",
        tested: 1000,
        seeds: seeds::yolo,
        words: &[b" ", b"\n", b"\t", b"0.5", b"1", b"nan", b"-1", b"1e30"],
        damage: &[formats::lines],
        read: |bytes| {
            fs::write(YOLO.join("labels/image0.txt"), bytes).expect("there is room for some files");
            converted(&Source { folder: YOLO.join("data.yaml"), split: "train".into() })
        },
    },
    Reader {
        name: "data-yaml",
        reads: "ultralytics' data.yaml",
        tested: 1000,
        seeds: seeds::data_yaml,
        words: &[b"names:", b"- ", b"[", b"{", b"&a ", b"*a", b"!!", b"|", b"nc: ", b"train: ", b"\n  ", b"? "],
        damage: &[formats::lines, formats::lines],
        read: |bytes| {
            fs::write(YOLO.join("other.yaml"), bytes).expect("there is room for some files");
            converted(&Source { folder: YOLO.join("other.yaml"), split: "train".into() })
        },
    },
    Reader {
        name: "page-voc",
        reads: "Pascal VOC's annotations, on the page",
        tested: 5000,
        seeds: seeds::voc,
        words: &[b"<object>", b"</object>", b"<annotation>", b"<bndbox>", b"<![CDATA[", b"<!DOCTYPE a ["],
        damage: &[formats::tags],
        read: |bytes| annotations("image0.xml", bytes),
    },
    Reader {
        name: "page-coco",
        reads: "COCO's JSON, on the page",
        tested: 5000,
        seeds: seeds::coco,
        words: &[b"{", b"[", b"null", b"\"bbox\":", b"\\ud800"],
        damage: &[formats::json, formats::json],
        read: |bytes| annotations("a.json", bytes),
    },
    Reader {
        name: "page-yolo",
        reads: "YOLO's text, on the page",
        tested: 5000,
        seeds: seeds::yolo,
        words: &[b" ", b"\n", b"\t", b"0.5", b"1"],
        damage: &[formats::lines],
        read: |bytes| annotations("image0.txt", bytes),
    },
    Reader {
        name: "page-classes",
        reads: "lists of classes, on the page",
        tested: 5000,
        seeds: seeds::class_list,
        words: &[b"\n", b"\r"],
        damage: &[formats::lines],
        read: |bytes| annotations("classes.txt", bytes),
    },
    Reader {
        name: "page-image",
        reads: "the first bytes of images, on the page",
        tested: 5000,
        seeds: || [seeds::jpeg(), seeds::png(), seeds::other_images()].concat(),
        words: &[b"\xff\xd8", b"\xff\xe1", b"RIFF", b"WEBP", b"ftypavif", b"\0\0\0\x0cjP  "],
        damage: &[formats::jpeg, formats::png],
        read: page::picture,
    },
    Reader {
        name: "page-link",
        reads: "the page's links",
        tested: 5000,
        seeds: seeds::links,
        words: &[b"&", b"=", b",", b"%", b"%00", b"%ff", b"#", b"@", b"v=", b"score=", b"hide=", b"w="],
        damage: &[formats::link_parts],
        read: |bytes| page::link(&String::from_utf8_lossy(bytes), &PUBLISHED),
    },
    Reader {
        name: "page-message",
        reads: "messages of the page's worker",
        tested: 5000,
        seeds: seeds::messages,
        words: &[b"{", b"[", b"null", b"\"Found\":", b"\"Died\":"],
        damage: &[formats::json, formats::json],
        read: |bytes| page::message(&String::from_utf8_lossy(bytes)),
    },
    Reader {
        name: "weights",
        reads: "weights in safetensors files",
        tested: 1000,
        seeds: seeds::weights,
        words: &[b"\"F16\"", b"\"F32\"", b"\"BOOL\"", b"\"data_offsets\":[0,0]", b"\"channels\":{}", b"{"],
        damage: &[formats::safetensors, formats::safetensors],
        read: weights,
    },
    Reader {
        name: "onnx",
        reads: "ONNX files",
        tested: 1000,
        seeds: seeds::onnx,
        words: &[
            WITHOUT_END,
            &[0xff; 40],
            b"Conv",
            b"Slice",
            b"Reshape",
            b"Concat",
            b"Tile",
            b"Expand",
            b"ConstantOfShape",
            b"Gather",
        ],
        damage: &[formats::protobuf, formats::protobuf, formats::protobuf],
        read: foreign_weights,
    },
    Reader {
        name: "torch",
        reads: "PyTorch's checkpoints",
        tested: 1000,
        seeds: seeds::torch,
        words: &[b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"data.pkl"],
        damage: &[formats::torch, formats::torch],
        read: foreign_weights,
    },
    Reader {
        name: "manifest",
        reads: "the list of published models",
        tested: 2000,
        seeds: seeds::manifest,
        words: &[b"{", b"[", b"null", b"\"default\":", b"\"models\":[]"],
        damage: &[formats::json, formats::json],
        read: manifest,
    },
    Reader {
        name: "settings",
        reads: "settings of a training",
        tested: 2000,
        seeds: seeds::settings,
        words: &[
            b"[augmentation]",
            b"[[a]]",
            b"= ",
            b"\"\"\"",
            b"[",
            b"{",
            b"nan",
            b"-inf",
            b"skip-difficult = true\n",
        ],
        damage: &[formats::lines],
        read: settings,
    },
    Reader {
        name: "plan",
        reads: "plans of campaigns",
        tested: 2000,
        seeds: seeds::plans,
        words: &[b"[[runs]]\n", b"[defaults]\n", b"= ", b"seeds = [", b"name = \"..\"\n", b"{", b"nan", b"-inf"],
        damage: &[formats::lines],
        read: |bytes| plan::read(&scratch("plan.toml", bytes)).is_ok(),
    },
    Reader {
        name: "parcel",
        reads: "parcels of campaigns",
        tested: 2000,
        seeds: seeds::parcels,
        words: &[b"ustar", b"../", b"/", b".gz.1-of-1", b".gz.2-of-18446744073709551615"],
        damage: &[formats::tar, formats::tar],
        read: parcel,
    },
    Reader {
        name: "metrics",
        reads: "a training's metrics",
        tested: 2000,
        seeds: seeds::metrics,
        words: &[b"{", b"}\n"],
        damage: &[formats::lines],
        read: |bytes| metrics::read(&scratch("metrics.jsonl", bytes)).is_ok_and(|records| !records.is_empty()),
    },
];

/// Bytes that once sent a parser of ONNX into a loop without end: among them are more than ten in a row with the highest bit
/// set, a number that never ends.
const WITHOUT_END: &[u8] =
    b"\x1c\x4b\x36\xda\x31\x67\xf4\xc9\x25\x43\x57\x66\x4e\xe1\x43\x73\xa7\x20\xff\x21\x13\xaa\x51\xa2\
    \xe8\xbe\x4f\x72\x50\xfa\x33\x01\x16\x0d\xc3\x3a\x32\xc0\x30\xf2\x4a\xc6\xe2\xf2\x1c\x28\x86\xab\
    \xfe\x37\x22\xe2\x06\xaa\xdf\x78\xce\x0f\x89\xa3\xea\x01\x5e\xbc\xb2\x30\x5e\x67\xf7\x08\x08\xa1\
    \x90\x34\xc8\x13\x76\x7d";

/// What has every fault: for tests of those who look for them.
pub static FAULTY: Reader = Reader {
    name: "faulty",
    reads: "the names of faults",
    tested: 0,
    seeds: || FAULTS.map(|fault| fault.as_bytes().to_vec()).into(),
    words: &[],
    damage: &[],
    read: faulty,
};

/// What [`FAULTY`] does when it is asked to.
pub const FAULTS: [&str; 6] = ["panic", "loop", "memory", "untouched memory", "recursion", "abort"];

fn faulty(bytes: &[u8]) -> bool {
    fn deep(depth: u64) -> u64 {
        std::hint::black_box([depth; 64]);
        if depth == u64::MAX { 0 } else { 1 + deep(depth + 1) }
    }
    match bytes {
        b"panic" => panic!("as asked for"),
        b"loop" => (0..).map(std::hint::black_box).any(|number: u64| number == 1 << 62),
        b"memory" => std::hint::black_box(vec![1_u8; 5 << 28]).len() == 1,
        b"untouched memory" => std::hint::black_box(Vec::<u8>::with_capacity(5 << 28)).capacity() == 1,
        b"recursion" => deep(0) == 1,
        b"abort" => std::process::abort(),
        _ => true,
    }
}

static PUBLISHED: LazyLock<Manifest> = LazyLock::new(seeds::published);

/// Files of this process.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("there is room for some files"));

/// A data set whose annotations and lists are replaced.
static DATA: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = FOLDER.path().join("voc");
    seeds::data_set(&folder);
    folder
});

/// The same in YOLO's format.
static YOLO: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = FOLDER.path().join("yolo");
    seeds::yolo_data_set(&folder);
    folder
});

/// Writes an input to a file that readers of files can open.
fn scratch(name: &str, bytes: &[u8]) -> PathBuf {
    let path = FOLDER.path().join(name);
    fs::write(&path, bytes).expect("there is room for some files");
    path
}

fn image(bytes: &[u8]) -> bool {
    let _ = Photo::header(bytes);
    Photo::decode(bytes).is_ok_and(|photo| photo.image().is_ok())
}

/// As much is read as can be.
const LENIENT: Reading = Reading {
    bad_boxes: BadBoxes::Skip,
    other_classes: OtherClasses::Skip,
    unannotated: Unannotated::Background,
    exif_boxes: ExifBoxes::Stored,
};

/// Labels as training reads them, by either word about what is wrong.
fn read_labels(folder: &Path, split: &str) -> bool {
    let source = Source { folder: folder.into(), split: split.into() };
    let names = seeds::NAMES.map(String::from);
    let sources = [source];
    let strict = labels::read(&sources, Classes::Occurring, &Reading::default());
    strict.is_ok() | labels::read(&sources, Classes::Given(&names), &LENIENT).is_ok()
}

fn voc_xml(bytes: &[u8]) -> bool {
    if let Ok(text) = text::decode_xml(bytes) {
        let _ = Annotation::parse(&text).and_then(Annotation::into_objects);
    }
    fs::write(DATA.join("Annotations/image0.xml"), bytes).expect("there is room for some files");
    fs::write(DATA.join("ImageSets/Main/one.txt"), "image0").expect("there is room for some files");
    read_labels(&DATA, "one")
}

fn coco(bytes: &[u8]) -> bool {
    // Beside the images.
    let path = YOLO.join("images/a.json");
    fs::write(&path, bytes).expect("there is room for some files");
    converted(&Source { folder: path, split: String::new() })
}

/// Reads a data set as training and conversions do, and writes it in all formats.
fn converted(source: &Source) -> bool {
    let is_read = read_labels(&source.folder, &source.split);
    let Ok(set) = Conversion::read(std::slice::from_ref(source), &LENIENT) else { return is_read };
    for format in [Format::Voc, Format::Coco, Format::Yolo] {
        let out = FOLDER.path().join("converted");
        if set.write(format, Images::Link, &out, &|| true).is_ok() {
            fs::remove_dir_all(out).expect("it was written");
        }
    }
    is_read
}

fn voc_list(bytes: &[u8]) -> bool {
    fs::write(DATA.join("ImageSets/Main/list.txt"), bytes).expect("there is room for some files");
    VocFolder::open(&DATA).and_then(|folder| folder.split("list")).is_ok()
}

fn class_list(bytes: &[u8]) -> bool {
    let path = scratch("classes.txt", bytes);
    let names = class_list::parse(&path.to_string_lossy());
    names.is_ok_and(|names| class_list::closest("rad", &names).is_some())
}

fn tar(bytes: &[u8]) -> bool {
    let path = scratch("voc.tar", bytes);
    let is_labelled = read_labels(&path, "train");
    if let Ok(listed) = VocFolder::open(&path).and_then(|folder| folder.split("train")) {
        for image in listed.iter().take(4) {
            let _ = image.image.photo();
        }
    }
    is_labelled
}

fn annotations(name: &str, bytes: &[u8]) -> bool {
    let bbox = BBox { x1: 8.0, y1: 6.0, x2: 38.0, y2: 50.0 };
    let detections = [0, 1, 9].map(|class| Detection { class, score: 0.5, bbox });
    page::annotations(name, &String::from_utf8_lossy(bytes), &detections, &seeds::NAMES.map(String::from))
}

fn weights(bytes: &[u8]) -> bool {
    if let Ok(weights) = Weights::from_bytes(bytes)
        && let Ok(graph) = weights.graph()
    {
        cost(&graph, weights.metadata.input_size, weights.metadata.input_size);
    }
    foreign_weights(bytes)
}

fn foreign_weights(bytes: &[u8]) -> bool {
    let read = |class_names| {
        let source = foreign::Source { name: "some file", folder: Some(FOLDER.path()), class_names };
        foreign::parse(bytes, &source).is_ok()
    };
    read(None) | read(Some(seeds::NAMES.map(String::from).into()))
}

fn manifest(bytes: &[u8]) -> bool {
    let is_read = Models::read(&scratch("manifest.json", bytes)).is_ok();
    let Ok(manifest) = Manifest::from_json(&String::from_utf8_lossy(bytes)) else { return is_read };
    let _ = (manifest.default_entry(), manifest.reported("baseline"));
    page::link("#v=baseline,final@320", &manifest)
}

fn settings(bytes: &[u8]) -> bool {
    let Ok(table) = String::from_utf8_lossy(bytes).parse::<toml::Table>() else { return false };
    let Ok(settings) = Settings::from_layers(&[table]) else { return false };
    let _ = (settings.learning_rate(), settings.optimizer_settings(), settings.loss_settings(true));
    let Ok(plan) = settings.plan(100) else { return false };
    let per_epoch = plan.iterations_per_epoch();
    let lengths = StageLengths { fit: settings.fit_steps.unwrap_or(0), ..settings.stage_lengths() };
    let schedule = Schedule::new(per_epoch, lengths.fit + settings.epochs * per_epoch, lengths);
    let _ = (settings.ema_decay(&schedule), plan.batch(0, &schedule), schedule.stage(schedule.iterations));
    true
}

fn parcel(bytes: &[u8]) -> bool {
    let folder = FOLDER.path().join("parcels");
    fs::create_dir_all(&folder).expect("there is room for some files");
    fs::write(folder.join("parcel-001.tar"), bytes).expect("there is room for some files");
    parcels::unpack(&CampaignFolder::new(&FOLDER.path().join("campaign")), &folder).is_ok()
}
