use super::{Bank, MemoryPlan, PlanOptions};
use crate::finish::finish;
use crate::lowered::{Buffer, BufferId, BufferKind, Call, Lowered};
use cortado_contract::ops::{self, Operator};
use cortado_contract::quant::ZeroPoint;
use cortado_contract::{Cpu, DType, Target};

/// The inputs `x` and `y`; the outputs are `x`, and the smaller of both, each through int8 and back.
fn copy_and_minimum(elements: u32) -> Lowered {
    let mut program = Lowered::default();
    let x = quantized(&mut program, "x", elements);
    let y = quantized(&mut program, "y", elements);
    let least = add(&mut program, "least", DType::I8, elements);
    dequantize(&mut program, x, elements);
    let (lhs, rhs, out) = (program.tensor(x), program.tensor(y), program.tensor(least));
    call(&mut program, "minimum", Operator::Minimum(ops::Minimum { lhs, rhs, out }));
    dequantize(&mut program, least, elements);
    program
}

fn add(program: &mut Lowered, name: &str, dtype: DType, elements: u32) -> BufferId {
    let (name, kind) = (name.to_owned(), BufferKind::Activation);
    program.add(Buffer { name, dtype, shape: vec![elements], dim_order: vec![0], kind })
}

fn call(program: &mut Lowered, name: &str, operator: Operator<crate::lowered::LoweredDomain>) {
    program.calls.push(Call { name: name.to_owned(), source: String::new(), operator });
}

fn quantized(program: &mut Lowered, name: &str, elements: u32) -> BufferId {
    let from = add(program, name, DType::F32, elements);
    program.inputs.push(from);
    let to = add(program, &format!("{name}_int8"), DType::I8, elements);
    let quantize = ops::QuantizePerTensor {
        input: program.tensor(from),
        scale: 0.25,
        zero_point: ZeroPoint(3),
        quant_min: -128,
        quant_max: 127,
        dtype: DType::I8,
        out: program.tensor(to),
    };
    call(program, &format!("quantize_{name}"), Operator::QuantizePerTensor(quantize));
    to
}

fn dequantize(program: &mut Lowered, from: BufferId, elements: u32) {
    let name = format!("{}_back", program.buffer(from).name);
    let to = add(program, &name, DType::F32, elements);
    program.outputs.push(to);
    let dequantize = ops::DequantizePerTensor {
        input: program.tensor(from),
        scale: 0.25,
        zero_point: ZeroPoint(3),
        quant_min: -128,
        quant_max: 127,
        dtype: DType::I8,
        out: program.tensor(to),
    };
    call(program, &name, Operator::DequantizePerTensor(dequantize));
}

fn planned(program: &Lowered, banks: &[u64]) -> MemoryPlan {
    let bank = |(index, bytes): (usize, &u64)| Bank {
        name: format!("bank{index}"),
        capacity_bytes: *bytes,
    };
    let banks = banks.iter().enumerate().map(bank).collect();
    finish(program, Target::new(Cpu::M4), &PlanOptions { banks, ..PlanOptions::default() })
        .unwrap()
        .plan
}

#[test]
fn two_results_are_put_apart_where_one_alone_is_of_no_use() {
    let program = copy_and_minimum(37);
    let plan = planned(&program, &[]);
    // Two tensors of 37 floats, in multiples of 16 bytes.
    assert_eq!(plan.lower_bound_bytes, 320);
    assert_eq!(plan.arena_bytes, 320, "{:?}", plan.placements);
    assert!(plan.proven);
}

#[test]
fn several_banks_are_proven_to_be_the_least_only_where_the_bound_is_met() {
    let program = copy_and_minimum(37);
    let plans: Vec<MemoryPlan> = (3..20).map(|fast| planned(&program, &[fast * 16, 320])).collect();
    for plan in &plans {
        assert_eq!(plan.proven, plan.arena_bytes == plan.lower_bound_bytes, "{plan:?}");
    }
    // What has most traffic fills the first bank and leaves room in it that nothing fits.
    assert!(plans.iter().any(|plan| plan.arena_bytes > plan.lower_bound_bytes), "{plans:?}");
    let met = planned(&program, &[0, 320]);
    assert_eq!((met.arena_bytes, met.proven), (320, true));
}
