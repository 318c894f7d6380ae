//! The `authorizer` variable: expressions ask what whoever makes the request, or a service account, may do.
//!
//! `authorizer.group('apps').resource('deployments').namespace('default').check('get').allowed()` is a chain of values,
//! each of which narrows the question; `check` answers it by the roles in the store.

use std::sync::Arc;

use kube_cel::cel::extractors::{Arguments, This};
use kube_cel::cel::objects::Opaque;
use kube_cel::cel::{Context, ExecutionError, ResolveResult, Value as Cel};

use super::attributes::Attributes;
use crate::access::{self, User, rbac};
use crate::service::ApiServer;

/// How far a question has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Authorizer,
    Path,
    Group,
    Resource,
    /// It is answered, and why.
    Decision(bool, String),
}

/// A question about rights.
#[derive(Clone, Debug)]
struct Question {
    server: ApiServer,
    user: Arc<User>,
    about: access::Attributes,
    stage: Stage,
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user && self.about == other.about && self.stage == other.stage
    }
}

impl Eq for Question {}

impl Opaque for Question {
    fn runtime_type_name(&self) -> &'static str {
        match self.stage {
            Stage::Authorizer => "kubernetes.authorization.Authorizer",
            Stage::Path => "kubernetes.authorization.PathCheck",
            Stage::Group => "kubernetes.authorization.GroupCheck",
            Stage::Resource => "kubernetes.authorization.ResourceCheck",
            Stage::Decision(..) => "kubernetes.authorization.Decision",
        }
    }
}

/// The variable, for whoever makes a request.
pub(super) fn variable(server: &ApiServer, about: &Attributes) -> Cel {
    let (server, user) = (server.clone(), Arc::clone(&about.user));
    Cel::Opaque(Arc::new(Question { server, user, about: access::Attributes::default(), stage: Stage::Authorizer }))
}

/// Adds the functions of the variable.
pub(super) fn register(context: &mut Context<'_>) {
    context.add_function("path", |this: This<Cel>, arguments: Arguments| {
        step(&this.0, &arguments.0, "path", &Stage::Authorizer, |question, path| {
            question.about.path = Some(path);
            question.stage = Stage::Path;
        })
    });
    context.add_function("group", |this: This<Cel>, arguments: Arguments| {
        step(&this.0, &arguments.0, "group", &Stage::Authorizer, |question, group| {
            question.about.group = group;
            question.stage = Stage::Group;
        })
    });
    context.add_function("resource", |this: This<Cel>, arguments: Arguments| {
        step(&this.0, &arguments.0, "resource", &Stage::Group, |question, resource| {
            question.about.resource = resource;
            question.stage = Stage::Resource;
        })
    });
    context.add_function("subresource", |this: This<Cel>, arguments: Arguments| {
        step(&this.0, &arguments.0, "subresource", &Stage::Resource, |question, subresource| {
            let resource = question.about.resource.split('/').next().unwrap_or_default();
            question.about.resource =
                if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
        })
    });
    context.add_function("namespace", |this: This<Cel>, arguments: Arguments| {
        step(&this.0, &arguments.0, "namespace", &Stage::Resource, |question, namespace| {
            question.about.namespace = namespace;
        })
    });
    context.add_function("name", |this: This<Cel>, arguments: Arguments| {
        step(&this.0, &arguments.0, "name", &Stage::Resource, |question, name| question.about.name = name)
    });
    context.add_function("serviceAccount", service_account);
    context.add_function("check", check);
    context
        .add_function("allowed", |this: This<Cel>| decision(&this.0, "allowed").map(|(allowed, _)| Cel::Bool(allowed)));
    context.add_function("reason", |this: This<Cel>| {
        decision(&this.0, "reason").map(|(_, reason)| Cel::String(Arc::new(reason)))
    });
    // Looking up roles does not fail.
    context.add_function("errored", |this: This<Cel>| decision(&this.0, "errored").map(|_| Cel::Bool(false)));
    context.add_function("error", |this: This<Cel>| {
        decision(&this.0, "error").map(|_| Cel::String(Arc::new(String::new())))
    });
}

fn question<'a>(value: &'a Cel, function: &str) -> Result<&'a Question, ExecutionError> {
    let none = || ExecutionError::function_error(function, "no such overload");
    let Cel::Opaque(opaque) = value else { return Err(none()) };
    opaque.downcast_ref::<Question>().ok_or_else(none)
}

fn text(arguments: &[Cel], at: usize, function: &str) -> Result<String, ExecutionError> {
    match arguments.get(at) {
        Some(Cel::String(text)) => Ok(text.as_str().to_owned()),
        _ => Err(ExecutionError::function_error(function, "no such overload")),
    }
}

fn step(
    value: &Cel,
    arguments: &[Cel],
    function: &str,
    stage: &Stage,
    narrow: impl Fn(&mut Question, String),
) -> ResolveResult {
    let mut question = question(value, function)?.clone();
    if question.stage != *stage {
        return Err(ExecutionError::function_error(function, "no such overload"));
    }
    narrow(&mut question, text(arguments, 0, function)?);
    Ok(Cel::Opaque(Arc::new(question)))
}

fn service_account(This(this): This<Cel>, Arguments(arguments): Arguments) -> ResolveResult {
    let mut question = question(&this, "serviceAccount")?.clone();
    let (namespace, name) = (text(&arguments, 0, "serviceAccount")?, text(&arguments, 1, "serviceAccount")?);
    question.user = Arc::new(User::service_account(&namespace, &name));
    Ok(Cel::Opaque(Arc::new(question)))
}

fn check(This(this): This<Cel>, Arguments(arguments): Arguments) -> ResolveResult {
    let mut question = question(&this, "check")?.clone();
    if !matches!(question.stage, Stage::Path | Stage::Resource) {
        return Err(ExecutionError::function_error("check", "no such overload"));
    }
    question.about.verb = text(&arguments, 0, "check")?;
    let verdict = rbac::decide(&question.server.0.store, &question.user, &question.about);
    question.stage = Stage::Decision(verdict.allowed, verdict.reason);
    Ok(Cel::Opaque(Arc::new(question)))
}

fn decision(value: &Cel, function: &str) -> Result<(bool, String), ExecutionError> {
    match &question(value, function)?.stage {
        Stage::Decision(allowed, reason) => Ok((*allowed, reason.clone())),
        _ => Err(ExecutionError::function_error(function, "no such overload")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::expression::Expression;
    use crate::service::Config;

    #[test]
    fn rights_are_asked_for_as_whoever_is_named() {
        let server = ApiServer::new(Config::default());
        let variable = |user: User| {
            let stage = Stage::Authorizer;
            let (server, about) = (server.clone(), access::Attributes::default());
            Cel::Opaque(Arc::new(Question { server, user: Arc::new(user), about, stage }))
        };
        let jane = || User::new("jane", Vec::<String>::new());
        let pods = "authorizer.group('').resource('pods').namespace('default').check('get').allowed()";
        let cases = [
            (User::admin(), pods, true),
            (jane(), pods, false),
            (jane(), "authorizer.path('/healthz').check('get').allowed()", true),
            (
                User::admin(),
                "authorizer.serviceAccount('default', 'x').group('').resource('pods').check('get').allowed()",
                false,
            ),
            (
                jane(),
                "authorizer.group('apps').resource('deployments').subresource('scale').name('d').check('get').reason() == ''",
                true,
            ),
        ];
        for (user, source, expected) in cases {
            let known = [("authorizer", variable(user))];
            assert_eq!(Expression::new(source).run(&known), Ok(Cel::Bool(expected)), "{source}");
        }
    }
}
