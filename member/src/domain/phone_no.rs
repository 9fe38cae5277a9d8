//! A phone number as it is kept: digits only.

use std::fmt;
use std::str::FromStr;

/// 1 to 20 digits. Whether it can be reached is found out by the notification, not at the door: joining is open
/// 24 hours, 365 days (the requirement).
///
/// `Debug` and `Display` mask it; only [`PhoneNo::as_str`] gives it away.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNo(String);

/// The text is not a phone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a phone number of 1 to {max} digits", max = PhoneNo::MAX_DIGITS)]
pub struct InvalidPhoneNo;

impl PhoneNo {
    const MAX_DIGITS: usize = 20;
    /// Korea's country code, written instead of the leading 0.
    const COUNTRY_CODE: &str = "+82";

    /// The digits. Personal data.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PhoneNo {
    type Err = InvalidPhoneNo;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let compact: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        let digits = match compact.strip_prefix(Self::COUNTRY_CODE) {
            Some(national) if !national.is_empty() => format!("0{}", national.trim_start_matches('0')),
            Some(_) | None => compact,
        };
        let in_range = (1..=Self::MAX_DIGITS).contains(&digits.len());
        if in_range && digits.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(digits))
        } else {
            Err(InvalidPhoneNo)
        }
    }
}

impl fmt::Display for PhoneNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            10.. => write!(f, "{}****{}", &self.0[..3], &self.0[self.0.len() - 2..]),
            _ => f.write_str("****"),
        }
    }
}

impl fmt::Debug for PhoneNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNo({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_kept_as_digits() {
        for (text, digits) in [
            ("01085581234", "01085581234"),
            ("010-8558-1234", "01085581234"),
            (" 010 8558 1234 ", "01085581234"),
            ("+82 10-8558-1234", "01085581234"),
            ("+82 010 8558 1234", "01085581234"),
            ("0108558", "0108558"),
            ("1", "1"),
        ] {
            assert_eq!(text.parse::<PhoneNo>().unwrap().as_str(), digits);
        }
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for text in
            ["", " ", "-", "abc", "010a", "+1 555", "+82", "１２３", "0".repeat(21).as_str(), "010\u{0}1"]
        {
            assert_eq!(text.parse::<PhoneNo>(), Err(InvalidPhoneNo), "{text:?}");
        }
    }

    #[test]
    fn a_number_is_masked_wherever_it_is_printed() {
        let phone_no: PhoneNo = "01085581234".parse().unwrap();
        assert_eq!(phone_no.to_string(), "010****34");
        assert_eq!(format!("{phone_no:?}"), "PhoneNo(010****34)");
        assert_eq!("0108558".parse::<PhoneNo>().unwrap().to_string(), "****");
    }

    proptest! {
        #[test]
        fn reading_a_number_again_changes_nothing(text in "[0-9 +-]{0,24}") {
            if let Ok(phone_no) = text.parse::<PhoneNo>() {
                prop_assert_eq!(phone_no.as_str().parse::<PhoneNo>().unwrap(), phone_no);
            }
        }

        #[test]
        fn no_text_makes_reading_panic(text in any::<String>()) {
            let _ = text.parse::<PhoneNo>();
        }
    }
}
