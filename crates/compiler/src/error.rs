//! Why a model cannot be compiled.

use crate::graph::Node;
use crate::import::ImportError;
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
    /// The program is too large for its file format.
    #[error("the program cannot be written: {0}")]
    Write(#[from] cortado_pte::WriteError),
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
