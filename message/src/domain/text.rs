//! What a notification says: a template per kind and language.

use chassis::Language;
use shared_events::event::MessageKind;

/// Longest text of one short message, in bytes of EUC-KR; beyond it the carriers charge for a long one.
const LONGEST: usize = 90;

/// The name does not fit into every text, or cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBrand {
    /// It is empty, or has control characters.
    #[error("it has to have letters, and no control characters")]
    NotPrintable,
    /// A text would be longer than one short message.
    #[error("with it a text is longer than {LONGEST} bytes, which is more than one short message")]
    TooLong,
}

/// The texts of one programme, in its language and under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    welcome: String,
}

impl Texts {
    /// The texts in this language and under this name.
    ///
    /// # Errors
    /// When the name makes a text that cannot be sent as one short message.
    pub fn new(language: Language, brand: &str) -> Result<Self, BadBrand> {
        if brand.trim().is_empty() || brand.chars().any(char::is_control) {
            return Err(BadBrand::NotPrintable);
        }
        let texts = Self { welcome: welcome(language, brand) };
        if euc_kr_bytes(&texts.welcome) > LONGEST { Err(BadBrand::TooLong) } else { Ok(texts) }
    }

    /// What a notification says, or `None` if this version does not know its kind.
    #[must_use]
    pub fn of(&self, kind: MessageKind) -> Option<&str> {
        match kind {
            MessageKind::Welcome => Some(&self.welcome),
            MessageKind::Unknown => None,
        }
    }
}

fn welcome(language: Language, brand: &str) -> String {
    match language {
        Language::Korean => format!("[{brand}] 회원 가입을 환영합니다. 적립금 1,000점을 드립니다."),
        Language::English => format!("[{brand}] Welcome! 1,000 points are yours for joining."),
    }
}

/// What is not ASCII takes two bytes in EUC-KR.
fn euc_kr_bytes(text: &str) -> usize {
    text.chars().map(|letter| if letter.is_ascii() { 1 } else { 2 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_its_text_under_the_name_of_the_programme() {
        let text =
            |language| Texts::new(language, "마일리지").unwrap().of(MessageKind::Welcome).unwrap().to_owned();
        assert_eq!(text(Language::Korean), "[마일리지] 회원 가입을 환영합니다. 적립금 1,000점을 드립니다.");
        assert_eq!(text(Language::English), "[마일리지] Welcome! 1,000 points are yours for joining.");
        assert_eq!(Texts::new(Language::Korean, "M").unwrap().of(MessageKind::Unknown), None);
    }

    #[test]
    fn a_name_has_to_fit_into_one_short_message() {
        for language in [Language::Korean, Language::English] {
            let room = LONGEST - euc_kr_bytes(&welcome(language, ""));
            assert!(Texts::new(language, &"a".repeat(room)).is_ok());
            assert_eq!(Texts::new(language, &"a".repeat(room + 1)), Err(BadBrand::TooLong));
            assert_eq!(Texts::new(language, &"가".repeat(room / 2 + 1)), Err(BadBrand::TooLong));
        }
        for brand in ["", " ", "a\nb"] {
            assert_eq!(Texts::new(Language::Korean, brand), Err(BadBrand::NotPrintable), "{brand:?}");
        }
    }
}
