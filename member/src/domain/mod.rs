//! The rules of membership. Pure: no database, network or clock.

pub mod member;
pub mod nickname;
pub mod phone_no;

pub use member::{Member, Transition, WelcomeOutcome};
pub use nickname::{InvalidNickname, Nickname};
pub use phone_no::{InvalidPhoneNo, PhoneNo};
