//! `Warning` headers: each text once, and not more of them than fits.

use std::collections::BTreeSet;

use http::HeaderValue;

/// Characters of all warnings together, beyond which each is cut.
const TOTAL_CHARS_MAX: usize = 4 * 1024;
/// Characters of one warning where they are cut.
const ONE_CHARS_MAX: usize = 256;

/// The headers for warnings, in their order. Texts that no header can hold are left out.
pub(crate) fn headers(warnings: &[String]) -> Vec<HeaderValue> {
    let mut seen = BTreeSet::new();
    let texts: Vec<&str> = warnings.iter().map(String::as_str).filter(|t| !t.is_empty() && seen.insert(*t)).collect();
    let whole: usize = texts.iter().map(|text| text.chars().count()).sum();
    if whole <= TOTAL_CHARS_MAX {
        return texts.into_iter().filter_map(header).collect();
    }
    let mut written = 0;
    let mut headers = Vec::new();
    for text in texts {
        if written >= TOTAL_CHARS_MAX {
            break;
        }
        let cut: String = text.chars().take(ONE_CHARS_MAX).collect();
        written += cut.chars().count();
        headers.extend(header(&cut));
    }
    headers
}

fn header(text: &str) -> Option<HeaderValue> {
    if text.chars().any(char::is_control) {
        return None;
    }
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(warnings: &[String]) -> Vec<String> {
        headers(warnings).iter().map(|h| String::from_utf8_lossy(h.as_bytes()).into_owned()).collect()
    }

    #[test]
    fn a_warning_is_told_once_and_quoted() {
        let warnings = ["mind \"it\"", "mind \"it\"", "", "two\nlines", "größer"].map(str::to_owned);
        assert_eq!(texts(&warnings), ["299 - \"mind \\\"it\\\"\"", "299 - \"größer\""]);
    }

    #[test]
    fn warnings_without_end_are_cut_and_then_left_out() {
        let warnings: Vec<String> = (0..100).map(|i| format!("{i:0>1000}")).collect();
        let texts = texts(&warnings);
        assert_eq!(texts.len(), TOTAL_CHARS_MAX / ONE_CHARS_MAX);
        assert!(texts.iter().all(|t| t.len() == ONE_CHARS_MAX + "299 - \"\"".len()));
    }
}
