//! Structured corruption: every mutant of a valid program is refused, or computes what it says.

use cortado_contract::Cpu;
use cortado_trials::mutants::{Counts, answers, judge, mutants};
use cortado_trials::valid::valid_programs;

/// Tries every `step`-th mutant of every program.
fn try_all(step: usize) {
    // Panics are verdicts here, and their messages would drown the others.
    std::panic::set_hook(Box::new(|_| {}));
    let mut counts = Counts::default();
    for (index, (name, file)) in
        valid_programs(&[Cpu::M0, Cpu::M4, Cpu::M55]).into_iter().enumerate()
    {
        let expected = answers(&file);
        for mutant in mutants(&file, index, step) {
            counts.add(&format!("{name}, {}", mutant.what), &judge(&mutant.file, &expected));
        }
    }
    let _ = std::panic::take_hook();
    let Counts { tried, refused, harmless, another_program, not_tried, wrong } = &counts;
    println!(
        "mutants: {tried} tried, {refused} refused, {harmless} harmless, {another_program} another program that is computed as the \
         contract says, {} wrong; {not_tried} too large to try",
        wrong.len()
    );
    let shown: Vec<&String> = wrong.iter().take(20).collect();
    assert!(wrong.is_empty(), "{} are wrong: {shown:#?}", wrong.len());
    assert!(
        refused * 2 > *tried && harmless + another_program > 0,
        "the mutants are too tame or too wild"
    );
}

#[test]
fn a_sample_of_mutants_is_refused_or_right() {
    try_all(23);
}

#[test]
#[ignore = "takes minutes; cargo xtask test --full runs it"]
fn every_mutant_is_refused_or_right() {
    try_all(1);
}
