//! Scripts, as far as hooks and probes are written in them: words, quotes, variables, joints and redirections. Pure.

use std::collections::BTreeMap;

/// When a command runs, by the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// Whatever that has come to: `;` or a new line.
    Always,
    /// If that went well: `&&`.
    And,
    /// If it did not: `||`.
    Or,
}

/// Where output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To a file.
    File {
        /// Its path.
        path: String,
        /// Behind what it holds.
        append: bool,
    },
    /// To where errors go.
    Errors,
    /// To where output goes.
    Output,
}

/// A redirection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    /// Of errors, else of output.
    pub(super) from_errors: bool,
    pub(super) to: Target,
}

/// A command with its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Simple {
    pub(super) words: Vec<String>,
    pub(super) redirects: Vec<Redirect>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `;`, `&&`, `||`, `>`, `>>`, `2>`, `2>>`, `>&1`, `2>&1`, `1>&2` and the like.
    Sign(&'static str),
}

/// Signs, the longer ones first.
const SIGNS: [&str; 13] = ["2>&1", "1>&2", ">&2", "2>>", "1>>", "2>", "1>", ">>", ">", "&&", "||", ";", "\n"];

/// Signs of a shell that this one does not have.
const REFUSED: [char; 6] = ['|', '&', '(', ')', '<', '`'];

/// The commands of a script.
pub(super) fn script(text: &str, env: &BTreeMap<String, String>) -> Result<Vec<(Joint, Simple)>, String> {
    let mut steps = Vec::new();
    let (mut joint, mut simple) = (Joint::Always, Simple::default());
    let mut tokens = tokens(text, env)?.into_iter();
    while let Some(token) = tokens.next() {
        let sign = match token {
            Token::Word(word) => {
                simple.words.push(word);
                continue;
            }
            Token::Sign(sign) => sign,
        };
        if let Some(next) = joint_of(sign) {
            if simple != Simple::default() {
                steps.push((joint, std::mem::take(&mut simple)));
            } else if next != Joint::Always {
                return Err(format!("unexpected {sign:?}"));
            }
            joint = next;
            continue;
        }
        let from_errors = sign.starts_with('2');
        let to = match sign {
            "2>&1" => Target::Output,
            "1>&2" | ">&2" => Target::Errors,
            _ => match tokens.next() {
                Some(Token::Word(path)) => Target::File { path, append: sign.ends_with(">>") },
                _ => return Err(format!("{sign:?} leads nowhere")),
            },
        };
        simple.redirects.push(Redirect { from_errors, to });
    }
    if simple != Simple::default() {
        steps.push((joint, simple));
    }
    Ok(steps)
}

fn joint_of(sign: &str) -> Option<Joint> {
    match sign {
        ";" | "\n" => Some(Joint::Always),
        "&&" => Some(Joint::And),
        "||" => Some(Joint::Or),
        _ => None,
    }
}

fn tokens(text: &str, env: &BTreeMap<String, String>) -> Result<Vec<Token>, String> {
    let (mut tokens, mut word): (Vec<Token>, Option<String>) = (Vec::new(), None);
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        // A digit belongs to a sign only at the beginning of a word.
        let signs = SIGNS.iter().find(|sign| {
            rest.starts_with(**sign) && (word.is_none() || !sign.starts_with(|c: char| c.is_ascii_digit()))
        });
        if let Some(sign) = signs {
            tokens.extend(word.take().map(Token::Word));
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
            continue;
        }
        let behind = &rest[next.len_utf8()..];
        rest = match next {
            ' ' | '\t' => {
                tokens.extend(word.take().map(Token::Word));
                behind
            }
            '#' if word.is_none() => behind.find('\n').map_or("", |at| &behind[at..]),
            '\'' => {
                let (inner, behind) = behind.split_once('\'').ok_or("unterminated quoted string")?;
                word.get_or_insert_default().push_str(inner);
                behind
            }
            '"' => {
                let (inner, behind) = quoted(behind)?;
                word.get_or_insert_default().push_str(&expand(&inner, env)?);
                behind
            }
            '\\' => {
                let escaped = behind.chars().next().unwrap_or('\\');
                word.get_or_insert_default().push(escaped);
                behind.get(escaped.len_utf8()..).unwrap_or_default()
            }
            '$' => {
                let length = variable_length(behind);
                word.get_or_insert_default().push_str(&expand(&rest[..=length], env)?);
                &behind[length..]
            }
            refused if REFUSED.contains(&refused) => return Err(format!("{refused:?} is not supported")),
            plain => {
                word.get_or_insert_default().push(plain);
                behind
            }
        };
    }
    tokens.extend(word.map(Token::Word));
    Ok(tokens)
}

