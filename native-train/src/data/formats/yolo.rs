//! Data sets in YOLO's format: a text file beside each image, or in `labels` where images are in `images`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rayon::prelude::*;
use shared_model::annotations::{FormatError, YoloFile, YoloObject, class_list};
use shared_model::voc::{AnnotatedObject, Annotation, Coordinates, VocBox, VocObject};

use super::yaml::DataYaml;
use super::{entries, extension, file_name, find_split, no_split};
use crate::data::problem::{Problem, ProblemKind};
use crate::data::source::{Labelled, Listed, NumberedClass, Source, SourceAnnotations};
use crate::data::{DataFile, text};
use crate::files::find_images;

/// Whether a folder holds such a data set.
pub(super) fn is_folder(folder: &Path) -> bool {
    yaml_in(folder).is_some() || folder.join("images").is_dir() && folder.join("labels").is_dir()
}

/// The file that describes the data set in a folder: `data.yaml`, else the only one with names.
fn yaml_in(folder: &Path) -> Option<PathBuf> {
    let files: Vec<_> =
        entries(folder).into_iter().filter(|file| matches!(extension(file).as_str(), "yaml" | "yml")).collect();
    let has_names = |file: &&PathBuf| {
        let text = text::read(&DataFile::on_disk(*file)).unwrap_or_default();
        text::lines(&text).any(|line| line.starts_with("names:"))
    };
    let described = files.iter().find(|file| file.file_stem().is_some_and(|stem| stem == "data"));
    let mut named = files.iter().filter(has_names);
    described.or_else(|| named.next().filter(|_| named.next().is_none())).cloned()
}

/// The splits of a `data.yaml` or of a folder.
pub(super) fn splits(path: &Path) -> Result<Vec<String>> {
    Ok(description(path)?.splits.into_iter().map(|(split, _)| split).collect())
}

/// What is said of the data set: by its `data.yaml`, or, without one, by its folders and a list of names.
fn description(path: &Path) -> Result<DataYaml> {
    let yaml = if path.is_dir() { yaml_in(path) } else { Some(path.to_path_buf()) };
    if let Some(yaml) = yaml {
        return DataYaml::read(&yaml);
    }
    let lists = ["classes.txt", "obj.names", "labels/classes.txt"].map(|name| path.join(name));
    let Some(list) = lists.iter().find(|list| list.is_file()) else {
        bail!(
            "{} has images and labels, but nothing that names the classes: write a data.yaml beside them (names: [cat, dog], \
             train: images/train, val: images/val), or a classes.txt with one name a line",
            path.display()
        );
    };
    let names =
        class_list(&text::read(&DataFile::on_disk(list))?).map_err(|error| anyhow!("{}: {error}", list.display()))?;
    let folders = entries(&path.join("images")).into_iter().filter(|folder| folder.is_dir());
    let mut splits: Vec<_> =
        folders.map(|folder| (file_name(&folder), vec![format!("images/{}", file_name(&folder))])).collect();
    if splits.is_empty() {
        splits.push(("images".into(), vec!["images".into()]));
    }
    Ok(DataYaml { root: path.into(), names, splits })
}

/// Reads a split.
pub(super) fn read(source: &Source) -> Result<SourceAnnotations> {
    let data = description(&source.folder)?;
    let names: Vec<String> = data.splits.iter().map(|(split, _)| split.clone()).collect();
    let wanted = match names.as_slice() {
        [only] if source.split.is_empty() => Some(only.as_str()),
        names => find_split(names, &source.split),
    };
    let wanted = wanted.with_context(|| no_split(&source.folder, &source.split, &names))?;
    let (_, places) = data.splits.iter().find(|(split, _)| split == wanted).expect("it is one of them");

    let mut images = Vec::new();
    for place in places {
        images.extend(images_at(&data, &data.place(place))?);
    }
    ensure!(!images.is_empty(), "the split {source} has no image ({}): put some there", places.join(", "));
    let read = |(i, (image, line)): (usize, &(PathBuf, Option<usize>))| {
        let labels = DataFile::on_disk(labels_of(image));
        let annotation = annotation(&labels, &data.names);
        let name = image.strip_prefix(&data.root).unwrap_or(image).display().to_string();
        let image = DataFile::on_disk(image);
        let listed = Listed { name, line: *line, image, annotation: labels, similar: None };
        Labelled { listed, image_id: i as i64 + 1, annotation }
    };
    let images: Vec<Labelled> = images.par_iter().enumerate().map(read).collect();
    if !images.iter().any(|image| image.listed.annotation.exists()) {
        let looked_for = images[0].listed.annotation.path().display();
        bail!("no image of {source} has labels: they were looked for in places such as {looked_for}; put them there");
    }
    // A list of images is a place of its own.
    let list = match &places[..] {
        [place] => data.place(place),
        _ => source.folder.clone(),
    };
    let classes = data.names.iter().enumerate();
    let classes = classes.map(|(i, name)| NumberedClass { name: name.clone(), id: i as i64 + 1 }).collect();
    Ok(SourceAnnotations { list, images, classes: Some(classes) })
}

