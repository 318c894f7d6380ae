//! Completion indexes as an `Indexed` Job's status writes them: `1,3-5`. Pure.

use std::collections::BTreeSet;

/// Reads `1,3-5`; what is no number, and what is not below `completions`, is left out.
pub(super) fn parse(text: &str, completions: i32) -> BTreeSet<i32> {
    let mut indexes = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
            indexes.extend((first..=last).take_while(|index| *index < completions));
        }
    }
    indexes
}

/// Writes indexes with a range wherever two or more follow each other.
pub(super) fn format(indexes: &BTreeSet<i32>) -> String {
    let mut parts: Vec<(i32, i32)> = Vec::new();
    for index in indexes {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => parts.push((*index, *index)),
        }
    }
    let text = |(first, last): &(i32, i32)| {
        if first == last {
            first.to_string()
        } else if first + 1 == *last {
            format!("{first},{last}")
        } else {
            format!("{first}-{last}")
        }
    };
    parts.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completed_indexes_are_written_as_ranges_and_read_back() {
        let cases: [(&[i32], &str); 5] =
            [(&[], ""), (&[4], "4"), (&[0, 1], "0,1"), (&[0, 1, 2], "0-2"), (&[1, 3, 4, 5, 7], "1,3-5,7")];
        for (indexes, text) in cases {
            let indexes: BTreeSet<i32> = indexes.iter().copied().collect();
            assert_eq!(format(&indexes), text);
            assert_eq!(parse(text, 10), indexes, "{text}");
        }
        assert_eq!(parse("1,3-5", 4), BTreeSet::from([1, 3]), "completions were lowered");
    }
}
