//! `x-kubernetes-validations`: rules in CEL, compiled once with the schema they stand in.

pub mod compile;

/// One compiled expression.
#[derive(Debug)]
pub struct Program {
    #[expect(dead_code, reason = "evaluated by the walk that comes next")]
    program: kube_cel::cel::Program,
}
