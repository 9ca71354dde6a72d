//! Which file is about which picture goes by their names.

/// A path's last part.
pub fn base_name(path: &str) -> &str {
    // Files made on Windows name folders its way.
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// The base name's extension in lower case; empty without one.
pub fn extension(path: &str) -> String {
    split(path).1.to_ascii_lowercase()
}

/// Whether two files have the same name, up to folders and extensions.
pub fn is_same_stem(a: &str, b: &str) -> bool {
    split(a).0.eq_ignore_ascii_case(split(b).0)
}

/// Whether a file's name is that of a list of classes: `classes.txt`, `predefined_classes.txt`, `obj.names`.
pub fn is_class_list(path: &str) -> bool {
    match extension(path).as_str() {
        "names" => true,
        "txt" => split(path).0.to_ascii_lowercase().ends_with("classes"),
        _ => false,
    }
}

fn split(path: &str) -> (&str, &str) {
    let name = base_name(path);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, extension),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_folders_and_extensions() {
        assert!(is_same_stem("labels/2008_000001.txt", "2008_000001.JPG"));
        assert!(is_same_stem("C:\\data\\a.b.xml", "A.B.png"));
        assert!(is_same_stem("photo", "photo.jpg"));
        assert!(!is_same_stem("a.b.xml", "a.jpg"));
        assert!(!is_same_stem(".xml", ".jpg"), "no name but an extension");
    }

    #[test]
    fn lists_of_classes_are_known_by_their_names() {
        for name in ["classes.txt", "data/obj.names", "predefined_classes.txt", "Classes.TXT"] {
            assert!(is_class_list(name), "{name}");
        }
        for name in ["photo.txt", "names.txt", "classes/photo.txt", "classes.yaml"] {
            assert!(!is_class_list(name), "{name}");
        }
    }
}
