//! What `cortado profile` measures.

use serde::{Deserialize, Serialize};

/// One execution of a program on an emulated board: what `cortado profile --json` prints. Fields are only ever added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The core.
    pub cpu: String,
    /// The instruction set of the kernels.
    pub isa: String,
    /// The emulated board.
    pub board: String,
    /// Instructions of one execution.
    pub instructions: u64,
    /// Instructions of loading the program.
    pub load_instructions: u64,
    /// Multiply-accumulates of one execution.
    pub macs: u64,
    /// Stack that loading and executing used.
    pub stack_bytes: u64,
    /// The operators in execution order.
    pub operators: Vec<ProfiledOperator>,
}

/// An operator of a [`Profile`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfiledOperator {
    /// The operator.
    pub operator: String,
    /// The name of the first result, as far as the file has names.
    pub result: String,
    /// Instructions of one execution.
    pub instructions: u64,
    /// The share of the instructions of all operators.
    pub share: f64,
    /// Multiply-accumulates, 0 for operators without.
    pub macs: u64,
    /// `null` for operators without multiply-accumulates.
    pub instructions_per_mac: Option<f64>,
    /// Bytes of the constants that it reads.
    pub constant_bytes: u64,
    /// Bytes of the other tensors that it reads and writes.
    pub activation_bytes: u64,
}

/// A profile of another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherProgram {
    /// What differs.
    pub what: String,
}

impl std::fmt::Display for OtherProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the profile is of another program: {}", self.what)
    }
}

impl std::error::Error for OtherProgram {}

impl Profile {
    /// Holds the profile against a program's operators, in execution order, by name without the overload.
    ///
    /// # Errors
    /// The first difference.
    pub fn suits(&self, operators: &[&str]) -> Result<(), OtherProgram> {
        let (here, there) = (operators.len(), self.operators.len());
        if here != there {
            let what = format!("it has {there} operators, and this program has {here}");
            return Err(OtherProgram { what });
        }
        let pairs = operators.iter().zip(&self.operators).enumerate();
        for (index, (operator, profiled)) in pairs {
            let bare = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
            if bare(operator) != bare(&profiled.operator) {
                let what = format!(
                    "its operator {index} is {}, and this program's is {operator}",
                    profiled.operator
                );
                return Err(OtherProgram { what });
            }
        }
        Ok(())
    }
}
