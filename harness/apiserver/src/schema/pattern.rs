//! Regular expressions as Go reads them, on Rust's `regex`.
//!
//! Both are RE2's children, so only a few spellings differ: Go's `\d`, `\w`, `\s` and `\b` know ASCII only, `[` and `&&`
//! inside a class are plain characters there, and a lone `{` stands for itself.

use regex::Regex;

/// Compiles `text` as Go would.
///
/// # Errors
/// What is wrong with it.
pub(super) fn compile(text: &str) -> Result<Regex, String> {
    Regex::new(&translate(text)).map_err(|e| e.to_string())
}

fn translate(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text.chars().peekable();
    let mut class = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('Q') if !class => literal(&mut rest, &mut out),
                Some(escaped) => out.push_str(&escape(escaped, class)),
                None => out.push('\\'),
            },
            '[' if !class => {
                class = true;
                out.push('[');
                for first in ['^', ']'] {
                    if rest.next_if_eq(&first).is_some() {
                        out.push_str(if first == ']' { "\\]" } else { "^" });
                    }
                }
            }
            '[' if rest.peek() == Some(&':') => {
                // A POSIX class such as `[:alpha:]`, up to its own bracket.
                out.push('[');
                for inner in rest.by_ref() {
                    out.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            '[' => out.push_str("\\["),
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => {
                out.push('\\');
                out.push(c);
            }
            '{' if !class && !is_repetition(rest.clone()) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

/// Everything up to `\E`, for itself.
fn literal(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

fn escape(c: char, class: bool) -> String {
    let ascii = match c {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => "\\t\\n\\f\\r ",
        'D' => return "[^0-9]".to_owned(),
        'W' => return "[^0-9A-Za-z_]".to_owned(),
        'S' => return "[^\\t\\n\\f\\r ]".to_owned(),
        'b' | 'B' if !class => return format!("(?-u:\\{c})"),
        c => return format!("\\{c}"),
    };
    if class { ascii.to_owned() } else { format!("[{ascii}]") }
}

/// Whether what follows a brace makes it `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(rest: impl Iterator<Item = char>) -> bool {
    let mut digits = 0;
    for c in rest {
        match c {
            '0'..='9' => digits += 1,
            ',' if digits > 0 => {}
            '}' => return digits > 0,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_written_for_go_mean_the_same_here() {
        for (pattern, text, matches) in [
            ("^[a-z]+$", "abc", true),
            (r"^\d+$", "\u{0663}", false),
            (r"^[\w.-]+$", "a_b.c-d", true),
            (r"^[^\s]+$", "a b", false),
            (r"^[[]$", "[", true),
            (r"^[]a]+$", "]a", true),
            (r"^[a&&b]+$", "&", true),
            (r"^{x}$", "{x}", true),
            (r"^a{2,3}$", "aaa", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"^a\/b$", "a/b", true),
            (r"^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$", "fa:16:3e:f3:b0:3f", true),
        ] {
            let regex = compile(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert_eq!(regex.is_match(text), matches, "{pattern} on {text}");
        }
        assert!(compile("a(").is_err());
    }
}
