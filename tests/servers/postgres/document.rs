//! docs/postgresql.md is true.

#[test]
fn the_document_holds_the_statements_that_the_program_runs() {
    let text = include_str!("../../../docs/postgresql.md");
    let shown = text.split("<!-- tables -->\n```sql\n").nth(1).unwrap();
    let shown = shown.split("```").next().unwrap();
    assert_eq!(shown, scimitar::ledger::postgres::tables());
}
