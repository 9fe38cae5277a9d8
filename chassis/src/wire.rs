//! Values as old clients send them.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A 64-bit integer that a client may also send as a JSON string of decimal digits: stock HTTPie sends `memberId=1`
/// as `"1"`. Always written as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Integer(pub i64);

impl From<Integer> for i64 {
    fn from(integer: Integer) -> Self {
        integer.0
    }
}

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntegerVisitor)
    }
}

struct IntegerVisitor;

impl Visitor<'_> for IntegerVisitor {
    type Value = Integer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Integer, E> {
        Ok(Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Integer, E> {
        i64::try_from(value).map(Integer).map_err(|_| out_of_range())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Integer, E> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_integer {
            return Err(E::invalid_value(Unexpected::Str(text), &self));
        }
        text.parse().map(Integer).map_err(|_| out_of_range())
    }
}

fn out_of_range<E: Error>() -> E {
    E::custom("the integer is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<i64, String> {
        serde_json::from_str::<Integer>(json).map(i64::from).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_and_decimal_strings_are_integers() {
        assert_eq!(read("1"), Ok(1));
        assert_eq!(read("-730"), Ok(-730));
        assert_eq!(read(r#""-730""#), Ok(-730));
        assert_eq!(read(r#""9223372036854775807""#), Ok(i64::MAX));
        assert_eq!(read("-9223372036854775808"), Ok(i64::MIN));
    }

    #[test]
    fn everything_else_is_refused() {
        for json in
            ["1.5", "1.0", "true", "null", r#""""#, r#""-""#, r#""+1""#, r#"" 1""#, r#""1.0""#, "[1]", "{}"]
        {
            assert!(read(json).is_err_and(|message| message.contains("expected an integer")), "{json}");
        }
        for json in ["9223372036854775808", r#""9223372036854775808""#, r#""-9223372036854775809""#] {
            assert!(read(json).is_err_and(|message| message.contains("out of range")), "{json}");
        }
    }

    #[test]
    fn it_may_be_optional() {
        #[derive(Deserialize)]
        struct Body {
            amount: Option<Integer>,
        }
        let amount = |json| serde_json::from_str::<Body>(json).unwrap().amount;

        assert_eq!(amount("{}"), None);
        assert_eq!(amount(r#"{"amount":null}"#), None);
        assert_eq!(amount(r#"{"amount":"5"}"#), Some(Integer(5)));
        assert_eq!(serde_json::to_string(&Integer(5)).unwrap(), "5");
    }
}
