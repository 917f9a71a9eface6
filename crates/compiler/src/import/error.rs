//! Why a program cannot be imported.

use super::SchemaVersion;
use super::source::SourceLocation;
use cortado_npz::file::FileError;
use cortado_npz::zip::ZipError;
use std::fmt;

/// How a model is exported in a form that can be read.
const EXPORT: &str = "with torch 2.9 or later: \
    torch.export.save(torch.export.export(model, inputs), \"model.pt2\")";

/// Why a program cannot be imported.
///
/// Every message says what is wrong, where, and, unless the file is plainly broken, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be read at all.
    #[error(transparent)]
    File(#[from] FileError),
    /// The bytes are something else than an exported program.
    #[error(
        "this is {found}, and a program exported by PyTorch (.pt2) is expected; make one {EXPORT}"
    )]
    NotExported {
        /// What it looks like.
        found: String,
    },
    /// The file is an exported program in a layout that torch no longer writes.
    #[error(
        "this program was written {layout}, in an older file layout; export the model again {EXPORT}"
    )]
    OldLayout {
        /// Which one.
        layout: OldLayout,
    },
    /// The file's schema has another major version.
    #[error(
        "this program is written in schema version {found} (by torch {torch_version}), and Cortado reads version 8; \
         export the model again with a torch that writes version 8, such as 2.9 or 2.15"
    )]
    SchemaMajor {
        /// The file's schema version.
        found: SchemaVersion,
        /// The torch that wrote it.
        torch_version: String,
    },
    /// The file holds no or several programs.
    #[error(
        "the file holds {} programs ({}), and one is expected; save one program per file with torch.export.save",
        names.len(), names.join(", ")
    )]
    Programs {
        /// The programs' names.
        names: Vec<String>,
    },
    /// The zip archive is broken, too large or uses an unsupported feature.
    #[error(transparent)]
    Archive(#[from] ZipError),
    /// The entries are not in one folder.
    #[error(
        "the file is damaged: entry `{entry}` is not in the folder `{folder}` that the first entry is in"
    )]
    Folder {
        /// The entry outside.
        entry: String,
        /// The folder of the first entry.
        folder: String,
    },
    /// An entry is missing.
    #[error("the file is damaged: entry `{entry}` is missing")]
    MissingEntry {
        /// The entry, without the archive's folder.
        entry: String,
    },
    /// An entry that says something about the whole file says something else than expected.
    #[error(
        "entry `{entry}` is `{found}`, and `{expected}` is expected; export the model again {EXPORT}"
    )]
    Marker {
        /// The entry.
        entry: &'static str,
        /// What Cortado reads.
        expected: &'static str,
        /// What the file has.
        found: String,
    },
    /// An entry is no JSON of the expected form.
    #[error("entry `{entry}` cannot be understood: {detail}{}", Newer(*newer))]
    Json {
        /// The entry.
        entry: String,
        /// What is wrong, with line and column.
        detail: String,
        /// The file's schema version, if it is newer than the newest that is known.
        newer: Option<SchemaVersion>,
    },
    /// A part of the program is not of the expected form.
    #[error("{place} cannot be understood: {detail}{}", Newer(*newer))]
    Malformed {
        /// The part.
        place: String,
        /// What is wrong.
        detail: String,
        /// The file's schema version, if it is newer than the newest that is known.
        newer: Option<SchemaVersion>,
    },
    /// Two parts of the program contradict each other.
    #[error("the program is damaged: {place}: expected {expected}, found {found}")]
    Inconsistent {
        /// The part.
        place: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A node reads a tensor that nothing before it makes.
    #[error(
        "the program is damaged: {reader} reads the tensor `{value}`, which nothing before it defines"
    )]
    Undefined {
        /// The node, or the program's outputs.
        reader: String,
        /// The tensor.
        value: String,
    },
    /// A tensor is defined more than once.
    #[error("the program is damaged: the tensor `{value}` is defined more than once")]
    Redefined {
        /// The tensor.
        value: String,
    },
    /// Inputs have dimensions whose size is only known at run time.
    #[error(
        "{}; Cortado plans all memory ahead of time: leave out `dynamic_shapes` in torch.export.export",
        Dimensions(.dimensions)
    )]
    DynamicShape {
        /// All such dimensions of all inputs.
        dimensions: Vec<DynamicDimension>,
    },
    /// A node's result has a size that depends on data.
    #[error(
        "the result `{value}` of node `{node}` has a size that is only known at run time ({symbol}), \
         at {source_location}; Cortado plans all memory ahead of time: rewrite the model so that sizes do not depend on data"
    )]
    DynamicValue {
        /// The node.
        node: String,
        /// The tensor.
        value: String,
        /// The size as torch names it.
        symbol: String,
        /// Where the user wrote it.
        source_location: Box<SourceLocation>,
    },
    /// An argument is of a kind that does not exist in the schema as it is known.
    #[error(
        "argument `{argument}` of node `{node}` ({target}) is of the unknown kind `{kind}`, at {source_location}{}",
        Newer(*newer)
    )]
    UnknownArgument {
        /// The node.
        node: String,
        /// The operator.
        target: String,
        /// The argument's name.
        argument: String,
        /// The kind as the file names it.
        kind: String,
        /// The file's schema version, if it is newer than the newest that is known.
        newer: Option<SchemaVersion>,
        /// Where the user wrote it.
        source_location: Box<SourceLocation>,
    },
    /// An argument is of a kind that Cortado has no use for.
    #[error(
        "argument `{argument}` of node `{node}` ({target}) is {what}, which Cortado does not support, \
         at {source_location}; {remedy}"
    )]
    UnsupportedArgument {
        /// The node.
        node: String,
        /// The operator.
        target: String,
        /// The argument's name.
        argument: String,
        /// What the argument is.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
        /// Where the user wrote it.
        source_location: Box<SourceLocation>,
    },
    /// A result is not a tensor.
    #[error(
        "node `{node}` ({target}) has a result of kind `{kind}`, and only tensors are supported, at {source_location}"
    )]
    UnsupportedResult {
        /// The node.
        node: String,
        /// The operator.
        target: String,
        /// The kind as the file names it.
        kind: String,
        /// Where the user wrote it.
        source_location: Box<SourceLocation>,
    },
    /// An input or output of the program is not a tensor.
    #[error("{place} is of kind `{kind}`, and only tensors are supported; {remedy}")]
    UnsupportedSignature {
        /// Which input or output.
        place: String,
        /// The kind as the file names it.
        kind: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The program changes something that outlives a run.
    #[error(
        "the program writes to {what}{}, and programs with state are not supported; \
         call model.eval() before the export, or return the new value as an output", At(.source_location)
    )]
    Mutation {
        /// The parameter, buffer, constant or input that is written.
        what: String,
        /// Where the user wrote it, if known.
        source_location: Option<Box<SourceLocation>>,
    },
    /// A tensor is read after its elements were overwritten under another name.
    #[error(
        "`{value}` is read after node `{node}` ({target}) has changed its elements in place, at {source_location}; \
         use the operation that is not in place, such as inplace=False"
    )]
    Outdated {
        /// The tensor that is read.
        value: String,
        /// The node that writes.
        node: String,
        /// Its operator.
        target: String,
        /// Where the user wrote it.
        source_location: Box<SourceLocation>,
    },
    /// A tensor is of an element type that Cortado does not handle.
    #[error(
        "{place} is of type {found}, and Cortado handles uint8, int8, int16, int32, int64, float32, float64 and bool; \
         convert the model, for example with model.float()"
    )]
    UnsupportedDType {
        /// The tensor, and the node if it is a result.
        place: String,
        /// PyTorch's name of the type.
        found: String,
    },
    /// A tensor is sparse or in another opaque layout.
    #[error(
        "{place} has the layout {found}, and only strided tensors are supported; convert it with .to_dense()"
    )]
    UnsupportedLayout {
        /// The tensor.
        place: String,
        /// PyTorch's name of the layout.
        found: String,
    },
    /// A constant is stored as a Python object.
    #[error(
        "`{fqn}` is stored as a Python object (in `{entry}`), not as plain elements; \
         replace tensor subclasses and custom objects by plain tensors before the export"
    )]
    Pickled {
        /// The constant's path in the model.
        fqn: String,
        /// The entry.
        entry: String,
    },
    /// A constant's entry does not hold the elements that are announced.
    #[error("`{fqn}` cannot be read from entry `{entry}`: {detail}")]
    Constant {
        /// The constant's path in the model.
        fqn: String,
        /// The entry.
        entry: String,
        /// What is wrong.
        detail: String,
    },
    /// The program's constants are too large together.
    #[error("the constants of the program take more than {limit} bytes")]
    TooLarge {
        /// The most that is read.
        limit: u64,
    },
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The file could not be read from disk.
    Unreadable,
    /// The file is something else, or of another version.
    OtherFormat,
    /// The file is broken.
    Damaged,
    /// The file is fine, and the program has something that Cortado does not support.
    Unsupported,
}

