//! Only a plan that has passed the limits can be applied: the compiler says so.

#[test]
fn an_unapproved_plan_cannot_be_applied() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
