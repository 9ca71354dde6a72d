//! Lists of images: a name a line, however it was written down.

use std::collections::HashMap;
use std::path::Path;

use super::text::{composed, folded, is_invisible, lines, trim, unquoted};
use crate::photo::EXTENSIONS;

/// Values of the second column that lists of single classes have: no, difficult, yes.
const COLUMN: [&str; 3] = ["-1", "0", "1"];

/// The image files of a folder.
#[derive(Debug, Default)]
pub(super) struct ImageIndex {
    /// By name without extension: the extensions.
    extensions: HashMap<String, Vec<String>>,
    /// By name as it looks: the first name in the order of the alphabet.
    alike: HashMap<String, String>,
    /// The same by name as most systems write its letters.
    composed: HashMap<String, String>,
}

/// An image's name, and the extension of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) extension: String,
}

impl ImageIndex {
    /// Of the files at these paths, with slashes, below the folder.
    pub(super) fn new<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        let mut index = Self::default();
        for (name, extension) in files.into_iter().filter_map(image_name) {
            index.extensions.entry(name.into()).or_default().push(extension.into());
        }
        // The usual one first, then in the order of the formats; nothing depends on the order of the folder.
        let rank = |extension: &String| {
            let position = EXTENSIONS.iter().position(|known| extension.eq_ignore_ascii_case(known));
            (extension != "jpg", position, extension.clone())
        };
        index.extensions.values_mut().for_each(|extensions| extensions.sort_by_key(rank));
        let names: Vec<String> = index.names().into_iter().rev().map(String::from).collect();
        index.alike = names.iter().map(|name| (folded(name), name.clone())).collect();
        index.composed = names.into_iter().map(|name| (composed(&name), name)).collect();
        index
    }

    /// The names of all images, in the order of the alphabet.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.extensions.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The extension of the image called `name`.
    pub(super) fn extension(&self, name: &str) -> Option<&str> {
        Some(self.extensions.get(name)?[0].as_str())
    }

    /// The image called `text`, which may have an extension: an image's or its annotation's.
    fn find(&self, text: &str) -> Option<Found> {
        self.find_exactly(text).or_else(|| {
            let (name, extension) = image_name(text).unwrap_or((text, ""));
            let name = self.composed.get(&composed(name))?;
            self.find_exactly(name).map(|found| match self.extensions[name].iter().any(|known| known == extension) {
                true => Found { extension: extension.into(), ..found },
                false => found,
            })
        })
    }

    fn find_exactly(&self, text: &str) -> Option<Found> {
        if let Some(extensions) = self.extensions.get(text) {
            return Some(Found { name: text.into(), extension: extensions[0].clone() });
        }
        let (name, extension) = image_name(text).or_else(|| Some((text.strip_suffix(".xml")?, "xml")))?;
        let extensions = self.extensions.get(name)?;
        let exact = extensions.iter().find(|known| *known == extension);
        Some(Found { name: name.into(), extension: exact.unwrap_or(&extensions[0]).clone() })
    }

    /// An image whose name looks like `name`, but for case and spaces, with its extension.
    pub(super) fn similar(&self, name: &str) -> Option<String> {
        let known = self.alike.get(&folded(name))?;
        Some(format!("{known}.{}", self.extension(known)?))
    }
}

/// A file's path without an image's extension, and the extension.
fn image_name(path: &str) -> Option<(&str, &str)> {
    let (name, extension) = path.rsplit_once('.')?;
    let known = EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known));
    (known && !name.is_empty()).then_some((name, extension))
}

/// The names in a list's text, each with its line, from 1, and its file's extension where there is such an image.
///
/// A whole line is a name, with all its spaces. What shells, other programs and editors put around a name is taken off
/// where there is an image only without it: see [`forms`].
pub(super) fn names(text: &str, index: &ImageIndex) -> Vec<(usize, String, Option<String>)> {
    let given: Vec<(usize, &str)> =
        lines(text).enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !trim(line).is_empty()).collect();
    // In the lists of single classes every line has a second column; elsewhere "photo 1" is a name.
    let whole = |line: &str| forms(line).into_iter().find_map(|form| index.find(&form));
    let has_column =
        given.iter().all(|(_, line)| column(line).is_some()) && !given.iter().all(|(_, line)| whole(line).is_some());
    let name = |(number, line): (usize, &str)| {
        let alone = column(line);
        let found = match alone {
            Some(name) if has_column => whole(name).or_else(|| whole(line)),
            Some(name) => whole(line).or_else(|| whole(name)),
            None => whole(line),
        };
        match found {
            Some(Found { name, extension }) => Some((number, name, Some(extension))),
            None if trim(line).starts_with('#') => None,
            None => Some((number, plain(alone.filter(|_| has_column).unwrap_or(line)), None)),
        }
    };
    given.into_iter().filter_map(name).collect()
}

