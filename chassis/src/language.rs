//! The language in which a client is told something.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::header::ACCEPT_LANGUAGE;
use http::request::Parts;

/// A language that this system speaks. As an extractor: the one that suits the client best by its `Accept-Language`
/// (RFC 9110 §12.5.4), English where it does not say or speaks neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Korean.
    Korean,
}

impl Language {
    /// The language tag (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// Chooses by the value of an `Accept-Language` header; what cannot be understood of it is ignored.
    pub fn negotiate(accepted: &str) -> Self {
        let wanted = |language: Self| {
            let ranges = accepted.split(',').filter_map(range);
            let matching = ranges.filter(|(range, _)| language.matches(range));
            // The longest range that matches says how much a language is wanted; `*` is the shortest.
            matching
                .max_by_key(|(range, _)| if *range == "*" { 0 } else { range.len() })
                .map(|(_, quality)| quality)
        };
        match (wanted(Self::Korean), wanted(Self::English)) {
            (Some(korean), english) if korean > english.unwrap_or(0) => Self::Korean,
            _ => Self::English,
        }
    }

    /// Whether a range, such as `ko-KR`, stands for this language in any country.
    fn matches(self, range: &str) -> bool {
        let primary = range.split('-').next().unwrap_or_default();
        range == "*" || primary.eq_ignore_ascii_case(self.tag())
    }
}

/// A language range and how much it is wanted, in thousandths.
fn range(text: &str) -> Option<(&str, u16)> {
    let (range, weight) = text.split_once(';').unwrap_or((text, "q=1"));
    let quality = weight.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?;
    let quality: f32 = quality.trim().parse().ok()?;
    (0.0..=1.0).contains(&quality).then_some((range.trim(), (quality * 1_000.0) as u16))
}

impl<S: Sync> FromRequestParts<S> for Language {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let values =
            parts.headers.get_all(ACCEPT_LANGUAGE).into_iter().filter_map(|value| value.to_str().ok());
        Ok(Self::negotiate(&values.collect::<Vec<_>>().join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::Language::{self, English, Korean};

    #[test]
    fn the_language_that_is_wanted_most_is_chosen() {
        for (accepted, expected) in [
            ("ko", Korean),
            ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", Korean),
            ("KO-kr", Korean),
            ("ja, ko;q=0.2", Korean),
            ("fr, *;q=0.1, en;q=0", Korean),
            ("en-US,en;q=0.9,ko;q=0.8", English),
            ("en;q=0.5, ko;q=0.4", English),
            ("ko;q=0", English),
            ("ko;q=0.5, en", English),
            ("kok, koko", English),
            ("*", English),
            ("ja", English),
            ("", English),
        ] {
            assert_eq!(Language::negotiate(accepted), expected, "{accepted}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_ignored() {
        for nonsense in
            ["ko;q=nan", "ko;q=2", "ko;q=-1", "ko;q", "ko;level=1", ";;;,=,", "\u{fe0f}", "ko;q=1;q=2"]
        {
            assert_eq!(Language::negotiate(nonsense), English, "{nonsense}");
        }
        assert_eq!(Language::negotiate(&format!("{}ko", "en;q=nan,".repeat(100))), Korean);
    }
}
