//! Where everything that is wrong with a configuration is gathered while its files are read.

use std::cell::RefCell;

use super::{problem::Problem, source::At};

/// Where problems are gathered while the files are read.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    errors: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
}

/// A problem and what it is sorted by: the file's place in the order of reading, and the offset.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    order: (usize, usize),
    problem: Problem,
}

impl Findings {
    /// Notes a mistake with its way out.
    pub(crate) fn error(&self, at: At<'_>, message: impl Into<String>, hint: impl Into<String>) {
        self.errors.borrow_mut().push(Finding::new(at, message.into(), Some(hint.into())));
    }

    /// Notes a mistake in the environment, which has no place in a file.
    pub(crate) fn of_environment(&self, message: String, hint: impl Into<String>) {
        let problem = Problem {
            file: "environment".to_owned(),
            line: None,
            column: None,
            message,
            hint: Some(hint.into()),
        };
        self.errors.borrow_mut().push(Finding { order: (0, 0), problem });
    }

    /// Notes a mistake whose words already say the way out.
    pub(crate) fn plain_error(&self, at: At<'_>, message: impl Into<String>) {
        self.errors.borrow_mut().push(Finding::new(at, message.into(), None));
    }

    /// Notes something that works but is probably not what was meant.
    pub(crate) fn warning(&self, at: At<'_>, message: impl Into<String>, hint: impl Into<String>) {
        self.warnings.borrow_mut().push(Finding::new(at, message.into(), Some(hint.into())));
    }

    /// How many mistakes were noted so far: equal counts before and after mean "all was well".
    pub(crate) fn count(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Where the mistakes and warnings noted so far end.
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.errors.borrow().len(), self.warnings.borrow().len())
    }

    /// Takes the mistakes out that were noted since, and drops the warnings.
    pub(crate) fn take_since(&self, (errors, warnings): (usize, usize)) -> Vec<Problem> {
        self.warnings.borrow_mut().truncate(warnings);
        let mut all = self.errors.borrow_mut();
        let errors = errors.min(all.len());
        all.drain(errors..).map(|found| found.problem).collect()
    }

    /// The mistakes and the warnings, each in the order of the files and without repetitions.
    pub(crate) fn into_lists(self) -> (Vec<Problem>, Vec<Problem>) {
        (in_order(self.errors), in_order(self.warnings))
    }
}

impl Finding {
    fn new(at: At<'_>, message: String, hint: Option<String>) -> Self {
        let (line, column) = at.line_and_column();
        Self {
            order: at.order(),
            problem: Problem {
                file: at.file().to_owned(),
                line: Some(line),
                column: Some(column),
                message,
                hint,
            },
        }
    }
}

fn in_order(found: RefCell<Vec<Finding>>) -> Vec<Problem> {
    let mut found = found.into_inner();
    found.sort_by_key(|found| found.order);
    found.dedup();
    found.into_iter().map(|found| found.problem).collect()
}