/// What stands before a second column.
fn column(line: &str) -> Option<&str> {
    let line = trim(line);
    let (name, last) = line.rsplit_once([' ', '\t'])?;
    COLUMN.contains(&last).then(|| trim(name)).filter(|name| !name.is_empty())
}

/// All that a line may mean, what it says most literally first.
fn forms(line: &str) -> Vec<String> {
    let mut forms = vec![line.to_string()];
    let mut add = |form: String| {
        if !form.is_empty() && !forms.contains(&form) {
            forms.push(form);
        }
    };
    add(trim(line).into());
    add(unquoted(trim(line)).into());
    add(unescaped(unquoted(trim(line))));
    let visible = |text: &str| text.chars().filter(|c| !is_invisible(*c)).collect::<String>();
    add(visible(unquoted(trim(line))));
    // Paths, of any system.
    for form in forms.clone() {
        let path = inside(&form);
        if !forms.contains(&path) {
            forms.push(path);
        }
    }
    forms
}

/// The name that a line means where there is no such image.
fn plain(line: &str) -> String {
    let path = inside(unquoted(trim(line)));
    let name = image_name(&path).map(|(name, _)| name.to_string());
    name.unwrap_or(path)
}

/// Without the backslashes that shells put before spaces and brackets.
fn unescaped(text: &str) -> String {
    let mut chars = text.chars().peekable();
    let mut plain = String::new();
    while let Some(c) = chars.next() {
        if c != '\\' || chars.peek().is_none_or(|next| next.is_alphanumeric()) {
            plain.push(c);
        }
    }
    plain
}

/// A path below the folder of images.
fn inside(path: &str) -> String {
    let path = path.replace('\\', "/");
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let folder =
        |part: &&str| ["JPEGImages", "images", "Annotations"].iter().any(|name| part.eq_ignore_ascii_case(name));
    let start = parts.iter().rposition(folder).map_or(0, |position| position + 1);
    let below = parts[start.min(parts.len().saturating_sub(1))..].join("/");
    if path.starts_with('/') && start == 0 { path } else { below }
}

