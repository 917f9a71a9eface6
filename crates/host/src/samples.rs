//! Arrays of samples to and from the bytes that a program reads and writes.

use cortado_contract::DType;
use cortado_contract::value::TensorMeta;
use cortado_npz::{Archive, Array, ArrayError};
use std::fmt;

/// Type, extents and memory order of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The element type.
    pub dtype: DType,
    /// The extents in logical order.
    pub shape: Vec<usize>,
    /// For each element in memory order, its position in logical order; empty when both are the same.
    permutation: Vec<usize>,
}

impl<T: TensorMeta> From<T> for Signature {
    fn from(tensor: T) -> Self {
        let shape: Vec<usize> = (0..tensor.rank()).map(|axis| tensor.dim(axis) as usize).collect();
        let permutation = if tensor.is_row_major() { Vec::new() } else { memory_order(&tensor) };
        Signature { dtype: tensor.dtype(), shape, permutation }
    }
}

/// For each element in memory order, its position in logical order.
fn memory_order(tensor: &impl TensorMeta) -> Vec<usize> {
    let mut positions = vec![0];
    for position in 0..tensor.rank() {
        let axis = tensor.dim_order(position);
        let stride: usize =
            (axis + 1..tensor.rank()).map(|axis| tensor.dim(axis) as usize).product();
        let extent = tensor.dim(axis) as usize;
        let extend = |start: usize| (0..extent).map(move |index| start + index * stride);
        positions = positions.into_iter().flat_map(extend).collect();
    }
    positions
}

impl Signature {
    /// The size of one tensor in bytes.
    pub fn size_bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size_bytes() as usize
    }

    /// The bytes of a tensor in logical order, in memory order.
    pub fn to_memory(&self, logical: &[u8]) -> Vec<u8> {
        let size = self.dtype.size_bytes() as usize;
        if self.permutation.is_empty() {
            return logical.to_vec();
        }
        self.permutation
            .iter()
            .flat_map(|position| &logical[position * size..][..size])
            .copied()
            .collect()
    }

    /// The bytes of a tensor in memory order, in logical order.
    pub fn to_logical(&self, memory: &[u8]) -> Vec<u8> {
        let size = self.dtype.size_bytes() as usize;
        if self.permutation.is_empty() {
            return memory.to_vec();
        }
        let mut logical = vec![0; memory.len()];
        for (element, position) in memory.chunks_exact(size).zip(&self.permutation) {
            logical[position * size..][..size].copy_from_slice(element);
        }
        logical
    }
}

/// The samples of a run: an array for each input.
#[derive(Clone, Debug)]
pub struct Samples {
    inputs: Vec<(Signature, Array)>,
    /// `None` when the arrays hold one sample without an axis for samples.
    count: Option<usize>,
}

impl Samples {
    /// Takes the inputs out of an archive: by name, else `input0`, `input1`, …
    ///
    /// An array of an input's shape is one sample; one of one axis more in front holds several.
    ///
    /// # Errors
    /// See [`SamplesError`].
    pub fn take(
        archive: &Archive,
        names: &[String],
        signatures: &[Signature],
    ) -> Result<Samples, SamplesError> {
        let mut counts = Vec::new();
        let mut inputs = Vec::new();
        for (index, signature) in signatures.iter().enumerate() {
            let fallback = format!("input{index}");
            let name =
                names.get(index).filter(|name| archive.get(name).is_some()).unwrap_or(&fallback);
            let array = archive.get(name).ok_or_else(|| SamplesError::Missing {
                name: names.get(index).cloned(),
                fallback: fallback.clone(),
                given: archive.names().map(str::to_owned).collect(),
            })?;
            if array.dtype() != signature.dtype {
                let (needed, given) = (signature.dtype, array.dtype());
                return Err(SamplesError::DType { name: name.clone(), needed, given });
            }
            counts.push(match array.shape() {
                shape if shape == signature.shape => None,
                [count, shape @ ..] if shape == signature.shape => Some(*count),
                shape => {
                    let (needed, given) = (signature.shape.clone(), shape.to_vec());
                    return Err(SamplesError::Shape { name: name.clone(), needed, given });
                }
            });
            inputs.push((signature.clone(), array.clone()));
        }
        let count = counts.first().copied().flatten();
        if counts.iter().any(|other| *other != count) {
            return Err(SamplesError::Counts);
        }
        Ok(Samples { inputs, count })
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.count.unwrap_or(1)
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same inputs with at most `count` samples.
    pub fn truncate(&mut self, count: usize) {
        self.count = self.count.map(|all| all.min(count));
    }

    /// The bytes of each input of a sample, in memory order.
    pub fn sample(&self, index: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.inputs.iter().map(move |(signature, array)| {
            let size = signature.size_bytes();
            signature.to_memory(&array.bytes()[index * size..][..size])
        })
    }
}

/// Why an archive's arrays are no samples of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SamplesError {
    /// There is no array for an input.
    Missing {
        /// The input's name, where it has one.
        name: Option<String>,
        /// The name that goes by position.
        fallback: String,
        /// The arrays that there are.
        given: Vec<String>,
    },
    /// An array has another element type.
    DType {
        /// The array.
        name: String,
        /// The input's type.
        needed: DType,
        /// The array's type.
        given: DType,
    },
    /// An array has other extents.
    Shape {
        /// The array.
        name: String,
        /// The input's extents.
        needed: Vec<usize>,
        /// The array's extents.
        given: Vec<usize>,
    },
    /// The arrays hold different numbers of samples.
    Counts,
}

