//! The string formats that Kubernetes checks, with the leniency of its own parsers. Others are ignored, as there.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;

/// Whether `text` is in that format; none for a format that is not checked.
pub fn check(format: &str, text: &str) -> Option<bool> {
    Some(match normalized(format).as_str() {
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        "uri" => is_request_uri(text),
        "email" => is_email(text),
        "hostname" => is_hostname(text),
        "ipv4" => is_ipv4(text) || (text.contains('.') && text.parse::<Ipv6Addr>().is_ok()),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some('3')),
        "uuid4" => is_uuid(text, Some('4')),
        "uuid5" => is_uuid(text, Some('5')),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "creditcard" => is_credit_card(text),
        "ssn" => matches(&SSN, text),
        "hexcolor" => matches(&HEX_COLOR, text),
        "rgbcolor" => matches(&RGB_COLOR, text),
        "byte" => matches(&BASE64, text),
        "password" => true,
        "date" => is_date(text),
        "duration" => is_duration(text),
        "datetime" => is_date_time(text),
        "k8sshortname" => matches(&LABEL, text) && text.len() <= 63,
        "k8slongname" => matches(&SUBDOMAIN, text) && text.len() <= 253,
        _ => return None,
    })
}

/// Whether the format of a string is checked at all.
pub fn is_known(format: &str) -> bool {
    check(format, "").is_some()
}

fn normalized(format: &str) -> String {
    format.replace('-', "")
}

/// A regular expression of this file; should one not compile, nothing matches it.
type Form = LazyLock<Option<Regex>>;

fn matches(form: &Form, text: &str) -> bool {
    form.as_ref().is_some_and(|regex| regex.is_match(text))
}

static SSN: Form = Form::new(|| Regex::new(r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$").ok());
static HEX_COLOR: Form = Form::new(|| Regex::new("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$").ok());
static RGB_COLOR: Form = Form::new(|| {
    let part = r"\s*(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])\s*";
    Regex::new(&format!(r"^rgb\({part},{part},{part}\)$")).ok()
});
static BASE64: Form =
    Form::new(|| Regex::new("^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$").ok());
static LABEL: Form = Form::new(|| Regex::new("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$").ok());
static SUBDOMAIN: Form =
    Form::new(|| Regex::new(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$").ok());
static HOSTNAME: Form = Form::new(|| {
    let c = r"a-zA-Z0-9\p{S}\p{L}";
    let single = format!("[{c}]((-?[{c}]{{0,62}})?)");
    let segment = format!(r"[{c}](([-{c}]{{0,61}}[{c}])?)(\.)");
    Regex::new(&format!("^({single}|({segment}){{1,}}([a-zA-Z\\p{{L}}]){{2,63}})$")).ok()
});
static TIME: Form =
    Form::new(|| Regex::new("^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$").ok());
static SCALA_DURATION: Form = Form::new(|| Regex::new(r"([0-9]+)[\t\n\f\r ]*([A-Za-zµ]+)").ok());

fn is_hostname(text: &str) -> bool {
    text.len() <= 255 && text.split('.').all(|part| part.len() <= 63) && matches(&HOSTNAME, text)
}

/// As Go's `url.ParseRequestURI`: an absolute URI or an absolute path.
fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return false;
    }
    let escapes = text.split('%').skip(1);
    if !escapes.into_iter().all(|e| e.len() >= 2 && e.bytes().take(2).all(|b| b.is_ascii_hexdigit())) {
        return false;
    }
    if text.starts_with('/') || text == "*" {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let host = rest.strip_prefix("//").map(|r| r.split(['/', '?']).next().unwrap_or_default());
    named && host.is_none_or(|h| !h.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '|', '}']))
}

/// As Go's `mail.ParseAddress`, without comments and quoted local parts.
fn is_email(text: &str) -> bool {
    let text = text.trim();
    let address = match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(at), Some(open)) => &open[at + 1..],
        _ => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |part: &str| {
        let legal = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
        !part.is_empty() && part.chars().all(legal)
    };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    (quoted || local.split('.').all(atom))
        && (domain.split('.').all(atom) || (domain.starts_with('[') && domain.ends_with(']')))
}

