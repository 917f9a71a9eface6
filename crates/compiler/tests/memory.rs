//! Memory plans, carried out: random programs and all fixtures compute the same with a dense plan as with one in which nothing
//! is shared, although whatever is dead is overwritten; wrong plans are refused; banks and lent memory change no result.

mod common;

use cortado_compiler::emit::emit;
use cortado_compiler::finish::{Finished, finish};
use cortado_compiler::import::ExportedProgram;
use cortado_compiler::lift::lift;
use cortado_compiler::lowered::{Buffer, BufferId, BufferKind, Call, Lowered, Tensors};
use cortado_compiler::plan::{
    ALIGNMENT, Bank, MemoryPlan, Placement, PlanOptions, check, operands_and_results, plan,
};
use cortado_compiler::{CompileError, compile_with};
use cortado_contract::ops::{self, Operator};
use cortado_contract::quant::ZeroPoint;
use cortado_contract::{Cpu, DType, Target};
use cortado_host::local::{self, AlignedBytes, Lent, Method, POISON, with_method};
use cortado_host::samples::Samples;
use cortado_npz::Archive;
use cortado_runtime::{LayoutPolicy, LoadError, TensorError};
use cortado_testkit::random::Random;

const TARGET: Cpu = Cpu::M55;

/// A program of float operators: inputs, then calls on what there is, of several extents, some of them views.
fn random_program(seed: u32) -> Lowered {
    let mut random = Random::new(seed);
    let mut program = Lowered::default();
    let pick = |random: &mut Random, count: usize| random.between(0, count as i32 - 1) as usize;
    let mut live: Vec<BufferId> = Vec::new();
    for index in 0..random.between(1, 3) {
        let extent = random.between(1, 40) as u32;
        let id = add(&mut program, format!("input{index}"), DType::F32, &[extent]);
        program.inputs.push(id);
        live.push(id);
    }
    for index in 0..random.between(1, 14) {
        let lhs = live[pick(&mut random, live.len())];
        let rhs = live[pick(&mut random, live.len())];
        let name = format!("call{index}");
        let out = |program: &mut Lowered, dtype: DType, shape: &[u32]| {
            let id = add(program, format!("{name}_out"), dtype, shape);
            program.tensor(id)
        };
        let input = program.tensor(lhs);
        let is_float = input.dtype == DType::F32;
        let shape = input.shape.clone();
        let operator = match random.between(0, 6) {
            0 if is_float => {
                let out = out(&mut program, DType::F32, &shape);
                Operator::FloatNeg(ops::FloatNeg { input, out })
            }
            1 | 2 if is_float && program.buffer(rhs).dtype == DType::F32 => {
                // Equal extents, or one element against the other operand.
                let other = program.tensor(rhs);
                if other.shape != shape && other.shape != [1] {
                    continue;
                }
                let out = out(&mut program, DType::F32, &shape);
                Operator::FloatAdd(ops::FloatAdd { input, other, alpha: 1.0, out })
            }
            3 if is_float => {
                let out = out(&mut program, DType::I8, &shape);
                Operator::QuantizePerTensor(ops::QuantizePerTensor {
                    input,
                    scale: 0.25,
                    zero_point: ZeroPoint(3),
                    quant_min: -128,
                    quant_max: 127,
                    dtype: DType::I8,
                    out,
                })
            }
            4 if !is_float => {
                let out = out(&mut program, DType::F32, &shape);
                Operator::DequantizePerTensor(ops::DequantizePerTensor {
                    input,
                    scale: 0.25,
                    zero_point: ZeroPoint(3),
                    quant_min: -128,
                    quant_max: 127,
                    dtype: DType::I8,
                    out,
                })
            }
            5 => {
                let keep = random.between(1, shape[0] as i32);
                let out = out(&mut program, input.dtype, &[keep as u32]);
                Operator::SliceCopy(ops::SliceCopy {
                    input,
                    dim: 0,
                    start: None,
                    end: Some(i64::from(keep)),
                    step: 1,
                    out,
                })
            }
            6 if program.buffer(rhs).dtype == input.dtype => {
                let other = program.tensor(rhs);
                let out = out(&mut program, input.dtype, &[shape[0] + other.shape[0]]);
                Operator::Cat(ops::Cat { tensors: Tensors(vec![input, other]), dim: 0, out })
            }
            _ => continue,
        };
        let id = BufferId(program.buffers.len() - 1);
        live.push(id);
        program.calls.push(Call { name, source: String::new(), operator });
        if random.between(0, 7) == 0 {
            // The same elements under another shape, which a slice makes one axis of again.
            let Buffer { name, dtype, shape, .. } = program.buffer(id).clone();
            let view = program.add(Buffer {
                name: format!("{name}_view"),
                dtype,
                shape: shape.clone(),
                dim_order: vec![0],
                kind: BufferKind::View(id),
            });
            live.push(view);
        }
    }
    for _ in 0..random.between(1, 3) {
        let output = live[pick(&mut random, live.len())];
        if !program.outputs.contains(&output) {
            program.outputs.push(output);
        }
    }
    program
}

