//! The constant terms of linear layers, and what of a file contradicts itself.

use crate::lift::Lifted;
use crate::lowered::{Lowered, LoweredDomain};
use crate::retarget::{Layer, int32s, shares};
use cortado_contract::ops::Operator;
use cortado_contract::{ConstantForm, Isa};
use serde::Serialize;

/// Which constant terms a linear layer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// A bias only.
    Bias,
    /// A kernel sum only.
    KernelSum,
    /// None: a bias of zero for kernels that read biases; for those that read kernel sums something is missing.
    Neither,
    /// Both; which one counts depends on the kernels.
    Both,
}

impl Term {
    /// The term of an operator, `None` unless it is a linear layer.
    pub fn of(operator: &Operator<LoweredDomain>) -> Option<Term> {
        let layer = Layer::of(operator)?;
        Some(match (layer.bias.is_some(), layer.kernel_sum.is_some()) {
            (true, true) => Term::Both,
            (true, false) => Term::Bias,
            (false, true) => Term::KernelSum,
            (false, false) => Term::Neither,
        })
    }

    /// The name, as in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Term::Bias => "bias",
            Term::KernelSum => "kernel_sum",
            Term::Neither => "neither bias nor kernel_sum",
            Term::Both => "both bias and kernel_sum",
        }
    }
}

/// Every contradiction in a program, as sentences: a layer with both terms, layers of different forms in one program, a stamp that its
/// own layers or scratch buffers deny. Such a program is never run.
pub fn contradictions(lifted: &Lifted) -> Vec<String> {
    let mut found = Vec::new();
    // The first layer of each form.
    let mut firsts: [Option<usize>; 2] = [None, None];
    for (index, call) in lifted.program.calls.iter().enumerate() {
        let name = call.operator.kind().name();
        let Some(term) = Term::of(&call.operator) else { continue };
        if term == Term::Both {
            found.push(format!(
                "instruction {index}, {name}: {}",
                both(&lifted.program, &call.operator)
            ));
            continue;
        }
        let form =
            if term == Term::KernelSum { ConstantForm::KernelSum } else { ConstantForm::Bias };
        match lifted.stamp {
            Some(stamp) if stamp.constant_form != form => found.push(format!(
                "instruction {index}, {name}: it has {}, and the stamp says {}, whose kernels read {}",
                term.name(),
                stamp.target,
                stamp.constant_form
            )),
            _ => {
                let _ = firsts[form as usize].get_or_insert(index);
            }
        }
    }
    if let [Some(a), Some(b)] = firsts {
        found.push(format!(
            "instructions {} and {}: one layer has a kernel_sum and the other has none, and no kernels read both forms",
            a.min(b),
            a.max(b)
        ));
    }
    if let Some(stamp) = lifted.stamp {
        found.extend(
            small_scratch(lifted, stamp.target.isa())
                .map(|what| format!("{what} of the stamp's {} kernels", stamp.target.isa())),
        );
    }
    found
}

/// The scratch buffers that are smaller than the rule of an instruction set.
fn small_scratch(lifted: &Lifted, isa: Isa) -> impl Iterator<Item = String> {
    let calls = lifted.program.calls.iter().enumerate();
    calls.filter_map(move |(index, call)| {
        let scratch = super::scratch::Scratch::of(&call.operator)?;
        let rule = scratch.rule(isa);
        let position = (0..scratch.bytes.len()).find(|at| scratch.bytes[*at] < rule[*at])?;
        Some(format!(
            "instruction {index}, {}: its scratch buffer has {} bytes, less than the {}",
            call.operator.kind().name(),
            scratch.bytes[position],
            rule[position]
        ))
    })
}

/// What is wrong with a layer that has both terms.
fn both(program: &Lowered, operator: &Operator<LoweredDomain>) -> String {
    let agree = Layer::of(operator).and_then(|layer| agreement(program, &layer));
    let what = match agree {
        Some(Ok(())) => "they agree, so one of them is a redundant copy".to_owned(),
        Some(Err(Disagreement { feature, kernel_sum, meant })) => format!(
            "they contradict each other: kernel_sum of output feature {feature} is {kernel_sum}, and the bias makes it {meant}"
        ),
        None => {
            "they cannot be compared, because they are no constants that fit the weights".to_owned()
        }
    };
    format!("it has both bias and kernel_sum; {what}")
}

/// Where both terms of a layer differ.
struct Disagreement {
    feature: usize,
    kernel_sum: i32,
    meant: i32,
}

/// Whether both terms of a layer mean the same; `None` where they cannot be compared.
fn agreement(program: &Lowered, layer: &Layer<'_>) -> Option<Result<(), Disagreement>> {
    let bias = int32s(program, layer.bias.as_ref()?)?;
    let sums = int32s(program, layer.kernel_sum.as_ref()?)?;
    let shares = shares(program, layer.weights, layer.input_offset, layer.filter_offset)?;
    if bias.len() != shares.len() || sums.len() != shares.len() {
        return None;
    }
    let differs = sums.iter().zip(shares.iter().zip(&bias)).enumerate().find_map(
        |(feature, (sum, (share, bias)))| {
            let meant = share.wrapping_add(*bias);
            (meant != *sum).then_some(Disagreement { feature, kernel_sum: *sum, meant })
        },
    );
    Some(differs.map_or(Ok(()), Err))
}

/// Whether a layer with both terms computes the same whichever is read.
pub(super) fn terms_agree(program: &Lowered, operator: &Operator<LoweredDomain>) -> bool {
    let agree = Layer::of(operator).and_then(|layer| agreement(program, &layer));
    matches!(agree, Some(Ok(())))
}