/// The images in a folder, or in a list of them: then each with its line, from 1.
fn images_at(data: &DataYaml, place: &Path) -> Result<Vec<(PathBuf, Option<usize>)>> {
    if place.is_dir() {
        let found = find_images(&[place.to_path_buf()])?;
        // A link to nowhere is an image that cannot be read: a problem among others.
        let all = found.images.into_iter().map(|image| image.path).chain(found.unreadable_images);
        return Ok(all.map(|path| (path, None)).collect());
    }
    ensure!(
        extension(place) == "txt" && place.is_file(),
        "there is no folder of images, and no list of them, at {}: mend the path in data.yaml",
        place.display()
    );
    let folder = place.parent().unwrap_or(Path::new(""));
    let image = |(i, line): (usize, &str)| {
        // Files made on Windows name folders its way.
        let line = text::unquoted(text::trim(line)).replace('\\', "/");
        let beside = folder.join(&line);
        let path = if beside.exists() { beside } else { data.root.join(&line) };
        (!line.is_empty()).then_some((path, Some(i + 1)))
    };
    Ok(text::lines(&text::read(&DataFile::on_disk(place))?).enumerate().filter_map(image).collect())
}

/// Where an image's labels are: in `labels`, where it is in `images`, else beside it.
fn labels_of(image: &Path) -> PathBuf {
    let beside = image.with_extension("txt");
    let parts: Vec<_> = beside.iter().collect();
    // The last one counts, and it is a folder.
    let images = parts[..parts.len() - 1].iter().rposition(|part| *part == "images");
    let Some(images) = images else { return beside };
    let apart: PathBuf =
        parts.iter().enumerate().map(|(i, part)| if i == images { "labels".as_ref() } else { *part }).collect();
    if !apart.is_file() && beside.is_file() { beside } else { apart }
}

/// Reads a file of labels; without one there is nothing in the image.
fn annotation(labels: &DataFile, names: &[String]) -> Result<Annotation, Problem> {
    let problem = |line, message| {
        let file = labels.path().into();
        Problem { kind: ProblemKind::CorruptAnnotation, file, line, entry: None, message }
    };
    let told = |FormatError { line, kind }: FormatError| problem(line, kind.to_string());
    let text = if labels.exists() {
        let bytes = labels.read().map_err(|error| problem(None, format!("the labels cannot be read ({error})")))?;
        text::decode(&bytes).map_err(|error| problem(error.line, error.to_string()))?
    } else {
        String::new()
    };
    let text = text::lines(&text).collect::<Vec<_>>().join("\n");
    let file = YoloFile::parse(&text).map_err(told)?;
    let object = |object: &YoloObject| {
        let class = object.class_name(names)?.to_string();
        let [xmin, ymin, xmax, ymax] = object.corners();
        let bbox = VocBox { xmin, ymin, xmax, ymax };
        let line = object.line;
        let object = VocObject { class, difficult: false, bbox };
        Ok(AnnotatedObject { object, class_line: line, box_line: line, coco: None })
    };
    let objects = file.objects.iter().map(object).collect::<Result<_, FormatError>>().map_err(told)?;
    Ok(Annotation { objects, coordinates: Coordinates::Parts, ..Annotation::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_where_others_look_for_them() {
        for (image, labels) in [
            ("a/images/train/b.jpg", "a/labels/train/b.txt"),
            ("images/images/b.c.png", "images/labels/b.c.txt"),
            ("train/images.jpg", "train/images.txt"),
            ("a/b.jpg", "a/b.txt"),
        ] {
            assert_eq!(labels_of(Path::new(image)), Path::new(labels));
        }
    }
}
