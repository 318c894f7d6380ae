//! As much of the shell's language as workflows and docs use: which commands a script runs, as words.

/// Words that are followed by a command of their own.
const BEFORE: [&str; 9] = ["if", "then", "else", "elif", "do", "while", "until", "!", "{"];
/// Words that are not, and end what they are in.
const ENDS: [&str; 5] = ["fi", "done", "esac", "}", ")"];

/// The lines after a prompt, with those that they are continued on.
pub(crate) fn prompted(text: &str, command: impl Fn(&str) -> Option<String>) -> String {
    let mut script = String::new();
    let mut goes_on = false;
    for line in text.lines() {
        let Some(line) = (if goes_on { Some(line.to_owned()) } else { command(line) }) else { continue };
        goes_on = line.ends_with('\\');
        script.push_str(&line);
        script.push('\n');
    }
    script
}

/// The commands of a script: those in conditions, loops and substitutions too.
pub(crate) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for words in split(&script.replace("\\\n", " ")) {
        for word in &words {
            found.extend(substituted(word).iter().flat_map(|inner| commands(inner)));
        }
        let mut words = words.as_slice();
        while let [first, rest @ ..] = words {
            if !BEFORE.contains(&first.as_str()) && !is_assignment(first) {
                break;
            }
            words = rest;
        }
        match words {
            [] => {}
            [first, ..] if ENDS.contains(&first.as_str()) || ["for", "case"].contains(&first.as_str()) => {}
            words => found.push(words.to_vec()),
        }
    }
    found
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
    })
}

/// What is between `$(` and its end.
fn substituted(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = word;
    while let Some(at) = rest.find("$(") {
        let inner = &rest[at + 2..];
        let mut depth = 1;
        let end = inner.char_indices().find_map(|(at, char)| {
            depth += i32::from(char == '(') - i32::from(char == ')');
            (depth == 0).then_some(at)
        });
        let Some(end) = end else { break };
        found.push(inner[..end].to_owned());
        rest = &inner[end..];
    }
    found
}

/// Commands as words, without quotes, comments and redirections.
fn split(script: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut word: Option<String> = None;
    let (mut quote, mut depth) = (None, 0u32);
    let mut chars = script.chars().peekable();
    let end = |word: &mut Option<String>, all: &mut Vec<Vec<String>>| {
        if let (Some(word), Some(words)) = (word.take(), all.last_mut()) {
            words.push(word);
        }
    };
    while let Some(char) = chars.next() {
        let within = word.get_or_insert_default();
        match (quote, char) {
            // A substitution is one word, whatever it holds.
            _ if depth > 0 || (quote != Some('\'') && char == '$' && chars.peek() == Some(&'(')) => {
                depth = match char {
                    '(' => depth + 1,
                    ')' => depth - 1,
                    _ => depth,
                };
                within.push(char);
                if char == '$' && chars.peek() == Some(&'(') {
                    chars.next();
                    within.push('(');
                    depth += 1;
                }
            }
            (Some(open), char) if char == open => quote = None,
            (None, '"' | '\'') => quote = Some(char),
            (None, '#') if within.is_empty() => {
                word = None;
                while chars.next_if(|char| *char != '\n').is_some() {}
            }
            (None, ' ' | '\t') => {
                if within.is_empty() {
                    word = None;
                }
                end(&mut word, &mut all);
            }
            (None, '\n' | ';' | '&' | '|') => {
                // `2>&1` goes on.
                if char == '&' && within.ends_with(['>', '<']) {
                    within.push('&');
                    continue;
                }
                if within.is_empty() {
                    word = None;
                }
                end(&mut word, &mut all);
                all.push(Vec::new());
            }
            (_, char) => within.push(char),
        }
    }
    end(&mut word, &mut all);
    all.into_iter().map(without_redirections).filter(|words| !words.is_empty()).collect()
}

/// `> file`, `>file` and `2>&1` are no arguments.
fn without_redirections(words: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let target = word.trim_start_matches(|char: char| char.is_ascii_digit());
        match target.trim_start_matches(['>', '<']) {
            _ if !target.starts_with(['>', '<']) || target.starts_with("<(") => kept.push(word),
            "" => drop(words.next()),
            _ => {}
        }
    }
    kept
}

#[test]
fn a_script_is_read_as_the_shell_reads_it() {
    let script = "A=1 B=\"two words\" make 'all of it' >log 2>&1 # why\n\
                  if test -e x; then one \\\n  more; fi\n\
                  for it in $(list a | sort); do two \"$it\" && three; done < in\n";
    let expected = [
        &["make", "all of it"][..],
        &["test", "-e", "x"],
        &["one", "more"],
        &["list", "a"],
        &["sort"],
        &["two", "$it"],
        &["three"],
    ];
    assert_eq!(commands(script), expected);
}