impl ImportError {
    /// Whether the file is missing, of another format, broken, or sound but unsupported.
    pub fn class(&self) -> ErrorClass {
        match self {
            ImportError::File(_) => ErrorClass::Unreadable,
            ImportError::NotExported { .. }
            | ImportError::OldLayout { .. }
            | ImportError::SchemaMajor { .. }
            | ImportError::Marker { .. } => ErrorClass::OtherFormat,
            ImportError::Archive(
                ZipError::Encrypted { .. }
                | ZipError::Method { .. }
                | ZipError::TooLarge { .. }
                | ZipError::TooManyEntries { .. },
            )
            | ImportError::Programs { .. }
            | ImportError::DynamicShape { .. }
            | ImportError::DynamicValue { .. }
            | ImportError::UnknownArgument { .. }
            | ImportError::UnsupportedArgument { .. }
            | ImportError::UnsupportedResult { .. }
            | ImportError::UnsupportedSignature { .. }
            | ImportError::Mutation { .. }
            | ImportError::Outdated { .. }
            | ImportError::UnsupportedDType { .. }
            | ImportError::UnsupportedLayout { .. }
            | ImportError::Pickled { .. }
            | ImportError::TooLarge { .. } => ErrorClass::Unsupported,
            ImportError::Json { newer: Some(_), .. }
            | ImportError::Malformed { newer: Some(_), .. } => ErrorClass::Unsupported,
            ImportError::Archive(_)
            | ImportError::Folder { .. }
            | ImportError::MissingEntry { .. }
            | ImportError::Json { .. }
            | ImportError::Malformed { .. }
            | ImportError::Inconsistent { .. }
            | ImportError::Undefined { .. }
            | ImportError::Redefined { .. }
            | ImportError::Constant { .. } => ErrorClass::Damaged,
        }
    }
}