impl SamplesError {
    /// What the user can do.
    pub fn help(&self) -> String {
        match self {
            SamplesError::Missing { fallback, .. } => {
                format!(
                    "save the samples under that name: numpy.savez(\"samples.npz\", {fallback}=samples)"
                )
            }
            SamplesError::DType { needed, .. } => {
                format!("convert it: array.astype(numpy.{needed})")
            }
            SamplesError::Shape { .. } => {
                "give that shape, or one more axis in front for several samples".to_owned()
            }
            SamplesError::Counts => "give as many samples of each input".to_owned(),
        }
    }
}

impl fmt::Display for SamplesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SamplesError::Missing { name, fallback, given } => {
                write!(f, "there is no array ")?;
                if let Some(name) = name.as_ref().filter(|name| *name != fallback) {
                    write!(f, "`{name}` or ")?;
                }
                let given = if given.is_empty() { "none".to_owned() } else { given.join(", ") };
                write!(f, "`{fallback}`; the arrays are: {given}")
            }
            SamplesError::DType { name, needed, given } => {
                write!(f, "array `{name}` is {given}; the program's input is {needed}")
            }
            SamplesError::Shape { name, needed, given } => {
                write!(f, "array `{name}` has shape {given:?}; the program's input is {needed:?}")
            }
            SamplesError::Counts => {
                f.write_str("the inputs' arrays hold different numbers of samples")
            }
        }
    }
}

impl std::error::Error for SamplesError {}

/// What a program returned for all samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs(Vec<(Signature, Vec<u8>)>);

impl Outputs {
    /// No samples yet, of outputs like these.
    pub fn new(signatures: Vec<Signature>) -> Self {
        Outputs(signatures.into_iter().map(|signature| (signature, Vec::new())).collect())
    }

    /// Adds an output of a sample, its bytes in memory order.
    pub fn push(&mut self, position: usize, memory: &[u8]) {
        let (signature, bytes) = &mut self.0[position];
        let logical = signature.to_logical(memory);
        bytes.extend_from_slice(&logical);
    }

    /// For each output, the bytes of all samples in logical order.
    pub fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|(_, bytes)| bytes.as_slice())
    }

    /// The outputs as `output0`, `output1`, …, with an axis for samples if the inputs have one.
    ///
    /// # Errors
    /// When outputs of some samples are missing.
    pub fn into_archive(self, samples: &Samples) -> Result<Archive, ArrayError> {
        let mut archive = Archive::new();
        for (index, (signature, bytes)) in self.0.into_iter().enumerate() {
            let shape = samples.count.into_iter().chain(signature.shape.iter().copied()).collect();
            archive.insert(format!("output{index}"), Array::new(signature.dtype, shape, bytes)?);
        }
        Ok(archive)
    }
}
