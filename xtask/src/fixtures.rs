//! The fixtures in `testdata/models`: compiled, run on the host, and their recorded results.

use crate::steps::root;
use cortado_compiler::import::ExportedProgram;
use cortado_compiler::plan::PlanOptions;
use cortado_compiler::{Compiled, compile_with};
use cortado_contract::{Cpu, Isa, Target};
use cortado_host::boards::BoardProgram;
use cortado_host::local::{self, AlignedBytes, Boundary};
use cortado_host::recorded;
use cortado_host::samples::{Outputs, Samples};
use cortado_npz::{Archive, Array};
use cortado_quantizer::tensor::{Tensor, numbers};
use cortado_runtime::{LayoutPolicy, Program, Requirements, bytes_of, digest};
use std::path::PathBuf;

/// A file of a model.
pub(crate) fn path(model: &str, file: &str) -> PathBuf {
    root().join("testdata/models").join(model).join(file)
}

/// The name that a target has in the fixtures' files: its instruction set decides.
pub(crate) fn target_name(isa: Isa) -> &'static str {
    match isa {
        Isa::Mve => "m55",
        Isa::Dsp => "m4",
        Isa::Scalar => "m0",
    }
}

/// The core that stands for an instruction set in the fixtures.
pub(crate) fn cpu_of(isa: Isa) -> Cpu {
    match isa {
        Isa::Mve => Cpu::M55,
        Isa::Dsp => Cpu::M4,
        Isa::Scalar => Cpu::M0,
    }
}

/// A model compiled for a target.
pub(crate) fn compiled(model: &str, target: Target) -> Result<Compiled, String> {
    compiled_with(model, target, &PlanOptions::default())
}

/// As [`compiled`], as `options` say.
pub(crate) fn compiled_with(
    model: &str,
    target: Target,
    options: &PlanOptions,
) -> Result<Compiled, String> {
    let exported =
        ExportedProgram::open(path(model, "quantized.pt2")).map_err(|error| error.to_string())?;
    compile_with(&exported, target, options).map_err(|error| format!("{model}: {error}"))
}

/// A compiled program that is ready to run here and on boards.
pub(crate) struct Ready {
    pub(crate) file: AlignedBytes,
    pub(crate) boundary: Boundary,
    pub(crate) requirements: Requirements,
}

impl Ready {
    pub(crate) fn new(pte: &[u8]) -> Result<Self, String> {
        let file = AlignedBytes::copy_of(pte);
        let boundary = local::boundary(&file).map_err(|error| error.to_string())?;
        let requirements = Program::parse(file.as_ref()).and_then(|program| program.requirements());
        let requirements = requirements.map_err(|error| error.to_string())?;
        Ok(Ready { file, boundary, requirements })
    }

    pub(crate) fn on_board(&self, policy: LayoutPolicy) -> BoardProgram<'_> {
        BoardProgram {
            file: &self.file,
            boundary: &self.boundary,
            requirements: self.requirements,
            policy,
            stack_of_calls: false,
            instructions_of_calls: false,
        }
    }

    pub(crate) fn samples(&self, model: &str) -> Result<Samples, String> {
        let archive =
            Archive::open(path(model, "inputs.npz")).map_err(|error| error.to_string())?;
        Samples::take(&archive, &[], &self.boundary.inputs).map_err(|error| error.to_string())
    }

    pub(crate) fn run_here(
        &self,
        isa: Isa,
        policy: LayoutPolicy,
        samples: &Samples,
    ) -> Result<Outputs, String> {
        local::run(&self.file, isa, policy, samples, || {}).map_err(|error| error.to_string())
    }
}

impl Ready {
    /// The digest of what loading the program prepares here, with all operators. A board's must be the same: prepared state depends on
    /// neither the machine nor the instruction set.
    pub(crate) fn state_digest(&self, isa: Isa) -> Result<u64, String> {
        local::with_method(&self.file, isa, LayoutPolicy::Refuse, |method| {
            digest(bytes_of(method.state()))
        })
        .map_err(|error| error.to_string())
    }
}

/// Holds outputs against the recorded ones. Returns what differs.
pub(crate) fn compare_with_recorded(
    model: &str,
    isa: Isa,
    outputs: &Outputs,
) -> Result<Option<String>, String> {
    recorded::compare(&path(model, ""), target_name(isa), outputs)
}

/// Holds outputs of a file of ExecuTorch's compiler against the recorded ones, bit for bit. Returns what differs.
pub(crate) fn compare_upstream_with_recorded(
    model: &str,
    isa: Isa,
    outputs: &Outputs,
) -> Result<Option<String>, String> {
    recorded::compare_upstream(&path(model, ""), target_name(isa), outputs)
}

/// The samples of a float model in an archive: `input0`, `input1`, …
pub(crate) fn float_samples(archive: &Archive) -> Vec<Vec<Tensor>> {
    let arrays: Vec<&Array> =
        (0..).map_while(|index| archive.get(&format!("input{index}"))).collect();
    let count = arrays.first().map_or(0, |array| array.shape()[0]);
    let tensor = |array: &&Array, index: usize| {
        let bytes = array.item(index).unwrap_or_default();
        Tensor::new(array.shape()[1..].to_vec(), numbers(array.dtype(), bytes))
    };
    (0..count).map(|index| arrays.iter().map(|array| tensor(array, index)).collect()).collect()
}
