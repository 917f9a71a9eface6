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
