//! The rules of notifications. Pure: no database, network or clock.

pub mod delivery;
pub mod limits;
pub mod message;
pub mod phone_no;
pub mod text;

pub use delivery::{Delivery, RetryBudget};
pub use limits::{Admission, Counter, Limits, Scope};
pub use message::{Message, MessageStatus};
pub use phone_no::{KoreanMobile, PhoneNo};
pub use text::{ExpiryNotice, Texts};
