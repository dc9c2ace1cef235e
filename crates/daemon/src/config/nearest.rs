//! "Did you mean": the known name closest to one that is not known.

/// `None` where nothing is close enough to be a likely slip.
pub fn nearest<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Option<String> {
    // A third of the letters wrong is another word, not a slip.
    let distance_max = (name.len() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(name, candidate.as_ref()), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.as_ref().to_owned())
}

/// The number of letters to insert, delete or replace, or of neighbours to swap (Damerau-Levenshtein, the restricted form).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    // `rows[i][j]`: the distance of the first `i` letters of the one from the first `j` of the other.
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                let swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
                let swapped = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                replaced.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["port", "host", "admin-port", "heartbeat-interval"];
        assert_eq!(nearest("prot", known).as_deref(), Some("port"));
        assert_eq!(nearest("pport", known).as_deref(), Some("port"));
        assert_eq!(nearest("hearbeat-intervall", known).as_deref(), Some("heartbeat-interval"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn distances() {
        for (from, to, expected) in
            [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 1), ("abc", "ca", 3)]
        {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
