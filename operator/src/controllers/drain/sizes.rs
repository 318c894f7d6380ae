//! Resources that look computed: whether somebody would have typed such a number. Pure.
//!
//! A guess, and off unless it is turned on: plenty of people write `75m` and `1G`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::pod::Pod;

/// People ask for CPU in steps of this many thousandths.
const MILLICORES_STEP: u128 = 50;
/// People ask for memory in whole mebibytes.
const MEMORY_STEP: u128 = 1 << 20;

/// Whether a container asks for an amount that nobody would have typed.
pub(super) fn look_computed(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let requests = containers.filter_map(|container| container.resources.as_ref()?.requests.as_ref());
    requests.into_iter().any(|requests| {
        let odd = |amount: &Option<Quantity>, scale: u128, step: u128| {
            let thousandths = amount.as_ref().and_then(|quantity| thousandths(&quantity.0));
            thousandths.is_some_and(|thousandths| thousandths % (step * scale) != 0)
        };
        odd(&requests.cpu, 1, MILLICORES_STEP) || odd(&requests.memory, 1000, MEMORY_STEP)
    })
}

/// A quantity in thousandths of its unit, rounded up; none where it is none.
fn thousandths(text: &str) -> Option<u128> {
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|exponent| exponent.parse::<i32>().ok());
    // What the number is multiplied with: a power of two and one of ten.
    let (doublings, tens) = match (suffix, exponent) {
        (_, Some(exponent)) => (0, exponent),
        ("", _) => (0, 0),
        ("n", _) => (0, -9),
        ("u", _) => (0, -6),
        ("m", _) => (0, -3),
        ("k", _) => (0, 3),
        ("M", _) => (0, 6),
        ("G", _) => (0, 9),
        ("T", _) => (0, 12),
        ("P", _) => (0, 15),
        ("E", _) => (0, 18),
        ("Ki", _) => (10, 0),
        ("Mi", _) => (20, 0),
        ("Gi", _) => (30, 0),
        ("Ti", _) => (40, 0),
        ("Pi", _) => (50, 0),
        ("Ei", _) => (60, 0),
        _ => return None,
    };
    let value: u128 = format!("{whole}{fraction}").parse().ok()?;
    let tens = tens + 3 - i32::try_from(fraction.len()).ok()?;
    let value = value.checked_mul(1 << doublings)?;
    match u32::try_from(tens) {
        Ok(tens) => value.checked_mul(10u128.checked_pow(tens)?),
        Err(_) => Some(value.div_ceil(10u128.checked_pow(tens.unsigned_abs())?)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_that_people_type_are_not_computed() {
        for (cpu, memory, computed) in [
            ("100m", "128Mi", false),
            ("250m", "1Gi", false),
            ("0.5", "64Mi", false),
            ("2", "2048Ki", false),
            ("1e0", "1048576", false),
            ("587m", "128Mi", true),
            ("75m", "128Mi", true),
            ("0.025", "128Mi", true),
            ("100m", "262144k", false),
            ("100m", "1G", true),
            ("100m", "297164212", true),
            ("100m", "nonsense", false),
        ] {
            let pod = json!({ "metadata": {}, "spec": { "containers": [
                { "name": "c", "resources": { "requests": { "cpu": cpu, "memory": memory } } }
            ] } });
            assert_eq!(look_computed(&serde_json::from_value(pod).unwrap()), computed, "{cpu} {memory}");
        }
        assert!(!look_computed(&Pod::default()));
    }

    #[test]
    fn quantities_are_read_in_all_their_forms() {
        for (text, expected) in [
            ("1", Some(1000)),
            ("1500m", Some(1500)),
            ("1.5", Some(1500)),
            ("2k", Some(2_000_000)),
            ("1Ki", Some(1_024_000)),
            ("1.5Ki", Some(1_536_000)),
            ("1e3", Some(1_000_000)),
            ("1E-3", Some(1)),
            ("1E", Some(1_000_000_000_000_000_000_000)),
            ("1u", Some(1)),
            ("", None),
            ("Mi", None),
            ("5x", None),
            ("9e99", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text:?}");
        }
    }
}
