//! `aten::full`: a tensor of one number, in `float32`.

use super::Rules;
use crate::float::check_float;
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[i] = fill_value`, as `float32`.
    ///
    /// `out` is `float32` and has the extents `size`, in any order in memory.
    FloatFull = "aten::full" {
        /// The extents.
        size: IntList,
        /// The number.
        fill_value: Scalar,
    }
}

impl<D: Domain> Rules for FloatFull<D> {
    fn check(&self) -> Result<(), Violation> {
        let FloatFull { size, out, .. } = self;
        check_float(out, argument::out)?;
        require(size.len() == out.rank(), argument::size, Rule::Length)?;
        let fits = (0..out.rank()).all(|axis| size.get(axis) == Some(i64::from(out.dim(axis))));
        require(fits, argument::size, Rule::Shape)
    }

    fn is_float(&self) -> bool {
        true
    }
}
