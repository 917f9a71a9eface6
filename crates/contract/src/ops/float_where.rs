//! `aten::where.self_out`: one of two numbers each, in `float32`.

use super::Rules;
use crate::DType;
use crate::float::check_float;
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[i] = condition[i] ? self[i] : other[i]`, with NumPy's broadcasting; any byte but 0 is true.
    ///
    /// `condition` is `bool`, all others are `float32`; all are row-major.
    FloatWhere = "aten::where".self_out {
        /// Which one.
        condition: Tensor,
        /// The numbers where the condition holds.
        input as "self": Tensor,
        /// The numbers where it does not.
        other: Tensor,
    }
}

impl<D: Domain> Rules for FloatWhere<D> {
    fn check(&self) -> Result<(), Violation> {
        let FloatWhere { condition, input, other, out } = self;
        check_float(out, argument::out)?;
        check_float(input, argument::input)?;
        check_float(other, argument::other)?;
        require(condition.dtype() == DType::Bool, argument::condition, Rule::DType)?;
        for (tensor, position) in [
            (condition, argument::condition),
            (input, argument::input),
            (other, argument::other),
            (out, argument::out),
        ] {
            require(tensor.is_row_major(), position, Rule::Layout)?;
            require(tensor.rank() <= out.rank(), position, Rule::Rank)?;
            let missing = out.rank() - tensor.rank();
            let extents =
                (0..tensor.rank()).map(|axis| (tensor.dim(axis), out.dim(axis + missing)));
            let fits = extents.into_iter().all(|(own, out)| own == out || own == 1);
            require(fits, position, Rule::Shape)?;
        }
        Ok(())
    }

    fn is_float(&self) -> bool {
        true
    }
}