/// Leading zeros are tolerated, for the sake of objects from before Go 1.17.
fn is_ipv4(text: &str) -> bool {
    let part =
        |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u32>().is_ok_and(|n| n < 256);
    text.parse::<Ipv4Addr>().is_ok() || (text.split('.').count() == 4 && text.split('.').all(part))
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let at_most = |max: u32| digits && length.parse::<u32>().is_ok_and(|n| n <= max);
    (is_ipv4(address) && at_most(32)) || (address.parse::<Ipv6Addr>().is_ok() && at_most(128))
}

/// 6, 8 or 20 bytes: pairs of digits between colons or hyphens, or fours between dots.
fn is_mac(text: &str) -> bool {
    let groups = |separator: char, digits: usize, bytes: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        bytes.contains(&(parts.len() * digits / 2))
            && parts.iter().all(|p| p.len() == digits && p.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    groups(':', 2, &[6, 8, 20]) || groups('-', 2, &[6, 8, 20]) || groups('.', 4, &[6, 8, 20])
}

/// Hyphens are optional, case does not matter. The version is the digit after the second hyphen.
fn is_uuid(text: &str, version: Option<char>) -> bool {
    let mut rest = text;
    for (at, digits) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if at > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some((part, after)) = rest.split_at_checked(digits) else { return false };
        if !part.bytes().all(|b| b.is_ascii_hexdigit()) {
            return false;
        }
        let first = part.chars().next().map(|c| c.to_ascii_lowercase());
        let variant = matches!(version, Some('4' | '5'));
        if (at == 2 && version.is_some() && first != version)
            || (at == 3 && variant && !matches!(first, Some('8' | '9' | 'a' | 'b')))
        {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

fn digits_of(text: &str) -> Vec<u32> {
    text.chars().filter(|c| !matches!(c, ' ' | '-')).filter_map(|c| c.to_digit(10)).collect()
}

fn is_isbn10(text: &str) -> bool {
    let plain: Vec<char> = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let value = |(at, c): (usize, &char)| match c {
        'X' if at == 9 => Some(10),
        c => c.to_digit(10),
    };
    let digits: Option<Vec<u32>> = plain.iter().enumerate().map(value).collect();
    let weighted = |digits: Vec<u32>| (1u32..).zip(digits).map(|(weight, d)| weight * d).sum::<u32>();
    plain.len() == 10 && digits.is_some_and(|d| weighted(d).is_multiple_of(11))
}

fn is_isbn13(text: &str) -> bool {
    let legal = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '-'));
    let digits = digits_of(text);
    let sum: u32 = digits.iter().zip([1, 3].into_iter().cycle()).map(|(d, weight)| d * weight).sum();
    legal && digits.len() == 13 && sum.is_multiple_of(10)
}

fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let prefix = |n: usize| digits.iter().take(n).fold(0, |sum, d| sum * 10 + d);
    let known = match digits.len() {
        13 => prefix(1) == 4,
        14 => (300..=305).contains(&prefix(3)) || matches!(prefix(2), 36 | 38),
        15 => matches!(prefix(2), 34 | 37) || matches!(prefix(4), 2131 | 1800),
        16 => {
            prefix(1) == 4 || (51..=55).contains(&prefix(2)) || prefix(4) == 6011 || prefix(2) == 65 || prefix(2) == 35
        }
        _ => false,
    };
    let luhn: u32 =
        digits.iter().rev().enumerate().map(|(at, d)| if at % 2 == 1 { d * 2 / 10 + d * 2 % 10 } else { *d }).sum();
    known && luhn.is_multiple_of(10)
}

fn is_date(text: &str) -> bool {
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(at, b)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    shaped && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let Some((date, time)) = lower.split_once('t') else { return false };
    let time = time.split('t').next().unwrap_or_default();
    let part = |from: usize| time.get(from..from + 2).unwrap_or_default();
    is_date(date) && matches(&TIME, time) && part(0) <= "23" && part(3) <= "59" && part(6) <= "59"
}

