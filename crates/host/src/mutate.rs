//! Programs that are damaged on purpose, for tests that must notice it.

use cortado_pte::owned::{Instruction, Program};
use cortado_pte::{WriteOptions, write};

/// The positions of both forms of the constant term among `cortex_m::quantized_linear`'s arguments.
pub const BIAS: usize = 2;
/// See [`BIAS`].
pub const KERNEL_SUM: usize = 3;

/// Moves the constant term of every linear layer into the other form's place, without converting it: what a compiler does that
/// mistakes the target. The stamp stays, or goes with `keep_stamp` false.
///
/// # Errors
/// When the file is not a sound program.
pub fn swap_forms(file: &[u8], keep_stamp: bool) -> Result<Vec<u8>, String> {
    edited(file, |program| {
        linear_arguments(program).into_iter().for_each(|args| args.swap(BIAS, KERNEL_SUM));
        if !keep_stamp {
            program.named_data.clear();
        }
    })
}

/// A file whose program was changed by `edit`.
///
/// # Errors
/// When the file is not a sound program.
pub fn edited(file: &[u8], edit: impl FnOnce(&mut Program)) -> Result<Vec<u8>, String> {
    let view = cortado_pte::Program::parse(file).map_err(|error| error.to_string())?;
    let mut program = Program::from_view(&view).map_err(|error| error.to_string())?;
    edit(&mut program);
    write(&program, &WriteOptions::default()).map_err(|error| error.to_string())
}

/// The arguments of every linear layer of a program, in the order of execution.
pub fn linear_arguments(program: &mut Program) -> Vec<&mut Vec<i32>> {
    let mut found = Vec::new();
    for plan in &mut program.plans {
        let operators = &plan.operators;
        for instruction in plan.chains.iter_mut().flat_map(|chain| &mut chain.instructions) {
            if let Instruction::KernelCall { op_index, args } = instruction
                && operators[*op_index as usize].name == "cortex_m::quantized_linear"
            {
                found.push(args);
            }
        }
    }
    found
}