fn add(program: &mut Lowered, name: String, dtype: DType, shape: &[u32]) -> BufferId {
    let dim_order = (0..shape.len() as u8).collect();
    let kind = BufferKind::Activation;
    program.add(Buffer { name, dtype, shape: shape.to_vec(), dim_order, kind })
}

/// A plan in which every buffer has memory of its own.
fn apart(program: &Lowered) -> MemoryPlan {
    let dense = plan(program, &PlanOptions::default()).unwrap();
    let mut end = 0;
    let placements: Vec<Placement> = dense
        .placements
        .iter()
        .map(|it| {
            let offset_bytes = end;
            end += it.size_bytes;
            let last = program.calls.len();
            Placement { offset_bytes, first: 0, last, over: None, ..*it }
        })
        .collect();
    let mut banks = dense.banks.clone();
    banks[0].bytes = end;
    MemoryPlan { placements, banks, arena_bytes: end, ..dense }
}

/// Runs a program on inputs that follow from `seed`, once as it is and once with everything overwritten that no call will read; and
/// gives the outputs of the second run.
fn outputs(pte: &[u8], seed: u32) -> Result<Vec<Vec<u8>>, LoadError> {
    let lives = Lives::of(pte);
    let file = AlignedBytes::copy_of(pte);
    let isa = Target::new(TARGET).isa();
    with_method(&file, isa, LayoutPolicy::Adapt, |mut method| {
        let mut lent = Lent::new(&method);
        let mut runs = Vec::new();
        for poisons in [false, true] {
            let mut random = Random::new(seed);
            for index in 0..method.input_count() {
                let info = method.input_info(index).unwrap();
                let count = info.size_bytes().unwrap() as usize / 4;
                let number = |_| random.between(-100, 100) as f32 / 8.0;
                let bytes: Vec<u8> = (0..count).map(number).flat_map(f32::to_le_bytes).collect();
                lent.set_input(&mut method, index, &bytes).unwrap();
            }
            lent.execute_observed(&mut method, |step| {
                for (region, keep) in lives.after(step.instruction).iter().enumerate() {
                    let Some(bytes) = step.memory.region_mut(region) else { continue };
                    if poisons {
                        let dead = bytes.iter_mut().zip(keep).filter(|(_, keep)| !**keep);
                        dead.for_each(|(byte, _)| *byte = POISON);
                    }
                }
            })
            .unwrap();
            let outputs = (0..method.output_count())
                .map(|index| lent.output(&method, index).unwrap().to_vec());
            runs.push(outputs.collect::<Vec<_>>());
        }
        assert_eq!(runs[0], runs[1], "a call reads what it was not given");
        runs.remove(1)
    })
}

/// What of a file's memory is read after each of its calls, by the file's own dataflow.
struct Lives {
    /// By call and bank, whether each byte is still needed.
    needed: Vec<Vec<Vec<bool>>>,
}

