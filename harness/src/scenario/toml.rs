//! TOML with positions: a table that is taken apart word by word, so that every error names file, line, column and the nearest
//! valid word.

use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// An error in a scenario file.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct ScenarioError {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and the nearest remedy.
    pub message: String,
}

/// A message at a place in the text, not yet bound to a file.
#[derive(Debug)]
pub(crate) struct At {
    pub span: Range<usize>,
    pub message: String,
}

impl At {
    pub fn new(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self { span: span.clone(), message: message.into() }
    }

    /// Line and column of the place, counted in `text`.
    pub fn in_file(self, file: &str, text: &str) -> ScenarioError {
        let before = text.get(..self.span.start.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        ScenarioError {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: self.message,
        }
    }
}

/// Result of everything that reads a scenario.
pub(crate) type Parse<T> = Result<T, At>;

/// `unknown WHAT "word"`, with the nearest valid word, or all of them where there are few.
pub(crate) fn unknown<'a>(
    span: &Range<usize>,
    what: &str,
    word: &str,
    valid: impl IntoIterator<Item = &'a str>,
) -> At {
    let valid: Vec<&str> = valid.into_iter().collect();
    let best = valid
        .iter()
        .map(|v| (strsim::damerau_levenshtein(&word.to_lowercase(), &v.to_lowercase()), *v))
        .min()
        .filter(|(distance, v)| *distance <= 2.max(v.len() / 3));
    let hint = match best {
        Some((_, nearest)) => format!("; did you mean \"{nearest}\"?"),
        None if valid.len() <= 12 => format!("; valid: {}", valid.join(", ")),
        None => String::new(),
    };
    At::new(span, format!("unknown {what} \"{word}\"{hint}"))
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Value<'a> {
    pub span: Range<usize>,
    pub value: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    pub fn of(spanned: &'a Spanned<DeValue<'a>>) -> Self {
        Self { span: spanned.span(), value: spanned.get_ref() }
    }

    fn expected<T>(&self, what: &str) -> Parse<T> {
        Err(At::new(&self.span, format!("expected {what}, found {}", self.value.type_str())))
    }

    pub fn str(&self) -> Parse<&'a str> {
        match self.value.as_str() {
            Some(s) => Ok(s),
            None => self.expected("a string"),
        }
    }

    pub fn bool(&self) -> Parse<bool> {
        match self.value.as_bool() {
            Some(b) => Ok(b),
            None => self.expected("true or false"),
        }
    }

    /// A non-negative TOML integer; `None` if the value is no integer.
    pub fn integer(&self) -> Parse<Option<u64>> {
        let Some(n) = self.value.as_integer() else { return Ok(None) };
        match u64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => Ok(Some(n)),
            Err(_) => Err(At::new(&self.span, format!("{} is not between 0 and 2^64-1", n.as_str()))),
        }
    }

    pub fn array(&self) -> Parse<Vec<Value<'a>>> {
        match self.value.as_array() {
            Some(a) => Ok(a.iter().map(Value::of).collect()),
            None => self.expected("an array"),
        }
    }

    /// One value or an array of them.
    pub fn one_or_many(&self) -> Vec<Value<'a>> {
        match self.value.as_array() {
            Some(a) => a.iter().map(Value::of).collect(),
            None => vec![self.clone()],
        }
    }

    pub fn table(&self) -> Parse<Table<'a>> {
        match self.value.as_table() {
            Some(t) => Ok(Table::new(t, self.span.clone())),
            None => self.expected("a table"),
        }
    }
}

/// A table whose keys are taken one by one; [`Table::finish`] complains about what is left.
pub(crate) struct Table<'a> {
    pub span: Range<usize>,
    left: Vec<(Range<usize>, &'a str, Value<'a>)>,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub fn new(table: &'a DeTable<'a>, span: Range<usize>) -> Self {
        let mut left: Vec<_> =
            table.iter().map(|(k, v)| (k.span(), k.get_ref().as_ref(), Value::of(v))).collect();
        left.sort_by_key(|(span, ..)| span.start); // as written
        Self { span, left, known: Vec::new() }
    }

    /// The value of that key, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let n = self.left.iter().position(|(_, k, _)| *k == key)?;
        Some(self.left.remove(n).2)
    }

    /// The value of a key that must be there.
    pub fn need(&mut self, key: &'static str) -> Parse<Value<'a>> {
        let span = self.span.clone();
        self.take(key).ok_or_else(|| At::new(&span, format!("\"{key}\" is missing")))
    }

    /// All keys in the order in which they are written, for tables whose keys are names of things.
    pub fn entries(self) -> Vec<(Range<usize>, &'a str, Value<'a>)> {
        self.left
    }

    /// Nothing may be left.
    pub fn finish(self, what: &str) -> Parse<()> {
        match self.left.first() {
            None => Ok(()),
            Some((span, key, _)) => Err(unknown(span, &format!("word in {what}"), key, self.known)),
        }
    }
}
