//! `aten::full_like`: a tensor of one number, with the extents of another one, in `float32`.

use super::Rules;
use crate::float::check_float;
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[i] = fill_value`, as `float32`.
    ///
    /// `out` is `float32` and has the extents of `self`, in any order in memory.
    FloatFullLike = "aten::full_like" {
        /// The tensor with the extents; its elements are not read.
        input as "self": Tensor,
        /// The number.
        fill_value: Scalar,
        /// The order in memory, which is that of `out`; not read.
        memory_format: OptionalInt,
    }
}

impl<D: Domain> Rules for FloatFullLike<D> {
    fn check(&self) -> Result<(), Violation> {
        check_float(&self.out, argument::out)?;
        require(self.input.same_shape(&self.out), argument::out, Rule::Shape)
    }

    fn is_float(&self) -> bool {
        true
    }
}
