//! FaultInjectionPolicies: which requests are held, and which are answered in place of the service.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use rand::Rng;
use weft_api::fault_injection::{self as policy, parts_per_million};

use crate::share;

/// The policy of a route, ready for use.
#[derive(Clone, Debug)]
pub struct FaultInjection {
    /// `<namespace>/<name>` of the policy.
    pub policy: Arc<str>,
    /// What is told of requests that are held.
    pub words_of_delay: Arc<str>,
    /// What is told of requests that are answered.
    pub words_of_abort: Arc<str>,
    delay: Option<Delay>,
    abort: Option<Abort>,
}

#[derive(Clone, Copy, Debug)]
struct Delay {
    parts_per_million: u32,
    duration: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Abort {
    parts_per_million: u32,
    http: Option<StatusCode>,
    grpc: Option<tonic::Code>,
}

/// What is to happen to one request: both, one of them, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// First it is held for so long.
    pub delay: Option<Duration>,
    /// Then it is answered.
    pub abort: Option<Answer>,
}

/// By what a request is answered in place of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A status.
    Status(StatusCode),
    /// A status of gRPC, to a call of it.
    Grpc(tonic::Code),
}

impl FaultInjection {
    /// From the policy of this name.
    pub fn new(name: &str, policy: &policy::FaultInjection) -> Result<Self, String> {
        policy.validate().map_err(|violation| violation.to_string())?;
        let delay = policy.delay.map(|delay| Delay {
            parts_per_million: parts_per_million(delay.percent),
            duration: delay.duration.get(),
        });
        let abort = policy.abort.map(|abort| Abort {
            parts_per_million: parts_per_million(abort.percent),
            // Within 400 to 599, which has been checked.
            http: abort.http_status.and_then(|status| StatusCode::from_u16(status).ok()),
            grpc: abort.grpc_status.map(|status| tonic::Code::from_i32(status as i32)),
        });
        let time = policy.delay.map(|delay| delay.duration).unwrap_or_default();
        Ok(Self {
            policy: name.into(),
            words_of_delay: format!("held for {time} by FaultInjectionPolicy {name}").into(),
            words_of_abort: format!("FaultInjectionPolicy {name} answers in place of the service").into(),
            delay,
            abort,
        })
    }

    /// What is to happen to one request.
    pub fn draw(&self, is_grpc: bool, random: &mut impl Rng) -> Drawn {
        let delay = self.delay.filter(|delay| share::draws(delay.parts_per_million, random));
        let abort = self.abort.filter(|abort| share::draws(abort.parts_per_million, random));
        Drawn {
            delay: delay.map(|delay| delay.duration),
            abort: abort.and_then(|abort| abort.answer(is_grpc)),
        }
    }
}

impl Abort {
    fn answer(self, is_grpc: bool) -> Option<Answer> {
        let grpc = self.grpc.filter(|_| is_grpc).map(Answer::Grpc);
        grpc.or(self.http.map(Answer::Status))
    }
}

#[cfg(test)]
mod tests;
