//! The command line as the host gives it: words of `key=value`, separated by one space.

/// The words of a command line.
#[derive(Clone, Copy)]
pub struct Arguments<'a> {
    line: &'a str,
}

impl<'a> Arguments<'a> {
    /// Takes a command line apart; nothing in it can be wrong yet.
    pub fn new(line: &'a str) -> Self {
        Arguments { line }
    }

    /// Every word, in order.
    pub fn words(self) -> impl Iterator<Item = &'a str> {
        self.line.split_ascii_whitespace()
    }

    /// The value of the first word `key=value`.
    pub fn value(self, key: &str) -> Option<&'a str> {
        self.words().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    /// The value of the first word `key=value` as a decimal number; `Err` holds a value that is none.
    pub fn number(self, key: &str) -> Result<Option<usize>, &'a str> {
        self.value(key).map(|value| value.parse().map_err(|_| value)).transpose()
    }
}
