//! Programs that only move elements, or take maxima of them: torch's results are exact, and are held bit for bit.

use cortado_compiler::import::ExportedProgram;
use cortado_compiler::{Compiled, compile};
use cortado_contract::ops::OperatorKind;
use cortado_contract::{Cpu, Target};
use cortado_host::local::{self, AlignedBytes};
use cortado_host::samples::Samples;
use cortado_npz::Archive;
use cortado_runtime::LayoutPolicy;
use std::path::PathBuf;

const CPUS: [Cpu; 3] = [Cpu::M55, Cpu::M4, Cpu::M0];

#[test]
fn images_are_moved_exactly() {
    assert_exact("images");
}

#[test]
fn rows_are_moved_exactly() {
    assert_exact("rows");
}

#[test]
fn views_of_any_layout_are_free() {
    assert_exact("free");
    let calls = compiled("free", Cpu::M55).lowered.calls;
    let is_border =
        |kind| matches!(kind, OperatorKind::QuantizePerTensor | OperatorKind::DequantizePerTensor);
    let moves: Vec<_> = calls.iter().filter(|call| !is_border(call.operator.kind())).collect();
    assert!(moves.is_empty(), "{moves:?}");
}

/// Where ExecuTorch's kernels read memory as if it were row-major, the calls say so.
#[test]
fn calls_mean_the_same_to_kernels_that_ignore_the_order_of_axes() {
    use cortado_contract::ops::Operator;
    use cortado_contract::value::TensorMeta;
    for model in ["images", "rows"] {
        for call in compiled(model, Cpu::M55).lowered.calls {
            let tensors = match &call.operator {
                Operator::Cat(it) => it.tensors.0.iter().chain([&it.out]).collect(),
                Operator::Transpose(it) => vec![&it.input, &it.out],
                Operator::PermuteCopy(it) => vec![&it.input, &it.out],
                Operator::SliceCopy(it) => vec![&it.input, &it.out],
                Operator::SelectCopy(it) => vec![&it.input, &it.out],
                Operator::ExpandCopy(it) => vec![&it.input, &it.out],
                _ => Vec::new(),
            };
            let all_row_major = tensors.iter().all(|tensor| tensor.is_row_major());
            assert!(all_row_major, "{model}: {call:?}");
        }
    }
}

fn assert_exact(model: &str) {
    let recorded = Archive::open(path(model, "npz")).expect("the fixture can be read");
    for cpu in CPUS {
        let file = AlignedBytes::copy_of(&compiled(model, cpu).pte);
        let boundary = local::boundary(&file).expect("the program loads");
        let samples = Samples::take(&recorded, &[], &boundary.inputs).expect("the inputs fit");
        let outputs = local::run(&file, cpu.default_isa(), LayoutPolicy::Refuse, &samples, || {})
            .expect("the program runs");
        for (index, found) in outputs.bytes().enumerate() {
            let expected = recorded.get(&format!("output{index}")).expect("a recorded output");
            assert!(found == expected.bytes(), "{model} for {cpu}: output {index}");
        }
    }
}

fn compiled(model: &str, cpu: Cpu) -> Compiled {
    let exported = ExportedProgram::open(path(model, "pt2")).expect("the fixture can be read");
    compile(&exported, Target::new(cpu)).unwrap_or_else(|error| panic!("{model}: {error}"))
}

fn path(model: &str, extension: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/moves");
    folder.join(model).with_extension(extension)
}
