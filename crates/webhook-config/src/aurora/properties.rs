//! Which of repeated keys counted.

/// Aurora's keys.
pub(crate) const KEYS: [&str; 4] = ["headers", "targetURL", "timeoutMsec", "statuses"];

/// The number of members after which Aurora had all of its keys, and made its settings of them: a
/// repetition after that was read, but changed nothing. `None` where some key never came, and the
/// last of each counted, or where a key is not Aurora's, so that it refused the file.
pub(crate) fn settled_after<'a>(keys: impl Iterator<Item = &'a str>) -> Option<usize> {
    let mut seen = [false; KEYS.len()];
    let mut settled = None;
    for (index, key) in keys.enumerate() {
        seen[KEYS.iter().position(|known| *known == key)?] = true;
        if settled.is_none() && seen == [true; KEYS.len()] {
            settled = Some(index + 1);
        }
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_keys_settle_it() {
        let settled = |keys: &[&str]| settled_after(keys.iter().copied());
        assert_eq!(
            settled(&["headers", "targetURL", "timeoutMsec", "timeoutMsec"]),
            None
        );
        let all = [
            "statuses",
            "headers",
            "headers",
            "targetURL",
            "timeoutMsec",
            "statuses",
        ];
        assert_eq!(settled(&all), Some(5));
        assert_eq!(settled(&[&all[..], &["name"]].concat()), None);
    }
}
