//! What a notification says: a template per kind and language.

use chassis::Language;
use chrono::{DateTime, TimeDelta, Utc};
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

/// What an expiry notice tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryNotice {
    /// How many points expire.
    pub points: i64,
    /// From when on they are no longer valid.
    pub expires_at: DateTime<Utc>,
}

/// The texts of one programme, in its language and under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    language: Language,
    brand: String,
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
        let texts = Self { language, brand: brand.to_owned() };
        let longest = ExpiryNotice { points: 9_007_199_254_740_991, expires_at: DateTime::UNIX_EPOCH };
        let all = [texts.welcome(), texts.expiry_notice(longest)];
        let fit = all.iter().all(|text| euc_kr_bytes(text) <= LONGEST);
        if fit { Ok(texts) } else { Err(BadBrand::TooLong) }
    }

    /// What a notification says, or `None` if this version does not know its kind.
    #[must_use]
    pub fn of(&self, kind: MessageKind, notice: Option<ExpiryNotice>) -> Option<String> {
        match kind {
            MessageKind::Welcome => Some(self.welcome()),
            MessageKind::ExpiryNotice => notice.map(|notice| self.expiry_notice(notice)),
            MessageKind::Unknown => None,
        }
    }

    fn welcome(&self) -> String {
        let brand = &self.brand;
        match self.language {
            Language::Korean => format!("[{brand}] 회원 가입을 환영합니다. 적립금 1,000점을 드립니다."),
            Language::English => format!("[{brand}] Welcome! 1,000 points are yours for joining."),
        }
    }

    /// Names the last day, in Seoul, on which the points are valid.
    fn expiry_notice(&self, ExpiryNotice { points, expires_at }: ExpiryNotice) -> String {
        const KST: TimeDelta = TimeDelta::hours(9);
        let last_moment = expires_at.checked_add_signed(KST - TimeDelta::milliseconds(1));
        let (brand, last_day) = (&self.brand, last_moment.unwrap_or(expires_at).date_naive());
        match self.language {
            Language::Korean => format!("[{brand}] 적립금 {points}점이 {last_day}까지 유효합니다."),
            Language::English => format!("[{brand}] {points} of your points are valid until {last_day}."),
        }
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
    fn each_language_has_its_texts_under_the_name_of_the_programme() {
        // The first moment of 2027 in Seoul.
        let expires_at = "2026-12-31T15:00:00Z".parse().unwrap();
        let notice = Some(ExpiryNotice { points: 500, expires_at });
        for (language, welcome, expiry) in [
            (
                Language::Korean,
                "[마일리지] 회원 가입을 환영합니다. 적립금 1,000점을 드립니다.",
                "[마일리지] 적립금 500점이 2026-12-31까지 유효합니다.",
            ),
            (
                Language::English,
                "[마일리지] Welcome! 1,000 points are yours for joining.",
                "[마일리지] 500 of your points are valid until 2026-12-31.",
            ),
        ] {
            let texts = Texts::new(language, "마일리지").unwrap();
            assert_eq!(texts.of(MessageKind::Welcome, None).as_deref(), Some(welcome));
            assert_eq!(texts.of(MessageKind::ExpiryNotice, notice).as_deref(), Some(expiry));
            assert_eq!(texts.of(MessageKind::ExpiryNotice, None), None);
            assert_eq!(texts.of(MessageKind::Unknown, None), None);
        }
    }

    #[test]
    fn a_name_has_to_fit_into_one_short_message() {
        for language in [Language::Korean, Language::English] {
            let fits = |brand: &str| Texts::new(language, brand).is_ok();
            let longest = (1..=LONGEST).rev().find(|length| fits(&"a".repeat(*length))).unwrap();
            assert!((20..60).contains(&longest), "{longest}");
            assert!(fits(&"가".repeat(longest / 2)));
            assert_eq!(Texts::new(language, &"가".repeat(longest / 2 + 1)), Err(BadBrand::TooLong));
        }
        for brand in ["", " ", "a\nb"] {
            assert_eq!(Texts::new(Language::Korean, brand), Err(BadBrand::NotPrintable), "{brand:?}");
        }
    }
}
