//! Sets of fields: who owns what, what changed, what is to be removed.
//!
//! A set is a tree of sorted nodes. A field may be in the set without its children and the other way round; a node that
//! is neither is never kept, so that two sets are equal exactly if their trees are. Subtrees are shared between sets:
//! union, intersection and difference walk both trees once and copy only what they change.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::path::{Step, StepError};

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    nodes: Vec<Node>,
}

/// One field: whether it is in the set itself, and which of its children are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) step: Step,
    pub(super) member: bool,
    pub(super) children: Arc<FieldSet>,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

/// Why `FieldsV1` cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Something other than an object where one was due.
    #[error("a set of fields must be an object")]
    NotAnObject,
    /// A key that is no step.
    #[error("a key is no path element")]
    Step(#[source] StepError),
}

impl FieldSet {
    /// A set of these paths.
    pub fn of(paths: &[&[Step]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert(path);
        }
        set
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many fields are in the set.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|n| usize::from(n.member) + n.children.len()).sum()
    }

    /// Puts the field at `path` into the set, but none of its parents. The empty path is no field.
    pub fn insert(&mut self, path: &[Step]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.node_mut(first);
        if rest.is_empty() {
            node.member = true;
        } else {
            Arc::make_mut(&mut node.children).insert(rest);
        }
    }

    /// Whether the field at `path` is in the set.
    pub fn has(&self, path: &[Step]) -> bool {
        match path {
            [] => false,
            [last] => self.node(last).is_some_and(|n| n.member),
            [first, rest @ ..] => self.node(first).is_some_and(|n| n.children.has(rest)),
        }
    }

    /// Fields that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Left(node) | Pair::Right(node) => Some(node.clone()),
            Pair::Both(a, b) => Some(Node {
                step: a.step.clone(),
                member: a.member || b.member,
                children: if Arc::ptr_eq(&a.children, &b.children) || b.children.is_empty() {
                    a.children.clone()
                } else if a.children.is_empty() {
                    b.children.clone()
                } else {
                    Arc::new(a.children.union(&b.children))
                },
            }),
        })
    }

    /// Fields that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Both(a, b) => Some(Node {
                step: a.step.clone(),
                member: a.member && b.member,
                children: Arc::new(a.children.intersection(&b.children)),
            }),
            Pair::Left(_) | Pair::Right(_) => None,
        })
    }

    /// Fields that are in this set but not in the other. A parent in the other does not take its children along.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Left(node) => Some(node.clone()),
            Pair::Right(_) => None,
            Pair::Both(a, b) => Some(Node {
                step: a.step.clone(),
                member: a.member && !b.member,
                children: if b.children.is_empty() {
                    a.children.clone()
                } else {
                    Arc::new(a.children.difference(&b.children))
                },
            }),
        })
    }

    /// As [`FieldSet::difference`], but a field in the other set takes all its children along.
    #[must_use]
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            Pair::Left(node) => Some(node.clone()),
            Pair::Right(_) => None,
            Pair::Both(_, b) if b.member => None,
            Pair::Both(a, b) => Some(Node {
                step: a.step.clone(),
                member: a.member,
                children: Arc::new(a.children.recursive_difference(&b.children)),
            }),
        })
    }

    /// The children of the field `step`; none if none of them is in the set.
    pub fn children(&self, step: &Step) -> Option<&Self> {
        self.node(step).map(|n| n.children.as_ref()).filter(|c| !c.is_empty())
    }

    /// The paths of all fields in the set, parents before their children.
    pub fn paths(&self) -> Vec<Vec<Step>> {
        let mut out = Vec::new();
        self.collect_paths(&mut Vec::new(), &mut out);
        out
    }

    /// Reads `FieldsV1`. What a later version of Kubernetes may have written is skipped.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(fields: &Value) -> Result<Self, DecodeError> {
        let Value::Object(fields) = fields else { return Err(DecodeError::NotAnObject) };
        let mut set = Self::default();
        for (key, value) in fields.iter().filter(|(key, _)| *key != ".") {
            let step = match Step::decode(key) {
                Ok(step) => step,
                Err(StepError::Unknown) => continue,
                Err(error) => return Err(DecodeError::Step(error)),
            };
            let children = Self::decode(value)?;
            let member = children.is_empty() || value.get(".").is_some();
            set.nodes.push(Node { step, member, children: Arc::new(children) });
        }
        // Nearly sorted already; a key written in two spellings stands twice.
        set.nodes.sort_by(|a, b| a.step.cmp(&b.step));
        set.nodes.dedup_by(|later, first| {
            let same = later.step == first.step;
            if same {
                first.member |= later.member;
                first.children = Arc::new(first.children.union(&later.children));
            }
            same
        });
        Ok(set)
    }

    /// Writes `FieldsV1`.
    pub fn encode(&self) -> Value {
        Value::Object(self.encode_nodes())
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A set of nodes that are already sorted; empty ones are left out.
    pub(super) fn from_sorted(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self { nodes: nodes.into_iter().filter(|n| !n.is_empty()).collect() }
    }

    fn encode_nodes(&self) -> Map<String, Value> {
        let encode = |node: &Node| {
            let mut children = node.children.encode_nodes();
            if node.member && !children.is_empty() {
                children.insert(".".to_owned(), Value::Object(Map::new()));
            }
            (node.step.encode(), Value::Object(children))
        };
        self.nodes.iter().map(encode).collect()
    }

    fn node(&self, step: &Step) -> Option<&Node> {
        self.nodes.binary_search_by(|n| n.step.cmp(step)).ok().and_then(|at| self.nodes.get(at))
    }

    fn node_mut(&mut self, step: &Step) -> &mut Node {
        // Walkers insert in order most of the time.
        let at = if self.nodes.last().is_none_or(|n| n.step < *step) {
            Err(self.nodes.len())
        } else {
            self.nodes.binary_search_by(|n| n.step.cmp(step))
        };
        let at = at.unwrap_or_else(|at| {
            self.nodes.insert(at, Node { step: step.clone(), member: false, children: Arc::default() });
            at
        });
        &mut self.nodes[at]
    }

    fn collect_paths(&self, prefix: &mut Vec<Step>, out: &mut Vec<Vec<Step>>) {
        for node in &self.nodes {
            prefix.push(node.step.clone());
            if node.member {
                out.push(prefix.clone());
            }
            node.children.collect_paths(prefix, out);
            prefix.pop();
        }
    }

    /// Walks both sets in order; what `keep` makes of each node is the result.
    fn zip(&self, other: &Self, mut keep: impl FnMut(Pair<'_>) -> Option<Node>) -> Self {
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        let mut nodes = Vec::with_capacity(self.nodes.len());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.step.cmp(&b.step),
            };
            let node = match order {
                Ordering::Less => left.next().and_then(|a| keep(Pair::Left(a))),
                Ordering::Greater => right.next().and_then(|b| keep(Pair::Right(b))),
                Ordering::Equal => left.next().zip(right.next()).and_then(|(a, b)| keep(Pair::Both(a, b))),
            };
            nodes.extend(node.filter(|n| !n.is_empty()));
        }
        Self { nodes }
    }
}

