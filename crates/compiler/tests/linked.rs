//! Programs that were loaded ahead of time: what is prepared, and that kernels for its forms only compute the same.

mod common;

use cortado_compiler::link::{Linked, link};
use cortado_contract::ops::OperatorKind;
use cortado_contract::{Isa, Target};
use cortado_host::local::{self, AlignedBytes, Lent, Method};
use cortado_runtime::{
    Banks, Kernel, LayoutPolicy, LoadError, Program, STATE_VERSION, bytes_of, digest, operators,
};
use std::fmt::Write;

/// The digests of the state of every fixture, and the version that they were made at: `CORTADO_BLESS=1 cargo test -p cortado-compiler
/// --test linked` writes them anew.
const RECORD: &str = "../../testdata/linked/state.csv";

#[test]
fn prepared_state_changes_with_its_version_only() {
    let mut record = format!("model,target,operators,words,digest_at_version_{STATE_VERSION}\n");
    for model in common::models() {
        for (name, cpu) in common::TARGETS {
            let Linked { operators, state, .. } = common::compiled(&model, cpu).linked;
            let digest = digest(bytes_of(&state));
            let (count, words) = (operators.len(), state.len());
            writeln!(record, "{model},{name},{count},{words},{digest:016x}").unwrap();
        }
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORD);
    if std::env::var_os("CORTADO_BLESS").is_some() {
        std::fs::write(&path, &record).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap();
    let changed: Vec<&str> =
        record.lines().filter(|line| !recorded.lines().any(|it| it == *line)).collect();
    assert!(
        changed.is_empty() && record.lines().count() == recorded.lines().count(),
        "Modules of earlier compilers have other state than this one. If what `prepare` packs has changed, raise \
         cortado_kernels::STATE_VERSION; if the compiler makes other programs, leave it. Then run with CORTADO_BLESS=1. These \
         are not in {RECORD}:\n{}",
        changed.join("\n")
    );
}

#[test]
fn kernels_for_some_forms_compute_the_same() {
    let (mut programs, mut forms) = (0, std::collections::BTreeSet::new());
    for model in common::models() {
        for (_, cpu) in common::TARGETS {
            let compiled = common::compiled(&model, cpu);
            if compiled.pte.len() > 60_000 {
                continue;
            }
            let isa = compiled.target.isa();
            let file: &'static AlignedBytes =
                Box::leak(Box::new(AlignedBytes::copy_of(&compiled.pte)));
            let whole = local::with_method(file, isa, LayoutPolicy::Refuse, run).unwrap();
            // The state is that of a set of just these operators.
            let kernels = compiled.linked.kernels(isa);
            let Linked { operators, forms: of_each, state, constants_start } = compiled.linked;
            forms.extend(
                operators
                    .iter()
                    .copied()
                    .zip(of_each.iter().copied())
                    .map(|(kind, form)| (kind as u8, form)),
            );
            let constants = &file.as_ref()[constants_start..];
            let linked = cortado_runtime::Linked::new(constants, state.leak(), kernels.leak());
            let needed = linked.requirements();
            let mut arena = AlignedBytes::filled(needed.arena_bytes as usize, 0x5a);
            let banks = Banks::split(arena.as_mut(), &needed.banks).unwrap();
            assert_eq!(run(linked.method(banks)), whole, "{model} for {cpu}");
            programs += 1;
        }
    }
    assert!(programs > 60, "{programs} programs");
    for kind in [
        OperatorKind::QuantizedLinear,
        OperatorKind::QuantizedConv2d,
        OperatorKind::QuantizedDepthwiseConv2d,
        OperatorKind::QuantizedAvgPool2d,
        OperatorKind::QuantizedAdd,
    ] {
        let seen = forms.iter().filter(|(of, _)| *of == kind as u8).count();
        assert!(seen > 0, "{kind:?} has no form in any fixture");
    }
}

/// The outputs for inputs that are made up.
fn run(mut method: Method<'_>) -> Vec<Vec<u8>> {
    let mut random = 1u32;
    let mut lent = Lent::new(&method);
    for index in 0..method.input_count() {
        let info = method.input_info(index).unwrap();
        let bytes = info.size_bytes().unwrap() as usize;
        let mut input = vec![0; bytes];
        for chunk in input.chunks_mut(4) {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = ((random >> 24) as f32 - 128.0) / 64.0;
            let is_float = info.dtype.is_float();
            let all = if is_float { number.to_le_bytes() } else { [(random >> 31) as u8; 4] };
            chunk.copy_from_slice(&all[..chunk.len()]);
        }
        lent.set_input(&mut method, index, &input).unwrap();
    }
    lent.execute(&mut method).unwrap();
    (0..method.output_count()).map(|index| lent.output(&method, index).unwrap().to_vec()).collect()
}

#[test]
fn an_operator_outside_of_the_set_is_refused_by_name() {
    let compiled = common::compiled("digits_mlp", cortado_contract::Cpu::M4);
    let file = AlignedBytes::copy_of(&compiled.pte);
    let program = Program::parse(file.as_ref()).unwrap();
    let all = operators![QuantizePerTensor, QuantizedLinear, DequantizePerTensor];
    let needed = program.requirements_with(&all).unwrap();
    let load = |set| {
        let mut state = vec![0; needed.state_words as usize];
        let mut arena = AlignedBytes::zeroed(needed.arena_bytes as usize);
        let method: Result<cortado_runtime::Method<'_>, LoadError> =
            program.load_with(&set, LayoutPolicy::Refuse, &mut state, arena.as_mut());
        method.map(|method| method.input_count())
    };
    assert_eq!(load(all), Ok(1));
    let lacking = operators![QuantizePerTensor, DequantizePerTensor];
    let refused = load(lacking).unwrap_err();
    let LoadError::Operator { instruction: 1, operator: Some(kind), .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(kind, OperatorKind::QuantizedLinear);
    let said = refused.to_string();
    for words in ["instruction 1", "cortex_m::quantized_linear", "add it to the set"] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn state_that_is_damaged_is_found_out() {
    let linked = common::compiled("digits_mlp", cortado_contract::Cpu::M4).linked;
    let kernels: &'static [Kernel] = linked.kernels(Isa::Dsp).leak();
    let state = linked.state;
    let is_whole = |state: Vec<u32>| {
        std::panic::catch_unwind(|| cortado_runtime::Linked::new(&[], state.leak(), kernels))
            .is_ok()
    };
    assert!(is_whole(state.clone()));
    assert!(!is_whole(state[..state.len() - 1].to_vec()), "too short");
    assert!(!is_whole([&state[..], &[0]].concat()), "too long");
    assert!(!is_whole(Vec::new()), "nothing at all");
    let first = state[2] as usize;
    for (index, mask) in [(0, 1), (2, 1), (first, 0xff), (first, 0x300)] {
        let mut edited = state.clone();
        edited[index] ^= mask;
        assert!(!is_whole(edited), "word {index} with {mask:#x}");
    }
}

#[test]
fn a_program_that_no_runtime_takes_is_not_linked() {
    let compiled = common::compiled("digits_mlp", cortado_contract::Cpu::M4);
    let mut damaged = compiled.pte.clone();
    damaged[4] ^= 1;
    assert!(link(&damaged, Target::new(cortado_contract::Cpu::M4)).is_err());
    assert_eq!(link(&compiled.pte, compiled.target).unwrap(), compiled.linked);
}
