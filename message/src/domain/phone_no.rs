//! Where a notification goes.

use std::fmt;

/// A phone number in digits, as the member service keeps it. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNo(pub String);

impl fmt::Debug for PhoneNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNo(****)")
    }
}

/// The number is not one that text messages can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Korean mobile number")]
pub struct NotKoreanMobile;

/// A Korean mobile number: 010 and 11 digits (the numbering plan since 2004). `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KoreanMobile<'a>(&'a str);

impl<'a> KoreanMobile<'a> {
    /// As it is dialled in Korea, such as `01012345678`.
    #[must_use]
    pub const fn national(self) -> &'a str {
        self.0
    }

    /// As it is dialled from anywhere (ITU-T E.164), such as `+821012345678`.
    #[must_use]
    pub fn e164(self) -> String {
        format!("+82{}", &self.0[1..])
    }
}

impl<'a> TryFrom<&'a PhoneNo> for KoreanMobile<'a> {
    type Error = NotKoreanMobile;

    fn try_from(PhoneNo(digits): &'a PhoneNo) -> Result<Self, NotKoreanMobile> {
        let is_mobile =
            digits.len() == 11 && digits.starts_with("010") && digits.bytes().all(|b| b.is_ascii_digit());
        if is_mobile { Ok(Self(digits)) } else { Err(NotKoreanMobile) }
    }
}

impl fmt::Debug for KoreanMobile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KoreanMobile(****)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_korean_mobile_numbers_can_be_sent_to() {
        let number = PhoneNo("01085581234".to_owned());
        let mobile = KoreanMobile::try_from(&number).unwrap();
        assert_eq!((mobile.national(), mobile.e164().as_str()), ("01085581234", "+821085581234"));
        for number in
            ["0108558", "010855812345", "01185581234", "0", "", "0212345678", "0108558123x", "０1０"]
        {
            assert_eq!(KoreanMobile::try_from(&PhoneNo(number.to_owned())), Err(NotKoreanMobile), "{number}");
        }
    }

    #[test]
    fn a_phone_number_is_hidden_in_a_log_line() {
        let number = PhoneNo("01085581234".to_owned());
        let printed = format!("{number:?} {:?}", KoreanMobile::try_from(&number).unwrap());
        assert_eq!(printed, "PhoneNo(****) KoreanMobile(****)");
    }
}
