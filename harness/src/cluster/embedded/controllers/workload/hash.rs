//! Short names of templates: a hash in letters that make no words, the same as Kubernetes gives. Pure.

use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::go_dump;

/// The letters and digits of generated names.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

const BASIS: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

/// FNV-1a in 32 bits.
fn fnv1a<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u32 {
    bytes.into_iter().fold(BASIS, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(PRIME))
}

/// FNV-1 in 32 bits.
fn fnv1<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u32 {
    bytes.into_iter().fold(BASIS, |hash, byte| hash.wrapping_mul(PRIME) ^ u32::from(*byte))
}

/// A number as part of a name: each of its decimal digits is one letter.
fn letters(number: u32) -> String {
    let letter = |digit: u8| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()]);
    number.to_string().bytes().map(letter).collect()
}

/// The name of a Pod template: the same for equal templates, another one after a collision.
pub(in crate::cluster::embedded) fn template(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let text = go_dump::pod_template(&serde_json::to_value(template).unwrap_or_default());
    let collisions = collisions.map(i32::to_le_bytes);
    letters(fnv1a(text.as_bytes().iter().chain(collisions.iter().flatten())))
}

/// The name of a revision: of what it holds, as it is stored.
pub(in crate::cluster::embedded) fn revision(data: &str, collisions: i32) -> String {
    letters(fnv1(data.as_bytes().iter().chain(collisions.to_string().as_bytes())))
}
