//! Data sets in COCO's format: a JSON file for each split, and where the images to it lie.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use shared_model::annotations::{CocoAnnotation, CocoFile, CocoImage, FormatErrorKind};
use shared_model::voc::{AnnotatedObject, Annotation, CocoExtra, Coordinates, ImageSize, VocObject};

use super::{entries, extension, file_name, find_split, no_split};
use crate::data::DataFile;
use crate::data::files::Files;
use crate::data::list::ImageIndex;
use crate::data::problem::{Problem, ProblemKind};
use crate::data::source::{Labelled, Listed, NumberedClass, Source, SourceAnnotations};
use crate::data::text::{self, shown};

/// What Roboflow calls the file in each split's folder.
pub(super) const ROBOFLOW: &str = "_annotations.coco.json";

/// What COCO's own files with boxes are called, before the split.
const INSTANCES: &str = "instances_";

/// Images that decide which folder they lie in.
const TRIED: usize = 20;

/// The splits of a folder, each with its file.
pub(super) fn splits(folder: &Path) -> Vec<(String, PathBuf)> {
    let own = folder.join(ROBOFLOW);
    if own.is_file() {
        return vec![(file_name(folder), own)];
    }
    let of_folders = entries(folder).into_iter().map(|inside| (file_name(&inside), inside.join(ROBOFLOW)));
    let of_folders: Vec<_> = of_folders.filter(|(_, file)| file.is_file()).collect();
    if !of_folders.is_empty() {
        return of_folders;
    }
    let files = ["annotations", ""].map(|inside| folder.join(inside)).into_iter().map(|inside| {
        let json: Vec<_> = entries(&inside).into_iter().filter(|file| extension(file) == "json").collect();
        let instances: Vec<_> = json.iter().filter(|file| file_name(file).starts_with(INSTANCES)).cloned().collect();
        if instances.is_empty() { json } else { instances }
    });
    let files = files.into_iter().find(|files| !files.is_empty()).unwrap_or_default();
    files.into_iter().map(|file| (split_of(&file), file)).collect()
}

/// The split that a file is named after.
pub(super) fn split_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.strip_prefix(INSTANCES).unwrap_or(&stem).into()
}

/// Reads a file, or a split of a folder. What stands behind a file's name is the folder of its images.
pub(super) fn read(source: &Source) -> Result<SourceAnnotations> {
    let (json, images) = if extension(&source.folder) == "json" {
        (source.folder.clone(), Some(&source.split).filter(|split| !split.is_empty()))
    } else {
        let splits = splits(&source.folder);
        let names: Vec<String> = splits.iter().map(|(split, _)| split.clone()).collect();
        let found = find_split(&names, &source.split);
        let found = found.with_context(|| no_split(&source.folder, &source.split, &names))?;
        let (_, json) = splits.iter().find(|(split, _)| split == found).expect("it is one of them");
        (json.clone(), None)
    };
    let text = text::read(&DataFile::on_disk(&json))?;
    let file = CocoFile::parse(&text).map_err(|error| anyhow!("{}: {error}", json.display()))?;
    file.check_ids().map_err(|error| anyhow!("{}: {error}", json.display()))?;
    let mut names: Vec<&str> = file.classes().map(|class| class.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!(
            "{}: two categories are called \"{}\": give one of them another name, or both the same id",
            json.display(),
            shown(twice[0])
        );
    }
    ensure!(!file.images.is_empty(), "{} has no image: export it again", json.display());
    let images = match images {
        Some(folder) => PathBuf::from(folder),
        None => images_folder(&json, &file.images),
    };
    let mut labelled: Vec<Labelled> = file.images.iter().map(|image| labelled(&json, &images, &file, image)).collect();
    let index = OnceCell::new();
    for Labelled { listed, .. } in labelled.iter_mut().filter(|image| !image.listed.image.exists()) {
        let index = index.get_or_init(|| {
            let there = Files::open(&images).map(|files| files.below(Path::new(""), usize::MAX)).unwrap_or_default();
            ImageIndex::new(there.iter().map(String::as_str))
        });
        let name = listed.name.rsplit_once('.').map_or(listed.name.as_str(), |(name, _)| name);
        listed.similar = index.similar(name);
    }
    let classes = file.classes().map(|class| NumberedClass { name: class.name.clone(), id: class.id }).collect();
    Ok(SourceAnnotations { list: json, images: labelled, classes: Some(classes) })
}

