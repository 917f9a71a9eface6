//! The file: a zip archive with one folder, and how to tell it from everything else that ends in `.pt2`.
//!
//! ```text
//! NAME/archive_format                             pt2
//! NAME/archive_version                            0
//! NAME/byteorder                                  little
//! NAME/models/MODEL.json                          the program
//! NAME/data/weights/MODEL_weights_config.json     parameters and persistent buffers: type, layout, entry
//! NAME/data/weights/weight_0 …                    their storages, as they were in memory
//! NAME/data/constants/MODEL_constants_config.json other buffers and constants, likewise
//! NAME/data/constants/tensor_0 …
//! ```

use super::error::{ImportError, OldLayout};
use super::{MAX_PROGRAM_BYTES, SchemaVersion, schema};
use cortado_npz::zip::{Limits, ZipArchive};
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// The folder of parameters and persistent buffers.
pub(super) const WEIGHTS: &str = "data/weights/";
/// The folder of other buffers and constants.
pub(super) const CONSTANTS: &str = "data/constants/";
/// The most entries that are read: about one per constant.
const MAX_ENTRIES: usize = 65_535;

/// An archive that holds one exported program in the current layout.
pub(super) struct Archive<'a> {
    zip: ZipArchive<'a>,
    /// The archive's folder, with the slash.
    folder: String,
    /// The program's name, `model` unless the user chose another.
    model: String,
}

impl<'a> Archive<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, ImportError> {
        if let Some(found) = other_format(bytes) {
            return Err(ImportError::NotExported { found: found.to_owned() });
        }
        let limits = Limits { entries: MAX_ENTRIES, total_bytes: MAX_PROGRAM_BYTES };
        let zip = ZipArchive::new(bytes, &limits)?;
        refuse_other_archives(&zip)?;
        let folder = folder(&zip)?;
        let mut archive = Archive { zip, folder, model: String::new() };
        archive.expect("archive_format", "pt2")?;
        archive.expect("archive_version", "0")?;
        archive.expect("byteorder", "little")?;
        archive.model = archive.only_model()?;
        if archive.contains(&format!("{WEIGHTS}{}.pt", archive.model)) {
            return Err(ImportError::OldLayout { layout: OldLayout::Torch28 });
        }
        Ok(archive)
    }

    /// The version of the program, which can be read whatever it is.
    pub(super) fn header(&self) -> Result<schema::Header, ImportError> {
        self.json(&self.program_entry(), None)
    }

    pub(super) fn program(
        &self,
        newer: Option<SchemaVersion>,
    ) -> Result<schema::Program, ImportError> {
        self.json(&self.program_entry(), newer)
    }

    /// The list of constants in a folder, one of [`WEIGHTS`] and [`CONSTANTS`].
    pub(super) fn config(
        &self,
        folder: &str,
        newer: Option<SchemaVersion>,
    ) -> Result<schema::PayloadConfig, ImportError> {
        let kind = if folder == WEIGHTS { "weights" } else { "constants" };
        self.json(&format!("{folder}{}_{kind}_config.json", self.model), newer)
    }

    /// The bytes of an entry, named without the archive's folder.
    pub(super) fn read(&self, entry: &str) -> Result<Cow<'a, [u8]>, ImportError> {
        let found = self.zip.entry(&format!("{}{entry}", self.folder));
        let missing = || ImportError::MissingEntry { entry: entry.to_owned() };
        Ok(found.ok_or_else(missing)?.read()?)
    }

    fn contains(&self, entry: &str) -> bool {
        self.zip.entry(&format!("{}{entry}", self.folder)).is_some()
    }

    fn program_entry(&self) -> String {
        format!("models/{}.json", self.model)
    }

    fn json<T: DeserializeOwned>(
        &self,
        entry: &str,
        newer: Option<SchemaVersion>,
    ) -> Result<T, ImportError> {
        serde_json::from_slice(&self.read(entry)?).map_err(|error| ImportError::Json {
            entry: entry.to_owned(),
            detail: error.to_string(),
            newer,
        })
    }

    fn expect(&self, entry: &'static str, expected: &'static str) -> Result<(), ImportError> {
        let found = self.read(entry)?;
        if found.trim_ascii() == expected.as_bytes() {
            return Ok(());
        }
        // Whatever stands there is shown, but not more than a few words of it.
        let found = String::from_utf8_lossy(&found).chars().take(40).collect();
        Err(ImportError::Marker { entry, expected, found })
    }

    fn only_model(&self) -> Result<String, ImportError> {
        let models: Vec<String> = self
            .zip
            .entries()
            .filter_map(|entry| entry.name().strip_prefix(&self.folder))
            .filter_map(|name| name.strip_prefix("models/")?.strip_suffix(".json"))
            .map(str::to_owned)
            .collect();
        match <[String; 1]>::try_from(models) {
            Ok([model]) => Ok(model),
            Err(names) if names.is_empty() => {
                Err(ImportError::MissingEntry { entry: "models/model.json".to_owned() })
            }
            Err(names) => Err(ImportError::Programs { names }),
        }
    }
}

