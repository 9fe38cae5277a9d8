//! Writing an error with its causes on one line.

use std::error::Error;

/// The error and its causes, joined by `: `. A cause that the text before it already ends with is left out, as some
/// libraries repeat the source in their own message.
///
/// For an [`anyhow::Error`] pass `error.as_ref()`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::chain;

    #[test]
    fn causes_follow_each_other_once() {
        let error = anyhow!("refused").context("cannot connect: refused").context("cannot migrate");

        assert_eq!(chain(error.as_ref()), "cannot migrate: cannot connect: refused");
    }
}
