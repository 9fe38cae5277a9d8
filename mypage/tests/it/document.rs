//! The OpenAPI document.

#[test]
fn the_committed_document_is_that_of_the_code() {
    chassis::testing::assert_committed(&mypage::http::document(), mypage::SERVICE.name);
}
