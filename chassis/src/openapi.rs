//! The OpenAPI document of a service: generated from its handlers, served at `/openapi.json`, with a page at `/docs`
//! that needs nothing from elsewhere.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{OpenApi, Required};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::hal::schema;
use crate::problem::PROBLEM_JSON;
use crate::{FieldError, Problem, Service};

/// The path of the document.
pub const DOCUMENT_PATH: &str = "/openapi.json";
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// An OpenAPI 3.1 document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document(Value);

impl Document {
    /// The document of a service's handlers, with links and with the problems that every operation may answer with.
    #[must_use]
    pub fn new(service: &Service, api: &OpenApi) -> Self {
        let mut document = serde_json::to_value(api).unwrap_or_default();
        document["openapi"] = json!("3.1.0");
        document["info"] = json!({
            "title": service.name, "description": service.about, "version": "1",
            "license": { "name": "MIT", "identifier": "MIT" },
        });
        document["servers"] = json!([{ "url": "/" }]);
        document["components"]["schemas"]["Problem"] = problem_schema();
        let bodies = document["components"]["schemas"].clone();
        let mut document = Self(document);
        for (method, path) in document.operations() {
            let operation = document.operation(method, &path);
            operation["tags"] = json!([path.split('/').nth(1).unwrap_or_default()]);
            for response in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
                as_hal(response, &path, &bodies);
                add_request_id(response);
            }
            let has_body = !operation["requestBody"].is_null();
            let has_input = has_body || operation["parameters"].as_array().is_some_and(|all| !all.is_empty());
            document.add(method, &path, usual_problems(has_input, has_body));
        }
        document
    }

    /// Adds problems that an operation may answer with, as examples of their statuses.
    ///
    /// # Panics
    /// When there is no such operation.
    #[must_use]
    pub fn problems(
        mut self,
        method: &'static str,
        path: &str,
        problems: impl IntoIterator<Item = Problem>,
    ) -> Self {
        assert!(self.operation(method, path).is_object(), "there is no {method} {path}");
        self.add(method, path, problems);
        self
    }

    /// As it is served and committed.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("{:#}\n", self.0)
    }

    /// Serves the document and its page.
    pub(crate) fn router(&self) -> Router {
        let json = self.to_json();
        let document = move || async move { answer(json) };
        // The page reads the document from the route beside it.
        let page = SwaggerUi::new("/docs").config(Config::from(DOCUMENT_PATH));
        Router::new().route(DOCUMENT_PATH, get(document)).merge(page)
    }

    fn operations(&self) -> Vec<(&'static str, String)> {
        let paths = self.0["paths"].as_object().into_iter().flatten();
        let operations = paths.flat_map(|(path, item)| {
            METHODS.into_iter().filter(|method| item[method].is_object()).map(|method| (method, path.clone()))
        });
        operations.collect()
    }

    fn operation(&mut self, method: &str, path: &str) -> &mut Value {
        &mut self.0["paths"][path][method]
    }

    fn add(&mut self, method: &str, path: &str, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            let response = &mut self.operation(method, path)["responses"][problem.status().as_str()];
            if response.is_null() {
                *response = json!({ "description": problem.status().canonical_reason() });
                add_request_id(response);
            }
            if problem.has_language() {
                response["headers"]["Content-Language"] = json!({
                    "description": "The language of the detail, as Accept-Language asks.",
                    "schema": { "type": "string" }, "example": "ko",
                });
            }
            let content = &mut response["content"][PROBLEM_JSON];
            content["schema"] = json!({ "$ref": "#/components/schemas/Problem" });
            content["examples"][problem.code()] = json!({ "value": problem.to_value(path) });
            if let Some(retry_after) = problem.retry_after() {
                response["headers"]["Retry-After"] = json!({
                    "description": "Seconds after which to try again.",
                    "schema": { "type": "integer", "minimum": 0 }, "example": retry_after,
                });
            }
        }
    }
}

/// The handlers' attributes name the bodies of resources only; here they get what HAL adds. A list is a collection.
fn as_hal(response: &mut Value, path: &str, bodies: &Value) {
    let Some(content) = response.pointer_mut("/content/application~1hal+json") else { return };
    let relation = path.rsplit('/').next().unwrap_or_default();
    let items = content["schema"].get("items").cloned();
    let body = items.clone().unwrap_or_else(|| content["schema"].clone());
    let name = body["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()).unwrap_or_default();
    let mut example = bodies[name]["example"].clone();
    if example.is_object() {
        example["_links"] = json!({ "self": { "href": path } });
    }
    let (schema, example) = match items {
        Some(_) => {
            let page =
                json!({ "_embedded": { relation: [example] }, "_links": { "self": { "href": path } } });
            (schema::collection(relation, &body), page)
        }
        None => (schema::resource(&body), example),
    };
    (content["schema"], content["example"]) = (schema, example);
}

fn add_request_id(response: &mut Value) {
    response["headers"]["X-Request-Id"] = json!({
        "description": "As the request has it, or a new one; it is in the log lines too.",
        "schema": { "type": "string" },
    });
}

/// A request header that may be left out.
pub(crate) fn header(name: &str, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(String::schema()))
        .build()
}

fn answer(json: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}

/// What any operation may answer with.
fn usual_problems(has_input: bool, has_body: bool) -> Vec<Problem> {
    let mut problems = vec![
        Problem::from_status(StatusCode::REQUEST_TIMEOUT),
        Problem::from_status(StatusCode::INTERNAL_SERVER_ERROR),
        Problem::try_again_later("The database cannot be reached.", crate::problem::RETRY_SHORTLY),
    ];
    if has_input {
        problems.push(Problem::malformed_request("The request cannot be parsed."));
        problems.push(Problem::invalid_request(vec![FieldError::new("/field", "must be something else")]));
    }
    if has_body {
        problems.push(Problem::from_status(StatusCode::PAYLOAD_TOO_LARGE));
        problems.push(Problem::from_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    problems
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457. Some problems have members beside these.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": { "type": "string", "description": "`urn:problem-type:mileage:` and the code." },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "For a person to read." },
            "instance": { "type": "string", "description": "The path of the request." },
            "code": { "type": "string", "description": "Stable: what a program looks at." },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": { "type": "string", "description": "JSON Pointer to the field." },
                        "detail": { "type": "string" },
                    },
                },
            },
        },
    })
}
