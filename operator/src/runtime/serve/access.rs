//! Who may read metrics: whoever the API server knows by a token, and lets `get` the non-resource URL `/metrics`.
//!
//! Both questions are asked of the API server (`TokenReview`, `SubjectAccessReview`). Answers are kept for a short while,
//! by a digest of the token; tokens themselves are neither kept nor logged.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::kit::error::chain;

/// As kube-rbac-proxy and controller-runtime have it: a scrape every few seconds is not two requests each.
const ALLOWED_FOR: Duration = Duration::from_mins(1);
/// Rights that were just given should be seen soon.
const DENIED_FOR: Duration = Duration::from_secs(10);
/// Answers kept at a time. Who sends more tokens than that is guessing.
const ANSWERS_MAX: usize = 128;

/// Why somebody may not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// Nobody the API server knows.
    Unknown,
    /// Somebody who may not.
    Forbidden(String),
    /// The API server did not say.
    Unanswered,
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown => (StatusCode::UNAUTHORIZED, "Unauthorized").into_response(),
            Self::Forbidden(user) => (StatusCode::FORBIDDEN, format!("{user} may not get /metrics")).into_response(),
            Self::Unanswered => (StatusCode::INTERNAL_SERVER_ERROR, "cannot find out who is asking").into_response(),
        }
    }
}

/// Whether somebody may read, and until when that is so.
type Answer = (Result<(), Denied>, Instant);

/// Answers who may read.
pub(super) struct Access {
    client: Client,
    /// By a digest of the token, and until when they count.
    answers: Mutex<HashMap<[u8; 32], Answer>>,
}

impl Access {
    pub(super) fn new(client: Client) -> Self {
        Self { client, answers: Mutex::default() }
    }

    /// Whether the sender of these headers may read.
    pub(super) async fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Denied::Unknown)?.trim();
        let digest = Sha256::digest(token).into();
        if let Some(answer) = self.remembered(&digest) {
            return answer;
        }
        let answer = self.ask(token).await;
        self.remember(digest, &answer);
        answer
    }

    async fn ask(&self, token: &str) -> Result<(), Denied> {
        let unanswered = |error: kube::Error| {
            tracing::warn!(error = %chain(&error), "cannot find out who may read metrics");
            Denied::Unanswered
        };
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let reviewed = reviews.create(&PostParams::default(), &review).await.map_err(unanswered)?;
        let status = reviewed.status.unwrap_or_default();
        let user = status.user.filter(|_| status.authenticated == Some(true)).ok_or(Denied::Unknown)?;
        let name = user.username.clone().unwrap_or_default();
        let accesses: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let asked = accesses.create(&PostParams::default(), &access_review(user)).await.map_err(unanswered)?;
        if asked.status.is_some_and(|status| status.allowed) { Ok(()) } else { Err(Denied::Forbidden(name)) }
    }

    fn remembered(&self, digest: &[u8; 32]) -> Option<Result<(), Denied>> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(digest).filter(|(_, until)| Instant::now() < *until).map(|(answer, _)| answer.clone())
    }

    fn remember(&self, digest: [u8; 32], answer: &Result<(), Denied>) {
        let keep = match answer {
            Ok(()) => ALLOWED_FOR,
            Err(Denied::Unknown | Denied::Forbidden(_)) => DENIED_FOR,
            Err(Denied::Unanswered) => return,
        };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|_, (_, until)| Instant::now() < *until);
        if answers.len() < ANSWERS_MAX {
            answers.insert(digest, (answer.clone(), Instant::now() + keep));
        }
    }
}

fn access_review(user: UserInfo) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username,
            groups: user.groups,
            uid: user.uid,
            extra: user.extra,
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some("/metrics".to_owned()),
                verb: Some("get".to_owned()),
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}
