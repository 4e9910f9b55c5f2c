//! Suggests a known word for a misspelt one.

/// The known word that was most likely meant, if one is similar.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A much longer text is not a misspelt word.
    if word.len() > 64 || word.trim().is_empty() {
        return None;
    }
    let plain = |word: &str| -> String {
        word.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect()
    };
    let given = plain(word);
    known
        .filter_map(|candidate| {
            let other = plain(candidate);
            let distance = strsim::osa_distance(&given, &other);
            let near = distance <= given.len().max(other.len()) / 3;
            let part = given.len() >= 3 && (other.contains(&given) || given.contains(&other));
            (near || part).then_some((!near, distance, candidate))
        })
        .min_by_key(|(is_far, distance, _)| (*is_far, *distance))
        .map(|(_, _, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_was_meant_is_found() {
        let keys = [
            "targetURL",
            "timeoutMsec",
            "responseTimeoutMsec",
            "headers",
            "statuses",
        ];
        for (word, meant) in [
            ("targetUrl", "targetURL"),
            ("target_url", "targetURL"),
            ("url", "targetURL"),
            ("timeoutMs", "timeoutMsec"),
            ("timeout", "timeoutMsec"),
            ("header", "headers"),
            ("status", "statuses"),
        ] {
            assert_eq!(nearest(word, keys.into_iter()), Some(meant), "{word}");
        }
        for word in ["", "foo", "x", &"targetURL".repeat(20)] {
            assert_eq!(nearest(word, keys.into_iter()), None, "{word}");
        }
    }
}
