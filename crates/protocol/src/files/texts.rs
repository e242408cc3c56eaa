//! Text files in a request: an object from path to text, in the given order.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};

use super::FileText;
use crate::error::{InvalidRequest, Problem};

/// Checks that each file has a path, and that no path repeats.
pub(crate) fn check(files: &[FileText]) -> Result<(), InvalidRequest> {
    let mut paths = BTreeSet::new();
    for file in files {
        if file.path.is_empty() {
            return Err(InvalidRequest::new(
                "files",
                Problem::MustContain("no empty paths"),
            ));
        }
        if !paths.insert(&file.path) {
            return Err(InvalidRequest::new(
                "files",
                Problem::MustContain("each path only once"),
            ));
        }
    }
    Ok(())
}

/// Creates files from pairs of path and text.
pub(crate) fn of<P: Into<String>, T: Into<String>>(
    files: impl IntoIterator<Item = (P, T)>,
) -> impl Iterator<Item = FileText> {
    files
        .into_iter()
        .map(|(path, text)| FileText::new(path, text))
}

/// Writes the object.
pub(crate) fn serialize<S: Serializer>(
    files: &[FileText],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(files.len()))?;
    for file in files {
        map.serialize_entry(&file.path, &file.content)?;
    }
    map.end()
}

/// Reads the object, or an array of files, which the relay accepts too.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<FileText>, D::Error> {
    struct Files;

    impl<'de> Visitor<'de> for Files {
        type Value = Vec<FileText>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of path to text, or an array of files")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<FileText>, A::Error> {
            let mut files = Vec::new();
            while let Some((path, content)) = map.next_entry()? {
                files.push(FileText { path, content });
            }
            Ok(files)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<FileText>, A::Error> {
            let mut files = Vec::new();
            while let Some(file) = list.next_element()? {
                files.push(file);
            }
            Ok(files)
        }
    }

    deserializer.deserialize_any(Files)
}

/// Reads and writes the object if there is one.
pub(crate) mod option {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::FileText;

    pub(crate) fn serialize<S: Serializer>(
        files: &Option<Vec<FileText>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match files {
            Some(files) => super::serialize(files, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<FileText>>, D::Error> {
        #[derive(Deserialize)]
        struct Files(#[serde(deserialize_with = "super::deserialize")] Vec<FileText>);

        let files = Option::<Files>::deserialize(deserializer)?;
        Ok(files.map(|Files(files)| files))
    }
}
