//! How much stack a program takes on the device: measured, operator by operator.
//!
//! `stack.csv` has, for each instruction set, the board that it was measured on, the most that loading any of the fixtures took, and the most
//! that one call of each operator took below the caller of `load` and `execute`. `cargo xtask bench stack` writes it.

use cortado_contract::Isa;
use cortado_contract::ops::OperatorKind;
use serde::Serialize;

const TABLE: &str = include_str!("stack.csv");

/// The stack of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StackBound {
    /// The bytes that loading and executing take at most, below their caller.
    pub bytes: u32,
    /// The bytes that loading takes.
    pub load_bytes: u32,
    /// The bytes that executing takes.
    pub execute_bytes: u32,
    /// The emulated board that was measured.
    pub board: &'static str,
}

/// The bound for a program of these operators, `None` if one of them, or the instruction set, was not measured.
pub fn bound(isa: Isa, operators: impl IntoIterator<Item = OperatorKind>) -> Option<StackBound> {
    let rows = || {
        let rows = TABLE.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        rows.filter(|row| row.first() == Some(&isa.name()))
    };
    let of = |what: &str| {
        let row = rows().find(|row| row.get(2) == Some(&what))?;
        row.get(3)?.parse::<u32>().ok()
    };
    let board = *rows().next()?.get(1)?;
    let load_bytes = of("load")?;
    let mut execute_bytes = 0;
    for operator in operators {
        execute_bytes = execute_bytes.max(of(operator.name())?);
    }
    Some(StackBound { bytes: load_bytes.max(execute_bytes), load_bytes, execute_bytes, board })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_was_measured() {
        for isa in Isa::ALL {
            let bound = bound(isa, [OperatorKind::QuantizedLinear, OperatorKind::QuantizedConv2d]);
            let StackBound { bytes, load_bytes, execute_bytes, .. } = bound.unwrap();
            assert!(bytes == load_bytes.max(execute_bytes) && load_bytes > 0 && execute_bytes > 0);
        }
    }
}
