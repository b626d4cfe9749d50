//! What is forgotten, and when.

use crate::fixture::Fixture;

#[tokio::test]
async fn agents_are_forgotten_two_hours_after_they_were_last_heard_of() {
    let fixture = Fixture::new().await;
    for (agent, minutes) in [("long-gone", 121), ("silent", 119), ("in-touch", 0)] {
        fixture.queue.note_heard(agent).await.unwrap();
        fixture
            .sql(&format!(
                "update work.agent_contacts set heard_at = heard_at - interval '{minutes} minutes' where agent = '{agent}'"
            ))
            .await;
    }

    fixture.sweeper.forget().await.unwrap();

    let known: Vec<String> = sqlx::query_scalar("select agent from work.agent_contacts order by heard_at")
        .fetch_all(fixture.storage.pool())
        .await
        .unwrap();
    assert_eq!(known, ["silent", "in-touch"]);
}