/// A layout of exported programs that torch no longer writes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OldLayout {
    /// `serialized_exported_program.json` in a plain zip archive, up to torch 2.7.
    Torch27 {
        /// The schema version that the file states.
        schema: Option<String>,
    },
    /// A `.pt2` archive whose weights are one pickled file, as torch 2.8 writes it.
    Torch28,
}

impl fmt::Display for OldLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OldLayout::Torch27 { schema: Some(schema) } => {
                write!(f, "by torch 2.7 or earlier (schema version {schema})")
            }
            OldLayout::Torch27 { schema: None } => f.write_str("by torch 2.7 or earlier"),
            OldLayout::Torch28 => f.write_str("by torch 2.8"),
        }
    }
}

/// A dimension of an input whose size is only known at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicDimension {
    /// The input's name.
    pub input: String,
    /// The dimension, from 0.
    pub dimension: usize,
    /// The size as torch names it, such as `s77`.
    pub symbol: String,
    /// The sizes that the export allows, where it says so.
    pub range: Option<(Option<i64>, Option<i64>)>,
}

/// Lists dynamic dimensions in a sentence.
struct Dimensions<'a>(&'a [DynamicDimension]);

impl fmt::Display for Dimensions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            let DynamicDimension { input, dimension, symbol, range } = item;
            write!(f, "dimension {dimension} of input `{input}` is dynamic ({symbol}")?;
            match range {
                Some((Some(min), Some(max))) => write!(f, ", {min} to {max}")?,
                Some((Some(min), None)) => write!(f, ", {min} or more")?,
                _ => {}
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Says that the file's schema is newer than the known one, where it is.
struct Newer(Option<SchemaVersion>);

impl fmt::Display for Newer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(found) = self.0 else { return Ok(()) };
        let known = super::schema::NEWEST;
        write!(
            f,
            "; the file's schema version {found} is newer than {known}, the newest that is known: \
             update Cortado, or export with an older torch"
        )
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Says where something was written, where that is known.
struct At<'a>(&'a Option<Box<SourceLocation>>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(location) => write!(f, " at {location}"),
            None => Ok(()),
        }
    }
}