impl Lives {
    fn of(pte: &[u8]) -> Lives {
        let lifted = lift(pte).unwrap();
        let program = &lifted.program;
        // What an operator reads, itself included, keeps its memory until then.
        let reads: Vec<Vec<BufferId>> = program
            .calls
            .iter()
            .map(|call| operands_and_results(&call.operator))
            .map(|operands| operands.into_iter().map(|(id, _)| id).collect())
            .chain([program.outputs.clone()])
            .collect();
        let writes_from = |id: BufferId| {
            let is_written =
                |call: &Call| operands_and_results(&call.operator).contains(&(id, true));
            program.calls.iter().position(is_written)
        };
        let needed = (0..program.calls.len())
            .map(|call| {
                let sizes = lifted.planned_bytes.iter().skip(1);
                let mut banks: Vec<Vec<bool>> =
                    sizes.map(|bytes| vec![false; *bytes as usize]).collect();
                for id in reads[call + 1..].iter().flatten() {
                    let storage = program.storage(*id);
                    if writes_from(storage).is_some_and(|writer| writer > call) {
                        continue;
                    }
                    if let Some(place) = lifted.place(storage) {
                        let bank = &mut banks[place.memory_id as usize - 1];
                        bank[place.offset_bytes as usize..place.end() as usize].fill(true);
                    }
                }
                banks
            })
            .collect();
        Lives { needed }
    }

    fn after(&self, call: usize) -> &[Vec<bool>] {
        &self.needed[call]
    }
}

#[test]
fn random_programs_compute_the_same_in_dense_memory() {
    let target = Target::new(TARGET);
    let (mut shared, mut bytes, mut bytes_apart) = (0, 0, 0);
    for seed in 0..400 {
        let program = random_program(seed);
        let finished = finish(&program, target, &PlanOptions::default()).unwrap();
        let Finished { lowered, plan, pte } = &finished;
        assert!(plan.arena_bytes >= plan.lower_bound_bytes, "seed {seed}");
        assert_eq!(plan.schedule_proven, Some(true), "seed {seed}");
        let loose = apart(lowered);
        assert_eq!(check(lowered, &loose), Vec::<String>::new(), "seed {seed}");
        let expected = outputs(&emit(lowered, &loose, target).unwrap(), seed).unwrap();
        assert_eq!(outputs(pte, seed).unwrap(), expected, "seed {seed}");
        shared += plan.placements.iter().filter(|it| it.over.is_some()).count();
        bytes += plan.arena_bytes;
        bytes_apart += loose.arena_bytes;
        // However the calls are listed, and from the file alone, it is the same program.
        let lifted = lift(pte).unwrap();
        let again = finish(&lifted.program, target, &lifted.plan_options()).unwrap();
        assert!(again.pte == *pte, "seed {seed}");
    }
    assert!(shared > 300 && bytes * 4 < bytes_apart * 3, "{shared} {bytes} {bytes_apart}");
}

