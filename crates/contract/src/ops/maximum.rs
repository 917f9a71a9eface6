//! `cortex_m::maximum`: the greater of two `int8` numbers, element by element.

use super::Rules;
use crate::DType;
use crate::broadcast::{self, Broadcast};
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out = max(self, other)`, element by element, over integers that stand for the same real numbers.
    ///
    /// Shapes: the operands' are broadcast to that of `out`; see [`Broadcast`] for their order in memory. All tensors are `int8`.
    ///
    /// CMSIS-NN's kernel is wrong where one operand has a single value per row, and takes no order in memory into account; this
    /// one is right in all cases.
    Maximum = "cortex_m::maximum" {
        /// The first operand.
        lhs as "self": Tensor,
        /// The second operand.
        rhs as "other": Tensor,
    }
}

impl<D: Domain> Maximum<D> {
    /// How the operands meet.
    ///
    /// # Errors
    /// See [`Broadcast::new`].
    pub fn broadcast(&self) -> Result<Broadcast, Violation> {
        Broadcast::new(
            (&self.lhs, argument::lhs),
            (&self.rhs, argument::rhs),
            (&self.out, argument::out),
        )
    }
}

impl<D: Domain> Rules for Maximum<D> {
    fn check(&self) -> Result<(), Violation> {
        require(self.lhs.dtype() == DType::I8, argument::lhs, Rule::DType)?;
        require(self.rhs.dtype() == DType::I8, argument::rhs, Rule::DType)?;
        require(self.out.dtype() == DType::I8, argument::out, Rule::DType)?;
        self.broadcast().map(|_| ())
    }

    fn is_element_by_element(&self) -> bool {
        true
    }
}

/// The exact meaning, over memory.
///
/// # Panics
/// If a slice is shorter than [`Broadcast::element_counts`] says.
pub fn reference(broadcast: &Broadcast, lhs: &[i8], rhs: &[i8], out: &mut [i8]) {
    broadcast::reference(broadcast, lhs, rhs, out, i8::max);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Nowhere;

    #[test]
    fn the_schema_is_upstreams() {
        assert_eq!(
            Maximum::<Nowhere>::SCHEMA,
            "cortex_m::maximum.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)"
        );
    }
}
