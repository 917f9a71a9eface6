//! Why a model cannot be compiled.

use crate::graph::Node;
use crate::import::ImportError;
use crate::plan::Shortage;
use std::fmt;

/// Why a model cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The exported program cannot be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Parts of the model have no counterpart in Cortado: all that were found, in the model's order.
    #[error("{}", Listing(.0))]
    Unsupported(Vec<Unsupported>),
    /// A tensor has more elements than any microcontroller's memory holds.
    #[error(
        "the tensor `{value}` of the extents {shape:?} has more than 2^28 elements, which no microcontroller's memory holds: \
         export the model with smaller inputs"
    )]
    TooLarge {
        /// The tensor.
        value: String,
        /// Its extents.
        shape: Vec<u32>,
    },
    /// The program is too large for its file format.
    #[error("the program cannot be written: {0}")]
    Write(#[from] cortado_pte::WriteError),
    /// The program's activations do not fit the memory that was given.
    #[error("{0}")]
    Memory(#[from] Shortage),
    /// The runtime does not take the program, such as one of more inputs than it has room for.
    #[error("the runtime cannot run the program that was made: {0}")]
    Refused(#[from] cortado_runtime::LoadError),
    /// A defect of the compiler.
    #[error("this is a defect of Cortado, please report it: {0}")]
    Internal(String),
}

/// A node that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The node's name in the exported program.
    pub node: String,
    /// The operator.
    pub operator: String,
    /// Where the user wrote it: source line, else module path.
    pub source: String,
    /// What is the matter.
    pub reason: String,
    /// What the user can do.
    pub remedy: Option<&'static str>,
}

impl Unsupported {
    /// A problem of a node, without a remedy.
    pub fn new(node: &Node, reason: impl Into<String>) -> Self {
        Unsupported {
            node: node.name.clone(),
            operator: node.target.clone(),
            source: node.source.to_string(),
            reason: reason.into(),
            remedy: None,
        }
    }

    /// The same with what the user can do.
    pub fn with_remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = Some(remedy);
        self
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (node `{}`): {}\n    at {}",
            self.operator, self.node, self.reason, self.source
        )?;
        if let Some(remedy) = self.remedy {
            write!(f, "\n    help: {remedy}")?;
        }
        Ok(())
    }
}

/// How many of the buffers that are live at the peak a message names.
const NAMED_AT_PEAK: usize = 8;

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage { bank, needed_bytes, given_bytes, call, peak_bytes, live } = self;
        let short = needed_bytes.saturating_sub(*given_bytes);
        let unit = if short == 1 { "byte" } else { "bytes" };
        write!(
            f,
            "the program's activations do not fit: bank `{bank}` has {given_bytes} bytes and would need {needed_bytes}, so it \
             is {short} {unit} short"
        )?;
        match call {
            Some(call) => write!(f, "\n  most is live during `{call}`: {peak_bytes} bytes")?,
            None => write!(f, "\n  most is live before the first call: {peak_bytes} bytes")?,
        }
        for (name, bytes) in live.iter().take(NAMED_AT_PEAK) {
            write!(f, "\n    {bytes:>8}  `{name}`")?;
        }
        match live.len().checked_sub(NAMED_AT_PEAK) {
            Some(more @ 1..) => write!(f, "\n    and {more} smaller ones"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Shortage {}

struct Listing<'a>(&'a [Unsupported]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let what = if count == 1 { "operation of the model" } else { "operations of the model" };
        write!(f, "{count} {what} cannot be compiled:")?;
        for problem in self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}
