//! Is this pod of the mesh, and who redirects its connections? Pure: a pod as the API server tells it in, the answer out.

use serde_json::Value;
use weft_api::names::{ANNOTATION_MIRROR, CONTAINER_INIT};

use crate::question::Question;

/// What `weft-init` is told where it installs nothing.
const VERIFY: &str = "--verify";

/// The arguments of the pod's `weft-init` behind `init`, if it leaves the redirect to the node. None: there is nothing
/// to do.
pub fn redirect(pod: &Value) -> Option<Vec<String>> {
    let mirrors =
        pod.pointer("/metadata/annotations").is_some_and(|all| all.get(ANNOTATION_MIRROR).is_some());
    if mirrors {
        // What a node runs from its own files nobody injects into.
        return None;
    }
    let containers = pod.pointer("/spec/initContainers")?.as_array()?;
    let init = containers.iter().find(|container| container["name"] == CONTAINER_INIT)?;
    let arguments = init["args"].as_array()?.iter().map(|argument| argument.as_str().map(str::to_owned));
    match arguments.collect::<Option<Vec<_>>>()?.as_slice() {
        [command, flags @ ..] if command == "init" && flags.iter().any(|flag| flag == VERIFY) => {
            Some(flags.to_vec())
        }
        _ => None,
    }
}

/// Whether `pod` is the one that is asked about, and not a later one of the same name. What a node runs from its own
/// files has another number there than at the API server.
pub fn is_same(pod: &Value, question: &Question) -> bool {
    let metadata = &pod["metadata"];
    let uid = metadata["annotations"][ANNOTATION_MIRROR].as_str().or_else(|| metadata["uid"].as_str());
    question.uid.as_deref().is_none_or(|asked| Some(asked) == uid)
}

/// Whether this can be the name of a namespace or a pod, and so a part of a path (RFC 1123, 2.1).
pub fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    (1..=253).contains(&text.len()) && text.bytes().all(fits) && !text.contains("..") && text != "."
}

#[cfg(test)]
mod tests;
