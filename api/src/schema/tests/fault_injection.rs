//! FaultInjectionPolicies: every field is asked for beside one that is fine.

use super::*;
use crate::fault_injection::FaultInjection;

fn of_faults(spec: &Value) -> Verdict {
    verdict(spec, FaultInjection::validate)
}

#[test]
fn every_rule_of_validate_is_in_the_schema_of_fault_injections() {
    let server = Server::new(fault_injection_policy());
    let delay =
        |percent: Value, duration: &str| json!({ "delay": { "percent": percent, "duration": duration } });
    let abort =
        |percent: Value, status: Value| json!({ "abort": { "percent": percent, "httpStatus": status } });
    let table = [
        (json!({}), Some(("delay", CEL))),
        (delay(json!(0), "1ms"), None),
        (delay(json!(0.0001), "5m"), None),
        (delay(json!(-0.1), "1s"), Some(("delay.percent", "minimum"))),
        (delay(json!(100.1), "1s"), Some(("delay.percent", "maximum"))),
        (delay(json!(100), "0s"), Some(("delay.duration", CEL))),
        (delay(json!(100), "301s"), Some(("delay.duration", CEL))),
        (abort(json!(100), json!(400)), None),
        (abort(json!(101), json!(503)), Some(("abort.percent", "maximum"))),
        (abort(json!(-1), json!(503)), Some(("abort.percent", "minimum"))),
        (abort(json!(1), json!(399)), Some(("abort.httpStatus", "minimum"))),
        (abort(json!(1), json!(600)), Some(("abort.httpStatus", "maximum"))),
        (json!({ "abort": { "percent": 1, "grpcStatus": "UNAVAILABLE" } }), None),
        (json!({ "abort": { "percent": 1 } }), Some(("abort", CEL))),
    ];
    for (settings, refused) in table {
        let spec = spec(settings);
        let refusals = server.check(&spec);
        match refused {
            None => assert_eq!((refusals, of_faults(&spec)), (vec![], Verdict::Fine), "{spec}"),
            Some((field, keyword)) => {
                assert_eq!(refusals, [(field.to_owned(), keyword)], "{spec}");
                assert_eq!(of_faults(&spec), Verdict::Refused(field.to_owned()), "{spec}");
            }
        }
    }
}

#[test]
fn what_no_fault_can_be_is_refused_by_keywords() {
    let server = Server::new(fault_injection_policy());
    let table = [
        (json!({ "delay": { "percent": 1 } }), "delay", "required"),
        (json!({ "delay": { "duration": "1s" } }), "delay", "required"),
        (json!({ "abort": { "httpStatus": 503 } }), "abort", "required"),
        (json!({ "abort": { "percent": 1, "grpcStatus": "OK" } }), "abort.grpcStatus", "enum"),
        (json!({ "abort": { "percent": 1, "grpcStatus": 14 } }), "abort.grpcStatus", "enum"),
        (json!({ "delays": {} }), "delays", "properties"),
    ];
    for (settings, field, keyword) in table {
        let spec = spec(settings);
        assert_eq!(of_faults(&spec), Verdict::Unreadable, "{spec}");
        assert!(server.check(&spec).contains(&(field.to_owned(), keyword)), "{spec}");
    }
}

#[test]
fn statuses_of_grpc_have_their_names_and_numbers() {
    for (name, number) in
        [("CANCELLED", 1), ("DEADLINE_EXCEEDED", 4), ("UNAVAILABLE", 14), ("UNAUTHENTICATED", 16)]
    {
        let status: crate::fault_injection::GrpcStatus = serde_json::from_value(json!(name)).unwrap();
        assert_eq!(status as i32, number);
    }
}