enum Pair<'a> {
    Left(&'a Node),
    Right(&'a Node),
    Both(&'a Node, &'a Node),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            "[a-c]".prop_map(|s| Step::field(&s)),
            ("[ab]", 0..3_i64).prop_map(|(n, v)| Step::key(vec![(n, json!(v))])),
            "[a-c<]".prop_map(|s| Step::Value(Arc::new(json!(s)))),
            (0..3_i64).prop_map(Step::Index),
        ]
    }

    type Paths = BTreeSet<Vec<Step>>;

    fn paths() -> impl Strategy<Value = Paths> {
        prop::collection::btree_set(prop::collection::vec(step(), 1..4), 0..12)
    }

    fn set(paths: &Paths) -> FieldSet {
        let mut set = FieldSet::default();
        for path in paths {
            set.insert(path);
        }
        set
    }

    fn listed(set: &FieldSet) -> Paths {
        set.paths().into_iter().collect()
    }

    proptest! {
        #[test]
        fn sets_of_fields_behave_as_sets_of_paths(a in paths(), b in paths()) {
            let (x, y) = (set(&a), set(&b));
            prop_assert_eq!(listed(&x), a.clone());
            prop_assert_eq!(x.len(), a.len());
            prop_assert_eq!(&x.union(&y), &set(&a.union(&b).cloned().collect()));
            prop_assert_eq!(&x.intersection(&y), &set(&a.intersection(&b).cloned().collect()));
            prop_assert_eq!(&x.difference(&y), &set(&a.difference(&b).cloned().collect()));
            prop_assert!(a.iter().all(|p| x.has(p)));
        }

        #[test]
        fn the_recursive_difference_leaves_nothing_below_what_it_removes(a in paths(), b in paths()) {
            let below = |p: &Vec<Step>| (1..=p.len()).any(|n| b.contains(&p[..n]));
            let want: Paths = a.iter().filter(|p| !below(p)).cloned().collect();
            prop_assert_eq!(listed(&set(&a).recursive_difference(&set(&b))), want);
        }

        #[test]
        fn a_set_survives_being_stored(a in paths()) {
            let x = set(&a);
            prop_assert_eq!(FieldSet::decode(&x.encode()), Ok(x));
        }
    }

    #[test]
    fn a_parent_that_is_owned_itself_is_marked_by_a_dot() {
        let (data, x) = (Step::field("data"), Step::field("x"));
        let set = FieldSet::of(&[std::slice::from_ref(&data), &[data.clone(), x]]);
        assert_eq!(set.encode(), json!({"f:data": {".": {}, "f:x": {}}}));
    }

    #[test]
    fn what_a_later_kubernetes_wrote_is_skipped_and_what_is_broken_is_refused() {
        assert_eq!(FieldSet::decode(&json!({"z:new": {}, "f:a": {}})), Ok(FieldSet::of(&[&[Step::field("a")]])));
        assert_eq!(FieldSet::decode(&json!({"f:a": 1})), Err(DecodeError::NotAnObject));
        assert_eq!(FieldSet::decode(&json!({"a": {}})), Err(DecodeError::Step(StepError::Malformed)));
    }
}
