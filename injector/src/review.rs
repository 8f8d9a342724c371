//! One question of an API server: an `AdmissionReview` (admission.k8s.io/v1) in, one with the answer out. Pure.

mod relevant;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::Installation,
    decide::{Decision, decide},
    patch::patch,
};

/// The only version that is spoken.
const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// Bytes of a uid at most; those of API servers have 36.
const UID_BYTES_MAX: usize = 256;
/// Status of a refusal: an API server hands it to whoever made the pod.
const FORBIDDEN: u16 = 403;

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The review with the response in it.
    pub body: Vec<u8>,
    /// What was decided, as a label of a metric.
    pub outcome: &'static str,
    /// Which pod it was about, and what was decided of it, for the log.
    pub note: String,
}

/// Not a review that can be answered: the text goes to the API server with status 400.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or not of the right shape.
    #[error("the body is no {KIND}: {0}")]
    Json(#[from] serde_json::Error),
    /// Another kind or version.
    #[error("the body is of another kind than {API_VERSION} {KIND}: set admissionReviewVersions to [v1]")]
    Version,
    /// It has no request, or one without a uid.
    #[error("the {KIND} has no request with a uid of 1 to {UID_BYTES_MAX} bytes: there is nothing to answer")]
    NoRequest,
}

/// Other fields mean nothing here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<Request>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource: Resource,
    #[serde(default)]
    sub_resource: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    namespace: String,
    /// The pod, as far as it is looked at.
    #[serde(default, deserialize_with = "relevant::pod")]
    object: Value,
}

#[derive(Default, Deserialize)]
struct Resource {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resource: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Status {
    code: u16,
    reason: &'static str,
    message: String,
}

/// Answers the review that `body` holds.
pub fn review(body: &[u8], installation: &Installation) -> Result<Answer, Malformed> {
    let question: Question = serde_json::from_slice(body)?;
    if question.api_version != API_VERSION || question.kind != KIND {
        return Err(Malformed::Version);
    }
    let request = question.request.ok_or(Malformed::NoRequest)?;
    if request.uid.is_empty() || request.uid.len() > UID_BYTES_MAX {
        return Err(Malformed::NoRequest);
    }
    let (response, outcome, note) = respond(&request, installation)?;
    let review = Review { api_version: API_VERSION, kind: KIND, response };
    let note = format!("{}: {note}", name(&request));
    Ok(Answer { body: serde_json::to_vec(&review)?, outcome, note })
}

fn respond<'a>(
    request: &'a Request,
    installation: &Installation,
) -> Result<(Response<'a>, &'static str, String), serde_json::Error> {
    let mut response = Response {
        uid: &request.uid,
        allowed: true,
        patch_type: None,
        patch: None,
        status: None,
        warnings: Vec::new(),
    };
    let Resource { group, resource } = &request.resource;
    let is_new_pod = group.is_empty() && resource == "pods" && request.sub_resource.is_empty();
    if !is_new_pod || request.operation != "CREATE" {
        response.warnings.push("weft-injector was asked about something else than a new pod".to_owned());
        return Ok((response, "not_a_pod", "not a new pod: left as it is".to_owned()));
    }
    let verdict = decide(&request.object, &request.namespace, installation);
    response.warnings = verdict.warnings;
    Ok(match verdict.decision {
        Decision::Inject(plan) => {
            let adds = patch(&request.object, &plan, installation);
            response.patch_type = Some("JSONPatch");
            response.patch = Some(STANDARD.encode(serde_json::to_vec(&adds)?));
            (response, "injected", "injected".to_owned())
        }
        Decision::Skip(why) => (response, why.name(), format!("left as it is: {why}")),
        Decision::Refuse(refusal) => {
            let message = format!("weft: {refusal}");
            let note = format!("refused: {refusal}");
            response.allowed = false;
            response.status = Some(Status { code: FORBIDDEN, reason: "Forbidden", message });
            (response, "refused", note)
        }
    })
}

/// What people call the pod: it may get its name only later.
fn name(request: &Request) -> String {
    let metadata = |field| request.object.pointer(field).and_then(Value::as_str).unwrap_or_default();
    let name = match metadata("/metadata/name") {
        "" => format!("{}*", metadata("/metadata/generateName")),
        name => name.to_owned(),
    };
    crate::annotations::quoted(&format!("{}/{name}", request.namespace))
}
