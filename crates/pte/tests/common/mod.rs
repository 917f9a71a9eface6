//! What the tests of this crate share.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::PathBuf;

use cortado_pte::{Error, Instruction, Program, Value};

pub(crate) const UPSTREAM_FILES: [&str; 9] = [
    "tiny_linear-m55",
    "tiny_linear-m4",
    "tiny_linear-m0",
    "digits_mlp-m55",
    "digits_mlp-m4",
    "digits_mlp-m0",
    "digits_cnn-m55",
    "digits_cnn-m4",
    "digits_cnn-m0",
];

/// The bytes of a program that upstream made.
pub(crate) fn upstream(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/pte-upstream")
        .join(name)
        .with_extension("pte");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Things read without error.
    pub(crate) read: usize,
    /// All that was wrong.
    pub(crate) errors: Vec<Error>,
}

impl Walk {
    /// Calls every accessor on everything that `bytes` lead to, and goes on after errors.
    pub(crate) fn everything(bytes: &[u8]) -> Self {
        let mut walk = Self::default();
        if let Some(program) = walk.take(Program::parse(bytes)) {
            walk.program(&program);
        }
        walk
    }

    fn take<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => {
                self.read += 1;
                Some(value)
            }
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    /// Enough for any real file here, and an end for those where many references lead to one thing.
    fn tired(&self) -> bool {
        self.read + self.errors.len() > 20_000
    }

    fn list<T>(&mut self, items: impl IntoIterator<Item = Result<T, Error>>) -> Vec<T> {
        let mut list = Vec::new();
        for item in items {
            if self.tired() {
                break;
            }
            list.extend(self.take(item));
        }
        list
    }

    fn program(&mut self, program: &Program<'_>) {
        self.take(program.version());
        for (index, _) in program.segments().iter().enumerate().take(100) {
            self.take(program.segment(index as u32));
        }
        for index in 0..program.constant_offsets().len().min(100) as u32 {
            if index > 0 {
                self.take(program.constant(index));
            }
        }
        let inline = self.take(program.inline_constants());
        self.list(inline.iter().flat_map(|buffers| buffers.iter()));
        let inline = self.take(program.inline_delegate_data());
        self.list(inline.iter().flat_map(|buffers| buffers.iter()));
        let mutable = self.take(program.mutable_segments());
        for part in self.list(mutable.iter().flat_map(|parts| parts.iter())) {
            self.take(program.segment(part.segment_index));
            self.take(program.mutable_data(0, (part.offsets.len() as u32).wrapping_sub(1)));
        }
        let named = self.take(program.named_data());
        for entry in self.list(named.iter().flat_map(|entries| entries.iter())) {
            self.take(program.segment(entry.segment_index));
            if let Some(key) = self.take(entry.key.as_str()) {
                self.take(program.named(key));
            }
        }
        let plans = self.take(program.plans());
        for plan in self.list(plans.iter().flat_map(|plans| plans.iter())) {
            self.plan(program, &plan);
        }
    }

    fn plan(&mut self, program: &Program<'_>, plan: &cortado_pte::Plan<'_>) {
        let name = self.take(plan.name());
        if let Some(name) = name.and_then(|name| self.take(name.as_str())) {
            self.take(program.plan(name));
        }
        if let Some(Some(container)) = self.take(plan.container()) {
            self.take(container.inputs.as_str());
            self.take(container.outputs.as_str());
        }
        for indices in [plan.inputs(), plan.outputs()] {
            for index in self.take(indices).iter().flat_map(|indices| indices.iter()).take(100) {
                self.take(plan.value(index));
            }
        }
        for value in self.list(plan.values().iter()) {
            self.value(program, plan, value);
        }
        let operators = self.take(plan.operators());
        for operator in self.list(operators.iter().flat_map(|operators| operators.iter())) {
            self.take(operator.name.as_str());
            self.take(operator.overload.as_str());
        }
        let delegates = self.take(plan.delegates());
        for delegate in self.list(delegates.iter().flat_map(|delegates| delegates.iter())) {
            self.take(program.delegate_data(delegate.processed));
            self.list(delegate.compile_specs.iter());
        }
        if let Some(sizes) = self.take(plan.non_const_buffer_sizes()) {
            assert_eq!(sizes.iter().count(), sizes.len());
        }
        let devices = self.take(plan.non_const_buffer_devices());
        self.list(devices.iter().flat_map(|devices| devices.iter()));
        let chains = self.take(plan.chains());
        for chain in self.list(chains.iter().flat_map(|chains| chains.iter())) {
            self.chain(plan, &chain);
        }
    }

    fn value(&mut self, program: &Program<'_>, plan: &cortado_pte::Plan<'_>, value: Value<'_>) {
        match value {
            Value::Tensor(tensor) => self.tensor(program, &tensor),
            Value::IntList(items) => {
                self.list(plan.ints(items));
            }
            Value::TensorList(items) => {
                self.list(items.iter().map(|index| plan.tensor(index)));
            }
            Value::OptionalTensorList(items) => {
                self.list(items.iter().map(|index| plan.optional_tensor(index)));
            }
            Value::String(text) => {
                self.take(text.as_str());
            }
            Value::DoubleList(items) => assert_eq!(items.iter().count(), items.len()),
            Value::BoolList(items) => assert_eq!(items.iter().count(), items.len()),
            Value::Null | Value::Int(_) | Value::Bool(_) | Value::Double(_) => {}
        }
    }

    fn tensor(&mut self, program: &Program<'_>, tensor: &cortado_pte::Tensor<'_>) {
        self.take(tensor.scalar_type());
        self.take(tensor.storage_offset());
        if let Some(sizes) = self.take(tensor.sizes()) {
            assert_eq!(sizes.iter().count(), sizes.len());
        }
        self.take(tensor.dim_order());
        self.take(tensor.requires_grad());
        self.take(tensor.allocation());
        self.take(tensor.layout());
        self.take(tensor.shape_dynamism());
        self.take(tensor.extra_tensor_info());
        match self.take(tensor.storage()) {
            Some(cortado_pte::Storage::Constant { buffer }) => {
                self.take(program.constant(buffer));
            }
            Some(cortado_pte::Storage::Initialized { segment, buffer, .. }) => {
                self.take(program.mutable_data(segment, buffer));
            }
            _ => {}
        }
    }

    fn chain(&mut self, plan: &cortado_pte::Plan<'_>, chain: &cortado_pte::Chain<'_>) {
        self.take(chain.inputs());
        self.take(chain.outputs());
        let trace = self.take(chain.stacktrace());
        for frames in self.list(trace.iter().flat_map(|trace| trace.iter())) {
            self.list(frames.frames.iter());
        }
        let instructions = self.take(chain.instructions());
        for instruction in self.list(instructions.iter().flat_map(|list| list.iter())) {
            match instruction {
                Instruction::KernelCall { op_index, args } => {
                    self.take(plan.operator(op_index));
                    self.list(args.iter().map(|index| plan.value(index)));
                }
                Instruction::DelegateCall { args, .. } => {
                    self.list(args.iter().map(|index| plan.value(index)));
                }
                Instruction::MoveCall { move_from, move_to } => {
                    self.take(plan.value(move_from));
                    self.take(plan.value(move_to));
                }
                Instruction::JumpFalseCall { cond_value_index, .. } => {
                    self.take(plan.value(cond_value_index));
                }
                Instruction::FreeCall { value_index } => {
                    self.take(plan.value(value_index));
                }
            }
        }
    }
}
