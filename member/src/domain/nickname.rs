//! What a member wants to be called.

use std::fmt;
use std::str::FromStr;

/// 1 to 50 characters, neither blank at its ends nor able to garble a line of text. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Nickname(String);

/// The text cannot be a nickname.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNickname {
    /// Nothing is left without the blanks around it, or too much.
    #[error("must have 1 to {max} characters", max = Nickname::MAX_CHARS)]
    Length,
    /// A control character, a line separator or an override of the writing direction.
    #[error("must not have control characters")]
    ControlCharacter,
}

impl Nickname {
    const MAX_CHARS: usize = 50;

    /// The nickname. Personal data.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Nickname {
    type Err = InvalidNickname;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if !(1..=Self::MAX_CHARS).contains(&text.chars().take(Self::MAX_CHARS + 1).count()) {
            return Err(InvalidNickname::Length);
        }
        if text.chars().any(is_control) {
            return Err(InvalidNickname::ControlCharacter);
        }
        Ok(Self(text.to_owned()))
    }
}

fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Debug for Nickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nickname(****)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nickname_has_1_to_50_characters() {
        for valid in ["S", "홍길동", "👩‍👩‍👧", &"가".repeat(50)] {
            assert_eq!(valid.parse::<Nickname>().unwrap().as_str(), valid);
        }
        for invalid in ["", "   ", &"a".repeat(51), &"a".repeat(10_000)] {
            assert_eq!(invalid.parse::<Nickname>(), Err(InvalidNickname::Length));
        }
        assert_eq!(" SEQ1 ".parse::<Nickname>().unwrap().as_str(), "SEQ1");
    }

    #[test]
    fn a_nickname_has_no_control_characters() {
        for invalid in ["a\u{0}b", "a\nb", "a\u{7f}b", "a\u{85}b", "a\u{202E}b", "a\u{2028}b"] {
            assert_eq!(invalid.parse::<Nickname>(), Err(InvalidNickname::ControlCharacter), "{invalid:?}");
        }
    }
}
