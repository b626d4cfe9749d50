//! Where in a document a value is: written out only for those who must be told.
//!
//! The names on the way are a client's and may be long, and a document has many values: a text for each
//! of them would cost the product of both.

use std::fmt;

/// Characters of a name that are shown.
const NAME_CHARACTERS_MAX: usize = 100;

/// The way from the root of a document to a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    parent: Option<&'a Self>,
    step: Step<'a>,
    depth: usize,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Item(usize),
}

impl<'a> Path<'a> {
    /// The document itself.
    pub(super) const ROOT: Self = Self {
        parent: None,
        step: Step::Root,
        depth: 0,
    };

    /// A field of the object here.
    pub(super) const fn field(&'a self, name: &'a str) -> Self {
        self.below(Step::Field(name))
    }

    /// An item of the array here.
    pub(super) const fn item(&'a self, index: usize) -> Self {
        self.below(Step::Item(index))
    }

    /// How many objects and arrays are around the value.
    pub(super) const fn depth(&self) -> usize {
        self.depth
    }

    const fn below(&'a self, step: Step<'a>) -> Self {
        Self {
            parent: Some(self),
            step,
            depth: self.depth + 1,
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else { return Ok(()) };
        parent.fmt(f)?;
        match self.step {
            Step::Root => Ok(()),
            Step::Item(index) => write!(f, "[{index}]"),
            Step::Field(name) => {
                if parent.depth > 0 {
                    f.write_str(".")?;
                }
                write!(f, "{}", Shown(name))
            }
        }
    }
}

/// A name, cut when it is long.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(NAME_CHARACTERS_MAX) {
            Some((end, _)) => write!(f, "{}...", &self.0[..end]),
            None => f.write_str(self.0),
        }
    }
}
