//! Handwritten digits from the test set of the UCI optical recognition data (CC BY 4.0), on which the model was not trained.

/// A digit of 8×8 pixels.
pub struct Sample {
    /// What it is.
    pub digit: u8,
    /// Its rows from top to bottom. A pixel is a number in base 17: from `0`, paper, to `g`, ink.
    pub rows: [&'static str; 8],
}

/// One sample of each digit, and two that the model gets wrong.
#[rustfmt::skip]
pub static SAMPLES: [Sample; 12] = [
    Sample {
        digit: 0,
        rows: [
            "005dd500", "00ggaf30", "05g21840", "04d00480",
            "08c00670", "05f00770", "00g85f30", "005ef900",
        ],
    },
    Sample {
        digit: 1,
        rows: [
            "0000bc00", "0003fe00", "000bgb00", "009gga00",
            "04gcgc00", "03a3gb00", "0000ge00", "0000bb00",
        ],
    },
    Sample {
        digit: 2,
        rows: [
            "003dc200", "00edfb00", "00708f00", "0000d600",
            "0003g400", "000db000", "003gc810", "003gb800",
        ],
    },
    Sample {
        digit: 3,
        rows: [
            "02bgf200", "0cfcg400", "0336g200", "002fc000",
            "003ggc10", "00016fa0", "006c8eb0", "01gggb30",
        ],
    },
    Sample {
        digit: 4,
        rows: [
            "0007f100", "000fg100", "009gg200", "02ggg000",
            "0agggg80", "08ffe850", "000bc000", "0006f100",
        ],
    },
    Sample {
        digit: 5,
        rows: [
            "03fdc810", "04gecc20", "00g40000", "00c90000",
            "007g3000", "000e8000", "005fa000", "02fg2000",
        ],
    },
    Sample {
        digit: 6,
        rows: [
            "0008f200", "006g5000", "00c80000", "00d60000",
            "00ccge00", "00ef68b0", "03ce5ad0", "0009gd50",
        ],
    },
    Sample {
        digit: 7,
        rows: [
            "007f6000", "002ef200", "0005g600", "0005g920",
            "05egfb40", "057cb000", "004f1000", "00ab0000",
        ],
    },
    Sample {
        digit: 8,
        rows: [
            "005ef200", "00de9a00", "00f82f30", "00bc9e20",
            "007ge200", "00deg400", "03f8ea00", "006gg800",
        ],
    },
    Sample {
        digit: 9,
        rows: [
            "00bg8000", "06gbd900", "07g09g00", "02fcgg30",
            "00577g40", "00005g50", "0037gb00", "00dgb100",
        ],
    },
    Sample {
        digit: 5,
        rows: [
            "006d2000", "04gggb00", "00cb1610", "00cea200",
            "0018cc00", "00009e00", "0049g500", "009e4000",
        ],
    },
    Sample {
        digit: 7,
        rows: [
            "02fg5000", "004b9000", "000d7210", "018gega0",
            "0agf7100", "00e80000", "01g30000", "02f10000",
        ],
    },
];
