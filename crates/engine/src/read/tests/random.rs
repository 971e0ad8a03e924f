//! Random statements on the masked and filtered table equal the oracle.

use meshwork_testkit::RandomSql;

use super::catalog::fixture;

#[tokio::test]
async fn random_statements_equal_the_oracle() {
    let fixture = fixture().await;
    let mut random = RandomSql::new(20_260_301, "crm.c", "crm.o");
    let (mut answered, total) = (0, 320);
    for _ in 0..total {
        let sql = random.statement();
        fixture.assert_as_oracle(&sql).await;
        answered += usize::from(fixture.query(&sql).await.is_ok());
    }
    assert!(answered > total / 2, "only {answered} of {total} statements had an answer");
}
