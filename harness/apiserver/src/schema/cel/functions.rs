//! Values that the engine's own conversion functions make, and the functions that rules may call.

use kube_cel::cel::Value;

use super::ROOT;
use super::types::Ty;

/// The timestamp that a text stands for.
pub(super) fn timestamp(text: &str) -> Option<Value> {
    call("timestamp(x)", text)
}

/// The duration that a text stands for.
pub(super) fn duration(text: &str) -> Option<Value> {
    call("duration(x)", text)
}

/// A whole number that is written as a double.
#[expect(clippy::cast_possible_truncation, reason = "the cast is guarded")]
pub(super) fn to_int(value: Option<f64>) -> Option<i64> {
    value.filter(|v| v.fract() == 0.0 && v.abs() < 9.2e18).map(|v| v as i64)
}

fn call(source: &str, argument: &str) -> Option<Value> {
    let program = super::Program::parse(source).ok()?;
    let mut context = ROOT.new_inner_scope();
    context.add_variable_from_value("x", argument);
    Value::resolve(&program.expression, &context).ok()
}

/// What a function gives; none if there is no such function.
pub(super) fn result(name: &str, is_member: bool, target: &Ty<'_>) -> Option<Ty<'static>> {
    if is_member { member(name, target) } else { global(name) }
}

/// The type of the variable through which rights are asked for.
pub(super) const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
const PATH_CHECK: &str = "kubernetes.authorization.PathCheck";
const GROUP_CHECK: &str = "kubernetes.authorization.GroupCheck";
const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";
const DECISION: &str = "kubernetes.authorization.Decision";

/// What the authorizer's functions give; none if the target has no such function.
fn of_authorizer(name: &str, target: &str) -> Option<Ty<'static>> {
    Some(match (target, name) {
        (AUTHORIZER, "path") => Ty::Opaque(PATH_CHECK),
        (AUTHORIZER, "group") => Ty::Opaque(GROUP_CHECK),
        (AUTHORIZER, "serviceAccount") => Ty::Opaque(AUTHORIZER),
        (GROUP_CHECK, "resource")
        | (RESOURCE_CHECK, "subresource" | "namespace" | "name" | "fieldSelector" | "labelSelector") => {
            Ty::Opaque(RESOURCE_CHECK)
        }
        (PATH_CHECK | RESOURCE_CHECK, "check") => Ty::Opaque(DECISION),
        (DECISION, "allowed" | "errored") => Ty::Bool,
        (DECISION, "reason" | "error") => Ty::String,
        _ => return None,
    })
}

fn member(name: &str, target: &Ty<'_>) -> Option<Ty<'static>> {
    if let Ty::Opaque(target) = target
        && let Some(ty) = of_authorizer(name, target)
    {
        return Some(ty);
    }
    Some(match name {
        "contains"
        | "startsWith"
        | "endsWith"
        | "matches"
        | "isSorted"
        | "hasValue"
        | "isInteger"
        | "isLessThan"
        | "isGreaterThan"
        | "containsIP"
        | "containsCIDR"
        | "isUnspecified"
        | "isLoopback"
        | "isLinkLocalMulticast"
        | "isLinkLocalUnicast"
        | "isGlobalUnicast" => Ty::Bool,
        "size" | "indexOf" | "lastIndexOf" | "asInteger" | "sign" | "compareTo" | "family" | "prefixLength"
        | "major" | "minor" | "patch" | "getFullYear" | "getMonth" | "getDate" | "getDayOfMonth" | "getDayOfWeek"
        | "getDayOfYear" | "getHours" | "getMinutes" | "getSeconds" | "getMilliseconds" => Ty::Int,
        "charAt" | "lowerAscii" | "upperAscii" | "trim" | "replace" | "substring" | "join" | "format" | "find"
        | "getScheme" | "getHost" | "getHostname" | "getPort" | "getEscapedPath" => Ty::String,
        "split" | "findAll" => Ty::List(Box::new(Ty::String)),
        "asApproximateFloat" => Ty::Double,
        "validate" => Ty::Optional(Box::new(Ty::List(Box::new(Ty::String)))),
        "reverse" if matches!(target, Ty::String) => Ty::String,
        "reverse" | "sum" | "min" | "max" | "slice" | "flatten" | "distinct" | "sort" | "first" | "last" | "value"
        | "orValue" | "or" | "add" | "sub" | "ip" | "masked" | "getQuery" => Ty::Dyn,
        _ => return None,
    })
}

fn global(name: &str) -> Option<Ty<'static>> {
    Some(match name {
        "isIP" | "isCIDR" | "isURL" | "isQuantity" | "isSemver" | "matches" | "ip.isCanonical" | "sets.contains"
        | "sets.equivalent" | "sets.intersects" | "math.isInf" | "math.isNaN" | "math.isFinite" | "bool" => Ty::Bool,
        "size" | "int" | "math.bitOr" | "math.bitAnd" | "math.bitXor" | "math.bitNot" | "math.bitShiftLeft"
        | "math.bitShiftRight" => Ty::Int,
        "uint" => Ty::Uint,
        "double" | "math.ceil" | "math.floor" | "math.round" | "math.trunc" | "math.sqrt" => Ty::Double,
        "string" | "base64.encode" | "jsonpatch.escapeKey" | "strings.quote" | "ip.string" => Ty::String,
        "bytes" | "base64.decode" => Ty::Bytes,
        "timestamp" => Ty::Timestamp,
        "duration" => Ty::Duration,
        "quantity" => Ty::Opaque("Quantity"),
        "ip" => Ty::Opaque("IP"),
        "cidr" => Ty::Opaque("CIDR"),
        "url" => Ty::Opaque("URL"),
        "semver" => Ty::Opaque("Semver"),
        "optional.of" | "optional.ofNonZeroValue" | "optional.none" => Ty::Optional(Box::new(Ty::Dyn)),
        "lists.range" => Ty::List(Box::new(Ty::Int)),
        "type" | "dyn" | "max" | "min" | "math.greatest" | "math.least" | "math.abs" | "math.sign" | "format.named" => {
            Ty::Dyn
        }
        name if name.starts_with("format.") => Ty::Dyn,
        _ => return None,
    })
}

/// Functions that only texts have.
pub(super) fn is_for_text(name: &str) -> bool {
    matches!(
        name,
        "startsWith"
            | "endsWith"
            | "matches"
            | "charAt"
            | "lowerAscii"
            | "upperAscii"
            | "trim"
            | "replace"
            | "substring"
            | "split"
            | "find"
            | "findAll"
            | "format"
    )
}
