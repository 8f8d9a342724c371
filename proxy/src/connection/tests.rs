use super::*;

#[tokio::test]
async fn each_end_is_counted_once() {
    let test = async {
        let worker = Worker::for_tests();
        let begin = || Connection::begin(&worker, Direction::Outbound, None);
        let ended = || worker.shared.telemetry.connections.ended();
        begin().refuse(Fault::NoEndpoint);
        assert_eq!(ended(), 1);
        let mut connection = begin();
        connection.open();
        connection.end(&End::Complete);
        assert_eq!(ended(), 2);
        // Dropped: one that is open was cut off, and one that is not was never opaque.
        drop(begin());
        assert_eq!(ended(), 2);
        let mut connection = begin();
        connection.open();
        drop(connection);
        assert_eq!(ended(), 3);
    };
    tokio::task::LocalSet::new().run_until(test).await;
}
