//! Linking: the file is loaded ahead of time, by the runtime's own loader, so that a device need not do it.
//!
//! What loading makes of a file is words: places in memory as offsets, extents, packed numbers. They depend on neither the machine nor
//! the instruction set. So they are written into the module beside the file ([`mod@crate::module`]) with the names of the operators
//! that they were made for.

use crate::error::CompileError;
use cortado_contract::ops::OperatorKind;
use cortado_contract::{Isa, Target};
use cortado_kernels::generic::form;
use cortado_runtime::{ALIGNMENT, Banks, Kernel, LayoutPolicy, Loader, Operators, Program, arch};

/// What a device needs of a program besides its kernels and its arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The operators that the program uses, in the order of their first call; prepared calls name them by position.
    pub operators: Vec<OperatorKind>,
    /// The forms of each operator that the program has, a bit each; see [`cortado_kernels::generic::form`].
    pub forms: Vec<u16>,
    /// What loading the file with a set of these operators prepares.
    pub state: Vec<u32>,
    /// Where in the file the constants start that the state refers to. They end with the file.
    pub constants_start: usize,
}

impl Linked {
    /// The kernels of an instruction set for these operators, narrowed to their forms as they are in a firmware.
    pub fn kernels(&self, isa: Isa) -> Vec<Kernel> {
        let all = self.operators.iter().zip(&self.forms);
        let kernel = |(kind, forms): (&OperatorKind, &u16)| match isa {
            Isa::Scalar => Kernel::narrowed::<arch::Scalar>(*kind, *forms),
            Isa::Dsp => Kernel::narrowed::<arch::Dsp>(*kind, *forms),
            Isa::Mve => Kernel::narrowed::<arch::Mve>(*kind, *forms),
        };
        all.map(kernel).collect()
    }
}

/// Loads a file for a target.
///
/// # Errors
/// [`CompileError::Refused`].
pub fn link(pte: &[u8], target: Target) -> Result<Linked, CompileError> {
    let mut memory = Vec::new();
    let file = aligned(&mut memory, pte.len());
    file.copy_from_slice(pte);
    let program = Program::parse(file)?;
    let mut operators = Vec::new();
    let visited = program.visit_operators(|kind, _| {
        if !operators.contains(&kind) {
            operators.push(kind);
        }
    });
    visited?;
    let kernel = |kind: &OperatorKind| match target.isa() {
        Isa::Scalar => Kernel::of::<arch::Scalar>(*kind),
        Isa::Dsp => Kernel::of::<arch::Dsp>(*kind),
        Isa::Mve => Kernel::of::<arch::Mve>(*kind),
    };
    let kernels: Vec<Kernel> = operators.iter().map(kernel).collect();
    let loaders: Vec<Loader> = operators.iter().copied().map(Loader::of).collect();
    let set = match target.isa() {
        Isa::Scalar => Operators::new::<arch::Scalar>(&kernels, &loaders),
        Isa::Dsp => Operators::new::<arch::Dsp>(&kernels, &loaders),
        Isa::Mve => Operators::new::<arch::Mve>(&kernels, &loaders),
    };
    let needed = program.requirements_with(&set)?;
    let (mut state, mut memory) = (vec![0; needed.state_words as usize], Vec::new());
    let arena = aligned(&mut memory, needed.arena_bytes as usize);
    let banks = Banks::split(arena, &needed.banks).unwrap_or_default();
    let method = program.load_with(&set, LayoutPolicy::Refuse, &mut state, banks)?;
    let mut forms = vec![0; operators.len()];
    for (position, words) in method.prepared() {
        forms[position] |= form(operators[position], words);
    }
    let constants_start = pte.len() - program.constants().len();
    Ok(Linked { operators, forms, state, constants_start })
}

/// So many bytes, aligned as the runtime asks for, in `memory`.
fn aligned(memory: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    memory.resize(bytes + ALIGNMENT, 0);
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    &mut memory[start..][..bytes]
}
