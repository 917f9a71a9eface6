//! Random quantized models: compiled and executed on every instruction set, they stay within the bounds of their graph.

use cortado_contract::{Cpu, Target};
use cortado_trials::choices::Choices;
use cortado_trials::graphs;

#[test]
fn compiled_models_stay_within_their_bounds() {
    let (mut tried, mut unsupported, mut operators) = (0, 0, 0);
    for seed in 0..150 {
        let model = graphs::model(&mut Choices::seeded(seed));
        for cpu in [Cpu::M0, Cpu::M4, Cpu::M55] {
            tried += 1;
            let supported =
                std::panic::catch_unwind(|| graphs::try_model(&model, Target::new(cpu)));
            match supported {
                Ok(supported) => unsupported += usize::from(!supported),
                Err(_) => panic!("seed {seed} for {cpu}"),
            }
        }
        operators +=
            model.graph.nodes.iter().filter(|node| node.target.starts_with("aten")).count();
    }
    println!("{tried} compilations, {operators} operators, {unsupported} not supported");
    assert!(unsupported * 50 < tried, "{unsupported} of {tried} are not supported");
}

/// The bounds would show it: a bias that is lost, which is what this project began from, leaves them in most models that have one.
#[test]
fn a_lost_bias_leaves_the_bounds() {
    let target = Target::new(Cpu::M4);
    let (mut tried, mut noticed) = (0, 0);
    for seed in 0..60 {
        let model = graphs::model(&mut Choices::seeded(seed));
        let mut damaged = model.clone();
        for node in &mut damaged.graph.nodes {
            node.arguments.retain(|(name, _)| name != "bias");
        }
        if damaged
            .graph
            .nodes
            .iter()
            .zip(&model.graph.nodes)
            .all(|(a, b)| a.arguments == b.arguments)
        {
            continue;
        }
        let Ok(file) = graphs::compile(&damaged, target) else { continue };
        tried += 1;
        let found = graphs::outputs(&file, target, &model.inputs);
        noticed += usize::from(graphs::within(&found, &graphs::bounds(&model)).is_err());
    }
    println!("{noticed} of {tried} models without their biases are noticed");
    assert!(tried >= 10 && noticed * 2 > tried, "{noticed} of {tried}");
}
