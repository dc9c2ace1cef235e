//! "Did you mean": the known name closest to one that is not known.

/// `None` where nothing is close enough to be a likely slip.
pub(super) fn nearest<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Option<String> {
    // A third of the letters wrong is another word, not a slip.
    let distance_max = (name.len() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(name, candidate.as_ref()), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.as_ref().to_owned())
}

/// The number of letters to insert, delete or replace (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["port", "host", "admin-port", "heartbeat-interval"];
        assert_eq!(nearest("prot", known).as_deref(), None); // two replacements of four letters
        assert_eq!(nearest("pport", known).as_deref(), Some("port"));
        assert_eq!(nearest("hearbeat-intervall", known).as_deref(), Some("heartbeat-interval"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn distances() {
        for (from, to, expected) in
            [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
