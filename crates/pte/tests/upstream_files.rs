//! Programs that upstream made: all of each can be read, and survives being written by us.

mod common;

use common::{UPSTREAM_FILES, Walk, upstream};
use cortado_pte::owned;
use cortado_pte::{
    CONSTANT_ALIGNMENT, Instruction, Program, ScalarType, Storage, Value, WriteOptions, dump, write,
};

#[test]
fn every_file_is_read_to_the_last_part() {
    for name in UPSTREAM_FILES {
        let walk = Walk::everything(&upstream(name));
        assert_eq!(walk.errors, [], "{name}");
        assert!(walk.read > 150, "{name}: only {} parts read", walk.read);
    }
}

#[test]
fn a_known_program_reads_as_upstream_reads_it() {
    let file = upstream("digits_mlp-m55");
    let program = Program::parse(&file).unwrap();
    let plan = program.plan("forward").unwrap();
    assert_eq!(program.plan("backward").unwrap_err().kind, cortado_pte::ErrorKind::Missing);
    assert!(plan.inputs().unwrap().iter().eq([9]));
    assert!(plan.outputs().unwrap().iter().eq([49]));
    assert!(plan.non_const_buffer_sizes().unwrap().iter().eq([0, 320]));

    let chain = plan.chains().unwrap().get(0).unwrap();
    let Instruction::KernelCall { op_index, args } = chain.instructions().unwrap().get(1).unwrap()
    else {
        panic!("not a kernel call");
    };
    assert!(plan.operator(op_index).unwrap().is("cortex_m::quantized_linear", "out"));
    let args: Vec<i32> = args.iter().collect();
    let weights = plan.tensor(args[1]).unwrap();
    assert_eq!(weights.scalar_type(), Ok(ScalarType::CHAR));
    assert!(weights.sizes().unwrap().iter().eq([64, 64]));
    assert_eq!(weights.dim_order(), Ok(&[0, 1][..]));
    let Storage::Constant { buffer } = weights.storage().unwrap() else {
        panic!("weights are not constant");
    };
    assert!(program.constant(buffer).unwrap().len() >= 64 * 64);
    assert!(matches!(plan.value(args[2]), Ok(Value::Null)));
    assert!(matches!(plan.value(args[4]), Ok(Value::Int(128))));
    let Ok(Value::IntList(multipliers)) = plan.value(args[7]) else {
        panic!("multipliers are no list of integers");
    };
    assert_eq!(plan.ints(multipliers).collect::<Result<Vec<_>, _>>(), Ok(vec![1_369_506_116]));
    let Storage::Planned(output) = plan.tensor(args[11]).unwrap().storage().unwrap() else {
        panic!("the output is not in planned memory");
    };
    assert_eq!((output.memory_id, output.offset), (1, 0));
    for index in [-1, i32::MIN, 55, i32::MAX] {
        assert_eq!(plan.value(index).unwrap_err().kind, cortado_pte::ErrorKind::Index);
    }
}

#[test]
fn a_written_program_reads_equal_and_is_smaller() {
    for name in UPSTREAM_FILES {
        let file = upstream(name);
        let model = owned::Program::from_view(&Program::parse(&file).unwrap()).unwrap();
        let written = write(&model, &WriteOptions::default()).unwrap();
        assert_eq!(Walk::everything(&written).errors, [], "{name}");
        let program = Program::parse(&written).unwrap();
        assert_eq!(owned::Program::from_view(&program).unwrap(), model, "{name}");
        assert_eq!(write(&model, &WriteOptions::default()).unwrap(), written, "{name}");
        assert!(written.len() < file.len(), "{name}: {} of {}", written.len(), file.len());
    }
}

#[test]
fn alignments_are_as_asked() {
    let file = upstream("digits_cnn-m4");
    let model = owned::Program::from_view(&Program::parse(&file).unwrap()).unwrap();
    for (segment_alignment, constant_alignment) in [(16, 16), (128, 16), (4096, 64), (1, 1)] {
        let options = WriteOptions { segment_alignment, constant_alignment };
        let written = write(&model, &options).unwrap();
        let program = Program::parse(&written).unwrap();
        assert_eq!(owned::Program::from_view(&program).unwrap(), model);
        for segment in program.segments().iter() {
            let start = program.segment_base() + segment.unwrap().offset as usize;
            assert_eq!(start % segment_alignment, 0, "{options:?}");
        }
        for index in 1..program.constant_offsets().len() as u32 {
            let constant = program.constant(index).unwrap();
            let start = constant.as_ptr() as usize - written.as_ptr() as usize;
            assert_eq!(start % constant_alignment, 0, "{options:?}");
        }
    }
    assert_eq!(WriteOptions::default().constant_alignment, CONSTANT_ALIGNMENT);
}

#[test]
fn the_dump_is_as_recorded() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/digits_mlp-m55.txt");
    let file = upstream("digits_mlp-m55");
    let found = dump(&Program::parse(&file).unwrap());
    if std::env::var_os("CORTADO_BLESS").is_some() {
        std::fs::write(path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, expected, "if the change is meant, record it with CORTADO_BLESS=1");
}
