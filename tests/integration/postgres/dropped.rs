//! Runs that are dropped while the server claims them.

use deadpool_postgres::tokio_postgres::{NoTls, connect};

use super::Place;
use crate::journal_dropped::{Watched, give_up, goes_on};

#[tokio::test]
async fn a_server_is_given_back_what_it_grants_to_a_run_that_was_dropped() {
    let place = Place::new();
    let (journal, released) = Watched::new(place.open());
    let (client, connection) = connect(&place.url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(&format!("BEGIN; LOCK TABLE \"{}\".run", place.schema)).await.unwrap();
    give_up(journal.clone(), || ()).await;
    client.batch_execute("ROLLBACK").await.unwrap();
    goes_on(journal, &released).await;
    drop(client);
    connection.await.unwrap().unwrap();
}
