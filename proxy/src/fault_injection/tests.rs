use rand::{SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};

use super::*;

fn faults(spec: Value) -> FaultInjection {
    FaultInjection::new("shop/storm", &serde_json::from_value(spec).unwrap()).unwrap()
}

#[test]
fn delays_and_answers_are_drawn_apart_from_one_another() {
    let faults = faults(json!({
        "delay": { "percent": 20, "duration": "2s" },
        "abort": { "percent": 0.5, "httpStatus": 503 },
    }));
    let mut random = SmallRng::seed_from_u64(7);
    let drawn: Vec<Drawn> = (0..200_000).map(|_| faults.draw(false, &mut random)).collect();
    let count = |which: fn(&Drawn) -> bool| drawn.iter().filter(|drawn| which(drawn)).count();
    let (held, answered) = (count(|drawn| drawn.delay.is_some()), count(|drawn| drawn.abort.is_some()));
    let both = count(|drawn| drawn.delay.is_some() && drawn.abort.is_some());
    // Five standard deviations: 179, 32 and 14.
    assert!(held.abs_diff(40_000) < 900, "{held}");
    assert!(answered.abs_diff(1_000) < 160, "{answered}");
    assert!(both.abs_diff(200) < 70, "{both}");
    let spoken = Drawn {
        delay: Some(Duration::from_secs(2)),
        abort: Some(Answer::Status(StatusCode::SERVICE_UNAVAILABLE)),
    };
    assert!(drawn.contains(&spoken));
}

#[test]
fn calls_of_grpc_are_answered_by_a_status_of_theirs_where_there_is_one() {
    let status = Answer::Status(StatusCode::BAD_GATEWAY);
    let data_loss = Answer::Grpc(tonic::Code::DataLoss);
    let table = [
        (json!({ "httpStatus": 502 }), Some(status), Some(status)),
        (json!({ "httpStatus": 502, "grpcStatus": "DATA_LOSS" }), Some(status), Some(data_loss)),
        (json!({ "grpcStatus": "DATA_LOSS" }), None, Some(data_loss)),
    ];
    let mut random = SmallRng::seed_from_u64(1);
    for (mut abort, request, call) in table {
        abort["percent"] = json!(100);
        let faults = faults(json!({ "abort": abort }));
        for (is_grpc, answer) in [(false, request), (true, call)] {
            let drawn = faults.draw(is_grpc, &mut random);
            assert_eq!(drawn, Drawn { delay: None, abort: answer }, "{faults:?}");
        }
    }
}

#[test]
fn nothing_happens_at_no_percent_and_everything_at_all() {
    let mut random = SmallRng::seed_from_u64(3);
    for (percent, happens) in [(0.0, false), (100.0, true)] {
        let faults = faults(json!({ "delay": { "percent": percent, "duration": "1ms" } }));
        assert!((0..10_000).all(|_| faults.draw(true, &mut random).delay.is_some() == happens), "{percent}");
    }
}