/// The inside of double quotes, backslashes kept before `$` only, and what follows.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut inner = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((inner, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\' | '`'))) => inner.push(escaped),
                Some((_, other)) => inner.extend(['\\', other]),
                None => break,
            },
            plain => inner.push(plain),
        }
    }
    Err("unterminated quoted string".to_owned())
}

/// How many bytes behind a `$` are the variable's name, with its braces.
fn variable_length(text: &str) -> usize {
    if text.starts_with('{') {
        return text.find('}').map_or(text.len(), |at| at + 1);
    }
    if text.starts_with('(') {
        return 1;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// Replaces `$NAME`, `${NAME}` and `${NAME:-default}`.
fn expand(text: &str, env: &BTreeMap<String, String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        let escaped = rest[..at].ends_with('\\');
        out.push_str(rest[..at].strip_suffix('\\').unwrap_or(&rest[..at]));
        let behind = &rest[at + 1..];
        if escaped {
            out.push('$');
            rest = behind;
            continue;
        }
        if behind.starts_with('(') {
            return Err("\"$(\" is not supported".to_owned());
        }
        let length = variable_length(behind);
        let name = behind[..length].trim_start_matches('{').trim_end_matches('}');
        let (name, default) = name.split_once(":-").unwrap_or((name, ""));
        if name.is_empty() {
            out.push('$');
        } else {
            out.push_str(env.get(name).map_or(default, String::as_str));
        }
        rest = &behind[length..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        let env = BTreeMap::from([("PORT".to_owned(), "8080".to_owned())]);
        script(text, &env).expect("a script").into_iter().map(|(_, simple)| simple.words).collect()
    }

    #[test]
    fn words_are_parted_and_variables_put_in_as_a_shell_does() {
        let cases: [(&str, &[&[&str]]); 6] = [
            ("cat /proc/net/tcp", &[&["cat", "/proc/net/tcp"]]),
            ("echo 'a b' \"c $PORT\" $PORT'x' \\$y", &[&["echo", "a b", "c 8080", "8080x", "$y"]]),
            ("echo ${PORT} ${NO:-9} \"\\$PORT\"", &[&["echo", "8080", "9", "$PORT"]]),
            ("sleep 5; echo done && true || false", &[&["sleep", "5"], &["echo", "done"], &["true"], &["false"]]),
            ("# nothing\necho '' a#b", &[&["echo", "", "a#b"]]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn redirections_are_told_from_words() {
        let steps = script("echo x2>f >>g 2>&1", &BTreeMap::new()).expect("a script");
        let file = |path: &str, append| Target::File { path: path.to_owned(), append };
        let redirect = |from_errors, to| Redirect { from_errors, to };
        assert_eq!(steps[0].1.words, ["echo", "x2"]);
        let expected =
            [redirect(false, file("f", false)), redirect(false, file("g", true)), redirect(true, Target::Output)];
        assert_eq!(steps[0].1.redirects, expected);
    }

    #[test]
    fn what_is_not_supported_is_refused_and_not_run_otherwise() {
        for text in ["a | b", "a &", "echo $(x)", "echo \"$(x)\"", "a <f", "echo 'x", "&& a", "echo >"] {
            assert!(script(text, &BTreeMap::new()).is_err(), "{text}");
        }
    }
}
