//! Names with wildcards: `*` stands for any text, `?` for any one character. Pure.

use std::fmt;

/// A name, or many of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern; every text is one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the name is meant, from its first to its last character.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name): (Vec<char>, Vec<char>) = (self.0.chars().collect(), name.chars().collect());
        let (mut at, mut seen) = (0, 0);
        // Where the last star stands, and how much of the name it has been tried for: the only place to go back to.
        let mut star: Option<(usize, usize)> = None;
        while seen < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, seen));
                    at += 1;
                }
                Some(&wanted) if wanted == '?' || wanted == name[seen] => {
                    at += 1;
                    seen += 1;
                }
                _ => {
                    let Some((place, taken)) = star else { return false };
                    star = Some((place, taken + 1));
                    at = place + 1;
                    seen = taken + 1;
                }
            }
        }
        pattern[at..].iter().all(|left| *left == '*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_what_people_expect() {
        for (pattern, matching, other) in [
            ("default", &["default"][..], &["defaults", "the-default", ""][..]),
            ("kube-*", &["kube-system", "kube-"], &["kube", "my-kube-system"]),
            ("*-prod", &["shop-prod", "-prod", "a-prod-prod"], &["shop-prod-1"]),
            ("team-?", &["team-a"], &["team-", "team-ab"]),
            ("a*b*c", &["abc", "a-b-c", "abbc", "abcbc"], &["acb", "ab"]),
            ("*", &["", "anything"], &[]),
            ("system:serviceaccount:*:*vpa-updater", &["system:serviceaccount:kube-system:vpa-updater"], &["admin"]),
            ("", &[""], &["a"]),
        ] {
            for name in matching {
                assert!(Pattern::new(pattern).matches(name), "{pattern:?} means {name:?}");
            }
            for name in other {
                assert!(!Pattern::new(pattern).matches(name), "{pattern:?} does not mean {name:?}");
            }
        }
    }
}