/// The folder that most of the first images are in: beside the file, or where COCO and others put them. Beside the file if
/// there are none anywhere.
fn images_folder(json: &Path, images: &[CocoImage]) -> PathBuf {
    let beside = json.parent().unwrap_or(Path::new("")).to_path_buf();
    let above = beside.join("..");
    let split = split_of(json);
    let mut folders = vec![beside.clone()];
    // COCO's own layout has the files in a folder of their own.
    let bases: &[&PathBuf] = if file_name(&beside) == "annotations" { &[&above, &beside] } else { &[&beside, &above] };
    for base in bases {
        let inside =
            [split.clone(), format!("images/{split}"), format!("{split}/images"), "images".into(), String::new()];
        folders.extend(inside.map(|inside| base.join(inside)));
    }
    let found = |folder: &PathBuf| images.iter().take(TRIED).filter(|image| image_in(folder, image).is_file()).count();
    // The first of several: `max_by_key` would take the last.
    let best = folders.iter().rev().max_by_key(|folder| found(folder)).filter(|folder| found(folder) > 0);
    let best = best.cloned().unwrap_or(beside);
    // Without the detour through `..`.
    best.canonicalize().ok().filter(|_| best.starts_with(&above)).unwrap_or(best)
}

fn image_in(folder: &Path, image: &CocoImage) -> PathBuf {
    // Files made on Windows name folders its way.
    folder.join(image.file_name.replace('\\', "/"))
}

fn labelled(json: &Path, folder: &Path, file: &CocoFile, image: &CocoImage) -> Labelled {
    let object = |annotation: &CocoAnnotation| {
        let class = file.category(annotation)?.name.clone();
        let object = VocObject { class, difficult: annotation.iscrowd != 0, bbox: annotation.voc_box() };
        let coco = Some(CocoExtra { id: annotation.id, area: annotation.area });
        Ok(AnnotatedObject { object, class_line: 0, box_line: 0, coco })
    };
    let objects: Result<Vec<_>, FormatErrorKind> = file.annotations_of(image.id).iter().map(object).collect();
    let size = image.width.zip(image.height).filter(|(width, height)| *width > 0.0 && *height > 0.0);
    let size = size.map(|(width, height)| ImageSize { width, height, line: 0 });
    let entry = Some(image.file_name.clone());
    let annotation = match objects {
        Ok(objects) => Ok(Annotation { filename: None, size, objects, entry, coordinates: Coordinates::Edges }),
        Err(error) => {
            let message = error.to_string();
            Err(Problem { kind: ProblemKind::CorruptAnnotation, file: json.into(), line: None, entry, message })
        }
    };
    let listed = Listed {
        name: image.file_name.clone(),
        line: None,
        image: DataFile::on_disk(image_in(folder, image)),
        annotation: DataFile::on_disk(json),
        similar: None,
    };
    Labelled { listed, image_id: image.id, annotation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_atomic;

    const JSON: &str = r#"{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []}"#;

    #[test]
    fn images_are_found_in_the_usual_places() {
        for (json, image) in [
            ("annotations/instances_val2017.json", "val2017/a.jpg"),
            ("annotations/instances_val.json", "images/val/a.jpg"),
            ("annotations/instances_val.json", "val/images/a.jpg"),
            ("annotations/instances_val.json", "images/a.jpg"),
            ("annotations/instances_val.json", "a.jpg"),
            ("valid/_annotations.coco.json", "valid/a.jpg"),
            ("val.json", "val/a.jpg"),
            ("val.json", "images/a.jpg"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path();
            write_atomic(&root.join(json), JSON.as_bytes()).unwrap();
            write_atomic(&root.join(image), b"x").unwrap();
            let [(split, _)] = &splits(root)[..] else { panic!("{json}") };
            let wanted = if split.starts_with("val") { split.as_str() } else { "val" };
            for source in [
                Source { folder: root.into(), split: wanted.into() },
                Source { folder: root.join(json), split: String::new() },
            ] {
                let read = read(&source).unwrap();
                let found = read.images[0].listed.image.path();
                assert!(read.images[0].listed.image.exists(), "{json}, {image}: {}", found.display());
            }
        }
    }

    #[test]
    fn a_folder_can_be_named_and_a_wrong_split_names_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("annotations/instances_train.json");
        write_atomic(&json, JSON.as_bytes()).unwrap();
        let named = read(&Source { folder: json, split: "elsewhere".into() }).unwrap();
        assert_eq!(named.images[0].listed.image.path(), Path::new("elsewhere/a.jpg"));
        let error = read(&Source { folder: folder.path().into(), split: "test".into() }).err().unwrap().to_string();
        assert!(error.contains("no split \"test\"") && error.contains("the splits are train"), "{error}");
    }
}
