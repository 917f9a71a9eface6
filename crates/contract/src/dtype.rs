//! Element types of tensors.

use core::fmt;

/// The element type of a tensor.
///
/// The discriminants are ExecuTorch's `ScalarType` codes (`schema/scalar_type.fbs`), which a `.pte` stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum DType {
    /// Unsigned 8-bit integer (`torch.uint8`).
    U8 = 0,
    /// Signed 8-bit integer (`torch.int8`).
    I8 = 1,
    /// Signed 16-bit integer (`torch.int16`).
    I16 = 2,
    /// Signed 32-bit integer (`torch.int32`).
    I32 = 3,
    /// Signed 64-bit integer (`torch.int64`).
    I64 = 4,
    /// IEEE 754 binary32 (`torch.float32`).
    F32 = 6,
    /// IEEE 754 binary64 (`torch.float64`).
    F64 = 7,
    /// One byte, 0 or 1 (`torch.bool`).
    Bool = 11,
}

impl DType {
    /// Every element type.
    pub const ALL: [DType; 8] = [
        DType::U8,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::F32,
        DType::F64,
        DType::Bool,
    ];

    /// The type behind ExecuTorch's `ScalarType` code, or `None` for codes that Cortado does not handle.
    pub const fn from_scalar_type(code: i64) -> Option<DType> {
        Some(match code {
            0 => DType::U8,
            1 => DType::I8,
            2 => DType::I16,
            3 => DType::I32,
            4 => DType::I64,
            6 => DType::F32,
            7 => DType::F64,
            11 => DType::Bool,
            _ => return None,
        })
    }

    /// ExecuTorch's `ScalarType` code.
    pub const fn scalar_type(self) -> u8 {
        self as u8
    }

    /// Size of one element in bytes.
    pub const fn size_bytes(self) -> u32 {
        match self {
            DType::U8 | DType::I8 | DType::Bool => 1,
            DType::I16 => 2,
            DType::I32 | DType::F32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    /// Whether values of this type are IEEE 754 floats.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// The range of an integer type that may hold quantized values, `None` for every other type.
    pub const fn quantized_range(self) -> Option<(i32, i32)> {
        match self {
            DType::U8 => Some((0, 255)),
            DType::I8 => Some((-128, 127)),
            DType::I16 => Some((-32768, 32767)),
            _ => None,
        }
    }

    /// PyTorch's name without the `torch.` prefix, such as `int8`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::U8 => "uint8",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::F32 => "float32",
            DType::F64 => "float64",
            DType::Bool => "bool",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_type_codes_round_trip() {
        for dtype in DType::ALL {
            assert_eq!(DType::from_scalar_type(i64::from(dtype.scalar_type())), Some(dtype));
        }
        assert_eq!(DType::from_scalar_type(5), None);
        assert_eq!(DType::from_scalar_type(-1), None);
    }
}