#[test]
fn random_programs_compute_the_same_in_banks_and_in_lent_memory() {
    let target = Target::new(TARGET);
    let (mut in_banks, mut too_large) = (0, 0);
    for seed in 0..200 {
        let program = random_program(seed);
        let whole = finish(&program, target, &PlanOptions::default()).unwrap();
        let expected = outputs(&whole.pte, seed).unwrap();
        let half = (whole.plan.arena_bytes / 2).next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        let bank = |name: &str, capacity_bytes| Bank { name: name.to_owned(), capacity_bytes };
        let banks = vec![bank("fast", half), bank("slow", whole.plan.arena_bytes)];
        let options = PlanOptions { banks, ..PlanOptions::default() };
        let spread = finish(&program, target, &options).unwrap();
        assert_eq!(outputs(&spread.pte, seed).unwrap(), expected, "seed {seed}");
        in_banks += usize::from(spread.plan.banks.iter().all(|bank| bank.bytes > 0));
        let lent = PlanOptions { lend_inputs: true, lend_outputs: true, ..PlanOptions::default() };
        let lent = finish(&program, target, &lent).unwrap();
        assert!(lent.plan.arena_bytes <= whole.plan.arena_bytes, "seed {seed}");
        assert_eq!(outputs(&lent.pte, seed).unwrap(), expected, "seed {seed}");
        // One step below the bound there is no plan, and that is said with numbers.
        let Some(less) = whole.plan.lower_bound_bytes.checked_sub(ALIGNMENT) else { continue };
        let options = PlanOptions { banks: vec![bank("only", less)], ..PlanOptions::default() };
        match finish(&program, target, &options) {
            Err(CompileError::Memory(shortage)) => {
                too_large += 1;
                assert_eq!(shortage.bank, "only");
                assert_eq!(shortage.given_bytes, less);
                assert!(shortage.needed_bytes >= whole.plan.lower_bound_bytes);
                assert_eq!(shortage.peak_bytes, whole.plan.lower_bound_bytes);
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(in_banks > 50 && too_large > 150, "{in_banks} {too_large}");
}

#[test]
fn wrong_plans_are_refused_when_they_are_loaded() {
    let target = Target::new(TARGET);
    let (mut tried, mut refused, mut harmless) = (0, 0, 0);
    for seed in 0..60 {
        let program = random_program(seed);
        let Finished { lowered, plan, pte } =
            finish(&program, target, &PlanOptions::default()).unwrap();
        let expected = outputs(&pte, seed).unwrap();
        for index in 0..plan.placements.len() {
            // The buffer where another one is, and a little beside it.
            for other in 0..plan.placements.len() {
                for shift in [0, ALIGNMENT] {
                    let mut wrong = plan.clone();
                    let to = plan.placements[other].offset_bytes + shift;
                    let Placement { offset_bytes, size_bytes, .. } = &mut wrong.placements[index];
                    if *offset_bytes == to || to + *size_bytes > plan.arena_bytes {
                        continue;
                    }
                    *offset_bytes = to;
                    tried += 1;
                    let is_wrong = !check(&lowered, &wrong).is_empty();
                    let file = emit(&lowered, &wrong, target).unwrap();
                    match run_unjudged(&file, seed) {
                        Err(_) => refused += 1,
                        Ok(found) => {
                            assert_eq!(found, expected, "seed {seed}: {index} to {to}");
                            harmless += 1;
                            // The compiler's check may be stricter than the loader's, not the other way round.
                            let _ = is_wrong;
                        }
                    }
                }
            }
        }
    }
    assert!(
        refused > 100 && harmless > 10,
        "{tried} tried, {refused} refused, {harmless} harmless"
    );
}

/// As [`outputs`], for a file whose dataflow may make no sense.
fn run_unjudged(pte: &[u8], seed: u32) -> Result<Vec<Vec<u8>>, LoadError> {
    let (file, isa) = (AlignedBytes::copy_of(pte), Target::new(TARGET).isa());
    with_method(&file, isa, LayoutPolicy::Adapt, |mut method| {
        let mut random = Random::new(seed);
        for index in 0..method.input_count() {
            let input = method.fill_input::<f32>(index).unwrap();
            input.fill_with(|| random.between(-100, 100) as f32 / 8.0);
        }
        method.execute().unwrap();
        let outputs = 0..method.output_count();
        outputs.map(|index| method.output_bytes(index).unwrap().to_vec()).collect()
    })
}

#[test]
fn no_fixture_takes_more_than_upstream_and_dead_memory_is_never_read() {
    let mut unmet = Vec::new();
    for model in common::models() {
        let meta = std::fs::read(common::path(&model, "meta.json")).unwrap();
        let meta: serde_json::Value = serde_json::from_slice(&meta).unwrap();
        for (name, cpu) in common::TARGETS {
            let compiled = common::compiled(&model, cpu);
            if let Some(theirs) = meta["targets"][name]["planned_bytes"].as_u64() {
                let ours = compiled.plan.arena_bytes;
                assert!(ours <= theirs, "{model} {name}: {ours} bytes, upstream {theirs}");
            }
            if compiled.plan.arena_bytes > compiled.plan.lower_bound_bytes {
                unmet.push(model.clone());
            }
            let is_float = |id: &BufferId| compiled.scheduled.buffer(*id).dtype == DType::F32;
            let is_small = compiled.pte.len() < 120_000;
            if is_small && name == "m55" && compiled.scheduled.inputs.iter().all(is_float) {
                outputs(&compiled.pte, 1).unwrap();
            }
        }
    }
    unmet.dedup();
    // Back to back, a quantize and a dequantize both want to be written over their operand, from different ends.
    assert_eq!(unmet, ["op_permute"]);
}

#[test]
fn banks_change_no_result_of_a_fixture() {
    let exported = ExportedProgram::open(common::path("resnet8", "quantized.pt2")).unwrap();
    let bank = |name: &str, kib: u64| Bank { name: name.to_owned(), capacity_bytes: kib << 10 };
    let options = |banks| PlanOptions { banks, ..PlanOptions::default() };
    let target = Target::new(Cpu::M55);
    let banks = vec![bank("dtcm", 20), bank("sram", 40)];
    let compiled = compile_with(&exported, target, &options(banks)).unwrap();
    assert!(compiled.plan.banks.iter().all(|bank| bank.bytes > 0));
    let inputs = Archive::open(common::path("resnet8", "inputs.npz")).unwrap();
    let run = |pte: &[u8]| {
        let file = AlignedBytes::copy_of(pte);
        let boundary = local::boundary(&file).unwrap();
        let mut samples = Samples::take(&inputs, &[], &boundary.inputs).unwrap();
        samples.truncate(1);
        local::run(&file, target.isa(), LayoutPolicy::Refuse, &samples, || {}).unwrap()
    };
    assert_eq!(run(&compiled.pte), run(&common::compiled("resnet8", Cpu::M55).pte));
    let small = options(vec![bank("dtcm", 16), bank("sram", 24)]);
    let error = compile_with(&exported, target, &small).unwrap_err().to_string();
    for words in ["bank `sram` has 24576 bytes", "bytes short", "most is live during `conv2d_2`"] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn what_is_lent_is_said_to_be_the_callers_executed_or_not() {
    let both = |mut method: Method<'_>| {
        assert_eq!(method.set_input_bytes(0, &[]), Err(TensorError::Lent));
        assert_eq!(method.output_bytes(0), Err(TensorError::Lent));
    };
    let outputs_only = |mut method: Method<'_>| {
        let input = AlignedBytes::zeroed(method.lent().next().unwrap().span().len());
        assert_eq!(method.output_bytes(0), Err(TensorError::NotExecuted));
        method.execute_with(&[input.as_ref()], &mut []).unwrap();
        // Nothing was written, so the outputs are still there.
        assert_eq!(method.set_input_bytes(0, &[]), Err(TensorError::Lent));
        assert!(method.output_bytes(0).is_ok());
    };
    let target = Target::new(TARGET);
    let exported = ExportedProgram::open(common::path("tiny_linear", "quantized.pt2")).unwrap();
    let compiled = |lend_outputs| {
        let options = PlanOptions { lend_inputs: true, lend_outputs, ..PlanOptions::default() };
        AlignedBytes::copy_of(&compile_with(&exported, target, &options).unwrap().pte)
    };
    with_method(&compiled(true), target.isa(), LayoutPolicy::Refuse, both).unwrap();
    with_method(&compiled(false), target.isa(), LayoutPolicy::Refuse, outputs_only).unwrap();
}

#[test]
fn what_a_program_needs_is_checked_before_anything_is_computed() {
    let compiled = common::compiled("tiny_linear", Cpu::M55);
    let file = AlignedBytes::copy_of(&compiled.pte);
    let program = cortado_runtime::Program::parse(file.as_ref()).unwrap();
    let needed = program.requirements().unwrap();
    let mut state = vec![0; needed.state_words as usize];
    let mut arena = AlignedBytes::zeroed(needed.arena_bytes as usize + 16);
    let arena = arena.as_mut();
    let given = needed.arena_bytes - 1;
    let error = program.load(LayoutPolicy::Adapt, &mut state, &mut arena[..given as usize]);
    let too_small = LoadError::ArenaTooSmall { bank: 0, needed: needed.arena_bytes, given };
    assert_eq!(error.err(), Some(too_small));
    let error = program.load(LayoutPolicy::Adapt, &mut state, &mut arena[4..]);
    assert_eq!(error.err(), Some(LoadError::ArenaMisaligned { bank: 0 }));
    let words = needed.state_words - 1;
    let error = program.load(LayoutPolicy::Adapt, &mut state[..words as usize], arena);
    let too_small = LoadError::StateTooSmall { needed: needed.state_words, given: words };
    assert_eq!(error.err(), Some(too_small));
}
