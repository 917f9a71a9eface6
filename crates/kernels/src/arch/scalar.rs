//! Plain Thumb and Thumb-2: Rust that the compiler does well on.

use crate::micro::{Micro, cut_rows};
use cortado_contract::Isa;

/// Cores without DSP or Helium instructions.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

impl Micro for Scalar {
    const ISA: Isa = Isa::Scalar;

    #[inline(always)]
    fn dot_rows(lhs: &[i8], lhs_offset: i32, rows: [&[i8]; 4], accumulators: &mut [i32; 4]) {
        let Some(rows) = cut_rows(rows, lhs.len()) else { return };
        let [mut a, mut b, mut c, mut d] = *accumulators;
        let weights = rows[0].iter().zip(rows[1]).zip(rows[2].iter().zip(rows[3]));
        for (lhs, ((w0, w1), (w2, w3))) in lhs.iter().zip(weights) {
            let lhs = i32::from(*lhs) + lhs_offset;
            a = a.wrapping_add(lhs.wrapping_mul(i32::from(*w0)));
            b = b.wrapping_add(lhs.wrapping_mul(i32::from(*w1)));
            c = c.wrapping_add(lhs.wrapping_mul(i32::from(*w2)));
            d = d.wrapping_add(lhs.wrapping_mul(i32::from(*w3)));
        }
        *accumulators = [a, b, c, d];
    }

    #[inline(always)]
    fn dot(lhs: &[i8], lhs_offset: i32, rhs: &[i8]) -> i32 {
        lhs.iter().zip(rhs).fold(0i32, |sum, (lhs, rhs)| {
            sum.wrapping_add((i32::from(*lhs) + lhs_offset).wrapping_mul(i32::from(*rhs)))
        })
    }
}