/// Whether a file is none of the user's: what systems leave in folders.
pub fn is_of_the_system(path: &Path) -> bool {
    const NAMES: [&str; 17] = [
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        ".ds_store",
        "__macosx",
        "@eadir",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "#recycle",
        "@recycle",
        "#snapshot",
        ".fseventsd",
        ".spotlight-v100",
        ".ipynb_checkpoints",
        ".git",
        ".svn",
    ];
    // Resource forks of macOS, waste baskets, small copies, and what office programs have open.
    const BEGINNINGS: [&str; 4] = ["._", ".trash", ".thumb", "~$"];
    let name = |part: &std::ffi::OsStr| part.to_string_lossy().to_lowercase();
    let is_one =
        |name: String| BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) || NAMES.contains(&name.as_str());
    path.iter().map(name).any(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, files: &[&str]) -> Vec<String> {
        let index = ImageIndex::new(files.iter().copied());
        let name = |(_, name, extension): (usize, String, Option<String>)| match extension {
            Some(extension) => format!("{name}.{extension}"),
            None => name + "?",
        };
        names(text, &index).into_iter().map(name).collect()
    }

    #[test]
    fn a_whole_line_is_a_name() {
        let files = ["photo.jpg", "photo (1).jpg", "photo 1.jpg", "a b c.jpg"];
        assert_eq!(
            read("photo\nphoto (1)\nphoto 1\na b c\n", &files),
            ["photo.jpg", "photo (1).jpg", "photo 1.jpg", "a b c.jpg"]
        );
        assert_eq!(
            read("photo (2)\nphoto\n", &files),
            ["photo (2)?", "photo.jpg"],
            "nothing else is read in its place"
        );
    }

    #[test]
    fn a_second_column_is_one_only_if_it_is_minus_one_zero_or_one() {
        let files = ["a.jpg", "b c.jpg"];
        assert_eq!(read("a  1\nb c -1\na\t0\n", &files), ["a.jpg", "b c.jpg", "a.jpg"]);
        assert_eq!(read("a 2\n", &files), ["a 2?"]);
        assert_eq!(read("a 1\ngone -1\n", &files), ["a.jpg", "gone?"]);
        // Every name looks as if it had a column, but is there.
        assert_eq!(
            read("photo 0\nphoto 1\n", &["photo.jpg", "photo 0.jpg", "photo 1.jpg"]),
            ["photo 0.jpg", "photo 1.jpg"]
        );
        // A column in one line alone.
        assert_eq!(read("a 1\nb c\n", &files), ["a.jpg", "b c.jpg"]);
    }

    #[test]
    fn what_others_put_around_names_is_taken_off() {
        let files = ["a.jpg", "b c.jpg", "d (1).png", "sub/e.JPG", "#7.jpg"];
        for (line, expected) in [
            ("a.jpg", "a.jpg"),
            ("a.JPG", "a.jpg"),
            ("a.xml", "a.jpg"),
            ("./a", "a.jpg"),
            ("./a.jpg", "a.jpg"),
            ("JPEGImages/a.jpg", "a.jpg"),
            ("/data/set/JPEGImages/b c.jpg", "b c.jpg"),
            ("C:\\data\\JPEGImages\\a.jpg\r", "a.jpg"),
            ("Annotations/a.xml", "a.jpg"),
            ("'b c'", "b c.jpg"),
            ("\"b c.jpg\"", "b c.jpg"),
            ("d\\ \\(1\\)", "d (1).png"),
            ("  a \t", "a.jpg"),
            ("a\u{200b}", "a.jpg"),
            ("\u{feff}a\u{a0}", "a.jpg"),
            ("sub/e", "sub/e.JPG"),
            ("sub\\e.jpg", "sub/e.JPG"),
            ("#7", "#7.jpg"),
            // Another data set's.
            ("/data/other/a.jpg", "/data/other/a?"),
            ("other/a", "other/a?"),
            ("A", "A?"),
        ] {
            assert_eq!(read(line, &files), [expected], "{line:?}");
        }
        // One letter, or a letter and its accent, as macOS names files.
        assert_eq!(
            read("caf\u{e9}\ncafe\u{301}.png\n", &["cafe\u{301}.jpg", "cafe\u{301}.png"]),
            ["cafe\u{301}.jpg", "cafe\u{301}.png"]
        );
        let index = ImageIndex::new(["Photo\u{a0}1.jpg"]);
        assert_eq!(index.similar("photo 1").as_deref(), Some("Photo\u{a0}1.jpg"));
        assert_eq!(read("# the first ones\n\n \na\n#7\n", &files), ["a.jpg", "#7.jpg"]);
    }

    #[test]
    fn names_are_what_they_say_before_anything_is_taken_off() {
        let files = ["'a'.jpg", "a.jpg", "b.jpg.jpg", "b.jpg", "c\u{200b}.jpg", "c.jpg", "d .jpg"];
        for (line, expected) in
            [("'a'", "'a'.jpg"), ("b.jpg", "b.jpg.jpg"), ("c\u{200b}", "c\u{200b}.jpg"), ("d ", "d .jpg")]
        {
            assert_eq!(read(line, &files), [expected], "{line:?}");
        }
    }

    #[test]
    fn the_file_that_a_list_names_is_taken_else_jpg() {
        let files = ["a.png", "a.jpg", "a.JPG"];
        assert_eq!(read("a\na.png\na.JPG\na.webp", &files), ["a.jpg", "a.png", "a.JPG", "a.jpg"]);
    }

    #[test]
    fn files_of_systems_are_none_of_the_users() {
        for name in [
            "Thumbs.db",
            "a/.DS_Store",
            "._a.jpg",
            "__MACOSX/a.jpg",
            "photos/@eaDir/a.jpg",
            ".Trash-1000/files/a.jpg",
            ".trashed-1700000000-a.jpg",
            "#recycle/a.jpg",
            ".thumbnails/a.jpg",
            "~$a.jpg",
            ".ipynb_checkpoints/a-checkpoint.jpg",
        ] {
            assert!(is_of_the_system(Path::new(name)), "{name}");
        }
        assert!(!is_of_the_system(Path::new("a/thumbs.jpg")));
    }
}