/// The folder that all entries are in.
fn folder(zip: &ZipArchive<'_>) -> Result<String, ImportError> {
    let first = zip.entries().next().map_or("", |entry| entry.name());
    let folder = first.split_once('/').map_or("", |(folder, _)| folder);
    let prefix = format!("{folder}/");
    match zip.entries().find(|entry| !entry.name().starts_with(&prefix)) {
        None => Ok(prefix),
        Some(entry) => {
            Err(ImportError::Folder { entry: entry.name().to_owned(), folder: folder.to_owned() })
        }
    }
}

/// What bytes that are no zip archive look like; `None` for a zip archive, whole or not.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| {
        bytes.get(offset..).is_some_and(|bytes| bytes.starts_with(magic))
    };
    if at(0, b"PK") {
        None
    } else if bytes.is_empty() {
        Some("an empty file")
    } else if at(4, b"ET") {
        Some("an ExecuTorch program (.pte)")
    } else if at(4, b"TFL3") {
        Some("a TensorFlow Lite model")
    } else if at(0, b"\x80") {
        Some("a Python pickle, as an old torch.save writes it")
    } else {
        Some("no zip archive")
    }
}

/// Refuses archives that other functions and older versions of torch write, by name.
fn refuse_other_archives(zip: &ZipArchive<'_>) -> Result<(), ImportError> {
    // Names below the archive's folder, if it has one, and at the top.
    let has = |wanted: &str| {
        zip.entries().any(|entry| {
            let name = entry.name();
            name == wanted || name.split_once('/').is_some_and(|(_, rest)| rest == wanted)
        })
    };
    let has_below =
        |folder: &str| zip.entries().any(|entry| entry.name().contains(&format!("/{folder}")));
    let other = |found: &str| Err(ImportError::NotExported { found: found.to_owned() });
    if zip.entries().len() == 0 {
        return other("an empty zip archive");
    }
    if has("serialized_exported_program.json") {
        let schema = zip
            .entry("version")
            .filter(|entry| entry.size() < 40)
            .and_then(|entry| entry.read().ok())
            .and_then(|version| Some(str::from_utf8(&version).ok()?.trim().to_owned()));
        return Err(ImportError::OldLayout { layout: OldLayout::Torch27 { schema } });
    }
    if has("constants.pkl") {
        return other("a TorchScript model, as torch.jit.save writes it");
    }
    if has("data.pkl") {
        return other("a checkpoint or whole model, as torch.save writes it");
    }
    if zip.entry("archive_format").is_some() {
        return Err(ImportError::OldLayout { layout: OldLayout::Torch27 { schema: None } });
    }
    if has("archive_format") && has_below("data/aotinductor/") && !has_below("models/") {
        return other(
            "a package of compiled code, as torch._inductor.aoti_compile_and_package writes it",
        );
    }
    if !has("archive_format") && !has_below("models/") {
        return other("a zip archive of something else");
    }
    Ok(())
}