/// As Go's `time.ParseDuration`, or as Scala writes durations (`22 ns`, `3 hours`).
fn is_duration(text: &str) -> bool {
    const UNITS: [&[&str]; 8] = [
        &["ns", "nano"],
        &["us", "µs", "micro"],
        &["ms", "milli"],
        &["s", "sec"],
        &["m", "min"],
        &["h", "hr", "hour"],
        &["d", "day"],
        &["w", "wk", "week"],
    ];
    let known = |unit: &str| {
        let longest = |names: &&[&str]| names.last().is_some_and(|last| unit.starts_with(last));
        UNITS.iter().any(|names| names.contains(&unit) || longest(names))
    };
    let scala = || {
        let form = SCALA_DURATION.as_ref();
        form.is_some_and(|r| r.captures_iter(text).any(|c| known(&c[2].to_lowercase())))
    };
    is_go_duration(text) || scala()
}

fn is_go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (digits, after) = rest.split_at(number);
        let unit = after.len() - after.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '.').len();
        let (unit, after) = after.split_at(unit);
        if !digits.bytes().any(|b| b.is_ascii_digit()) || digits.matches('.').count() > 1 {
            return false;
        }
        if !matches!(unit, "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h") {
            return false;
        }
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_and_refuse_what_kubernetes_does() {
        for (format, good, bad) in [
            ("ipv4", &["10.0.0.1", "010.0.0.1"][..], &["999.1.1.1", "10.0.0", "::1", ""][..]),
            ("ipv6", &["::1", "fe80::1"], &["10.0.0.1", "fe80::%eth0"]),
            ("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "x/8"]),
            ("mac", &["fa:16:3e:f3:b0:3f", "FA-16-3E-F3-B0-3F", "fa16.3ef3.b03f"], &["fa:16:3e", "fa:16:3e:f3:b0:3g"]),
            ("uuid", &["a3bb189e-8bf9-3888-9912-ace4e6543002", "A3BB189E8BF938889912ACE4E6543002"], &["a3bb", "x"]),
            ("uuid4", &["a3bb189e-8bf9-4888-9912-ace4e6543002"], &["a3bb189e-8bf9-3888-9912-ace4e6543002"]),
            ("date", &["2024-02-29"], &["2023-02-29", "2024-1-1", "yesterday"]),
            (
                "date-time",
                &["2024-01-01T00:00:00Z", "2024-01-01t10:20:30.5+02:00"],
                &["yesterday", "2024-01-01", "2024-01-01T24:00:00Z"],
            ),
            ("duration", &["1h30m", "0", "22 ns", "3 hours", "-1.5s"], &["", "soon", "5"]),
            ("uri", &["http://a.b/c?d", "/path", "mailto:a@b"], &["", "a b", "example.com", "http://a/%zz"]),
            ("email", &["a@b.c", "Jane <jane@example.com>"], &["a", "a@", "a b@c"]),
            ("hostname", &["example.com", "host", "1a.example.com"], &["-a.com", "a_b.com", ""]),
            ("byte", &["aGVsbG8=", "AAAA"], &["", "a", "@@@@"]),
            ("isbn10", &["0321751043"], &["0321751044"]),
            ("isbn13", &["978-0321751041"], &["978-0321751042"]),
            ("creditcard", &["4111-1111-1111-1111"], &["4111-1111-1111-1112"]),
            ("hexcolor", &["#fff", "00FF00"], &["#ff"]),
            ("rgbcolor", &["rgb(1,2, 255)"], &["rgb(1,2,256)"]),
            ("ssn", &["111-22-3333"], &["11-22-3333"]),
            ("k8s-short-name", &["a-b"], &["a.b", "A"]),
            ("k8s-long-name", &["a.b"], &["a..b"]),
        ] {
            for text in good {
                assert_eq!(check(format, text), Some(true), "{format} {text}");
            }
            for text in bad {
                assert_eq!(check(format, text), Some(false), "{format} {text}");
            }
        }
        assert_eq!(check("made-up", "x"), None);
    }
}
