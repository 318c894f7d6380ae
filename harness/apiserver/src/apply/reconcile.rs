//! Field sets that were written under an older schema.
//!
//! When a list or map that was merged becomes atomic, whoever owned a part of it owns the whole of it.

use super::path::Step;
use super::set::FieldSet;
use super::shape::{Form, Shape};

/// The set as the schema of today has it; none if nothing is to be changed.
pub(super) fn reconcile(set: &FieldSet, shape: Shape<'_>) -> Option<FieldSet> {
    let mut walk = Walk { path: Vec::new(), atomic: FieldSet::default() };
    walk.set(set, shape, false);
    (!walk.atomic.is_empty()).then(|| set.recursive_difference(&walk.atomic).union(&walk.atomic))
}

struct Walk {
    path: Vec<Step>,
    /// What is to be owned as a whole.
    atomic: FieldSet,
}

impl Walk {
    fn set(&mut self, set: &FieldSet, shape: Shape<'_>, whole: bool) {
        match shape.form(None) {
            // Made-up types do not change.
            _ if matches!(shape, Shape::Deduced | Shape::Atomic) => {}
            Form::Scalar(_) => {}
            Form::AtomicList | Form::AtomicMap => {
                if !whole && !set.is_empty() {
                    self.atomic.insert(&self.path);
                }
            }
            Form::List(_) => self.below(set, |_| Some(shape.items())),
            Form::Map => self.below(set, |step| match step {
                Step::Field(name) => shape.field(name),
                _ => None,
            }),
        }
    }

    fn below<'a>(&mut self, set: &FieldSet, shape: impl Fn(&Step) -> Option<Shape<'a>>) {
        for node in set.nodes() {
            let Some(shape) = shape(&node.step) else { continue };
            self.path.push(node.step.clone());
            self.set(&node.children, shape, node.member && node.children.is_empty());
            self.path.pop();
        }
    }
}
