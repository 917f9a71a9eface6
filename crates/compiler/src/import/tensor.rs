//! Types, layouts and elements of tensors.

use super::archive::Archive;
use super::error::ImportError;
use super::schema::{Payload, SymExpr, SymInt, TensorMeta};
use super::{ScalarType, TensorData, ValueMeta};
use cortado_contract::DType;
use cortado_npz::Array;
use std::cmp::Reverse;

impl ScalarType {
    pub(crate) fn from_code(code: i64) -> Self {
        ScalarType(code)
    }

    /// The number by which exported programs name the type.
    pub(crate) fn code(self) -> i64 {
        self.0
    }

    /// The type as Cortado knows it, `None` for those that it does not handle.
    pub fn dtype(self) -> Option<DType> {
        Some(match self.0 {
            1 => DType::U8,
            2 => DType::I8,
            3 => DType::I16,
            4 => DType::I32,
            5 => DType::I64,
            7 => DType::F32,
            8 => DType::F64,
            12 => DType::Bool,
            _ => return None,
        })
    }

    /// PyTorch's name without the `torch.` prefix, such as `float16`.
    pub fn name(self) -> String {
        let name = match self.0 {
            6 => "float16",
            9 => "complex32",
            10 => "complex64",
            11 => "complex128",
            13 => "bfloat16",
            28 => "uint16",
            29 => "float8_e4m3fn",
            30 => "float8_e5m2",
            31 => "float8_e4m3fnuz",
            32 => "float8_e5m2fnuz",
            33 => "float8_e8m0fnu",
            34 => "uint32",
            35 => "uint64",
            code => return self.dtype().map_or(format!("#{code}"), |dtype| dtype.to_string()),
        };
        name.to_owned()
    }
}

/// Type and layout of a tensor.
///
/// `place` names the tensor in errors; `dynamic` makes the error for a size that is known at run time.
pub(super) fn value_meta(
    raw: &TensorMeta,
    place: impl Fn() -> String,
    dynamic: impl Fn(&SymExpr) -> ImportError,
) -> Result<ValueMeta, ImportError> {
    let scalar_type = ScalarType::from_code(raw.dtype);
    let dtype = scalar_type.dtype().ok_or_else(|| ImportError::UnsupportedDType {
        place: place(),
        found: scalar_type.name(),
    })?;
    if raw.layout != STRIDED {
        return Err(ImportError::UnsupportedLayout {
            place: place(),
            found: layout_name(raw.layout),
        });
    }
    let inconsistent = |expected: &str, found: String| ImportError::Inconsistent {
        place: place(),
        expected: expected.to_owned(),
        found,
    };
    let number = |value: &SymInt, what: &str| match value {
        SymInt::Int(value) => {
            u64::try_from(*value).map_err(|_| inconsistent(what, value.to_string()))
        }
        SymInt::Expression(expression) => Err(dynamic(expression)),
    };
    let size = |value| {
        let size = number(value, "a size of 0 or more")?;
        u32::try_from(size).map_err(|_| inconsistent("a size below 2^32", size.to_string()))
    };
    let shape = raw.sizes.iter().map(size).collect::<Result<Vec<u32>, _>>()?;
    let strides = raw.strides.iter().map(|stride| number(stride, "a stride of 0 or more"));
    let strides = strides.collect::<Result<Vec<u64>, _>>()?;
    if shape.len() != strides.len() || shape.len() > MAX_RANK {
        let found = format!("{} sizes and {} strides", shape.len(), strides.len());
        return Err(inconsistent("a stride for each of at most 64 sizes", found));
    }
    let storage_offset = number(&raw.storage_offset, "a storage offset of 0 or more")?;
    Ok(ValueMeta { dtype, shape, strides, storage_offset })
}

/// The axes in memory order, outermost first; equal strides keep their order.
pub(super) fn dim_order(strides: &[u64]) -> Vec<u8> {
    // There are at most MAX_RANK axes.
    let mut order: Vec<u8> = (0..strides.len()).map(|axis| axis as u8).collect();
    order.sort_by_key(|&axis| Reverse(strides[usize::from(axis)]));
    order
}

/// Reads the elements of a constant, whose payload is listed in the configuration of `folder`.
///
/// An entry holds a storage that several constants may share, so it can be larger than one needs. `budget` is
/// the number of bytes that may still be taken for constants.
pub(super) fn read_constant(
    archive: &Archive<'_>,
    folder: &str,
    fqn: &str,
    payload: &Payload,
    budget: &mut u64,
) -> Result<TensorData, ImportError> {
    let entry = format!("{folder}{}", payload.path_name);
    let Some(raw) = payload.tensor_meta.as_ref().filter(|_| !payload.use_pickle) else {
        return Err(ImportError::Pickled { fqn: fqn.to_owned(), entry });
    };
    let failed = |detail: String| ImportError::Constant {
        fqn: fqn.to_owned(),
        entry: entry.clone(),
        detail,
    };
    let place = || format!("the constant `{fqn}`");
    let meta = value_meta(raw, place, |expression| {
        failed(format!("its size is not a number but {}", expression.text()))
    })?;
    let ValueMeta { dtype, shape, strides, storage_offset } = meta;

    let elements = shape.iter().try_fold(1u64, |count, &size| count.checked_mul(u64::from(size)));
    let bytes = elements.and_then(|count| count.checked_mul(u64::from(dtype.size_bytes())));
    *budget = bytes
        .and_then(|bytes| budget.checked_sub(bytes))
        .ok_or(ImportError::TooLarge { limit: super::MAX_PROGRAM_BYTES })?;

    let storage = archive.read(&entry)?;
    if storage.is_empty() && bytes != Some(0) {
        let detail = "the entry is empty: the model was exported without real weights";
        return Err(failed(detail.to_owned()));
    }
    let index = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let array = Array::from_strided(
        dtype,
        shape.iter().map(|&size| size as usize).collect(),
        &strides.iter().copied().map(index).collect::<Vec<usize>>(),
        index(storage_offset),
        &storage,
    )
    .map_err(|error| failed(error.to_string()))?;
    Ok(TensorData { dtype, shape, strides, bytes: array.into_bytes().into() })
}

/// torch.export's number for tensors whose elements lie at strides.
pub(super) const STRIDED: i64 = 7;
/// The most axes.
const MAX_RANK: usize = 64;

fn layout_name(code: i64) -> String {
    let name = match code {
        1 => "sparse_coo",
        2 => "sparse_csr",
        3 => "sparse_csc",
        4 => "sparse_bsr",
        5 => "sparse_bsc",
        6 => "mkldnn",
        code => return format!("#{code}"),
    };
    name.to_owned()
}
