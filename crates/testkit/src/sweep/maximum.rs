//! The greater of two numbers, element by element.

use super::elementwise::{Binary, sweep};
use crate::random::Random;
use crate::suite::Suite;
use crate::workspace::Workspace;
use core::marker::PhantomData;
use cortado_contract::broadcast::Broadcast;
use cortado_contract::ops::maximum::reference;
use cortado_kernels::Micro;
use cortado_kernels::generic::maximum::maximum_s8;
use cortado_kernels::memory::Source;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    sweep::<Maximum<M>>(workspace, suite);
}

struct Maximum<M>(PhantomData<M>);

impl<M: Micro> Binary for Maximum<M> {
    type Element = i8;
    type Params = ();
    const NAME: &'static str = "cortex_m::maximum";

    fn params(_: &mut Random, _: u32) {}

    fn apply((): &(), lhs: i8, rhs: i8) -> i8 {
        lhs.max(rhs)
    }

    fn reference(broadcast: &Broadcast, (): &(), lhs: &[i8], rhs: &[i8], out: &mut [i8]) {
        reference(broadcast, lhs, rhs, out);
    }

    fn kernel(
        broadcast: &Broadcast,
        (): &(),
        lhs: Source<'_, i8>,
        rhs: Source<'_, i8>,
        out: &mut [i8],
    ) -> Option<()> {
        maximum_s8::<M>(broadcast, lhs, rhs, out)
    }
}
