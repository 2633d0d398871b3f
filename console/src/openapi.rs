//! The description of the API, made from the table; `console/openapi.json` is the same, and a test compares them.

use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Paths, Required, ResponseBuilder,
};

use crate::problem::ProblemBody;
use crate::route::{Method, Needs, Route, Schemas, schema_of};
use crate::table::TABLE;

const SECURITY: &str = "token";

/// The whole description.
#[must_use]
pub fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    let problem = schema_of::<ProblemBody>(&mut schemas);
    let mut paths = Paths::new();
    for route in TABLE.iter() {
        let operation = operation(route, &mut schemas)
            .response("default", response("A problem, with what to do", "application/problem+json", problem.clone()));
        paths.add_path_operation(route.path, vec![method(route.method)], operation);
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("muster_ and 64 hexadecimal digits")
        .description(Some("Made by `muster token add`"))
        .build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(SECURITY, SecurityScheme::Http(bearer))
        .build();
    let info = InfoBuilder::new()
        .title("Muster, the operators' API")
        .version("1")
        .description(Some("Connects Tactical RMM servers, maps their clients, and shows their devices and alerts."))
        .build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

/// The description as it is served and committed.
#[must_use]
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).expect("a description is JSON");
    text.push('\n');
    text
}

fn operation(route: &Route, schemas: &mut Schemas) -> OperationBuilder {
    let needs = match route.needs {
        Needs::AnyToken => "Needs any valid token.".to_owned(),
        Needs::Permission(permission) => format!("Needs the permission `{permission}`."),
        Needs::EveryTenant(permission) => {
            format!("Needs the permission `{permission}`, with a token of all tenants.")
        }
    };
    let body = (route.body)(schemas).map(|body| {
        let required = if body.is_required { Required::True } else { Required::False };
        let content = ContentBuilder::new().schema(Some(body.schema)).build();
        RequestBodyBuilder::new().content("application/json", content).required(Some(required)).build()
    });
    let answer = (route.answer)(schemas);
    let said = if route.is_accepted { "It is under way; see `Location`" } else { "Done" };
    OperationBuilder::new()
        .operation_id(Some(route.operation))
        .summary(Some(route.summary))
        .description(Some(needs))
        .tag(route.tag())
        .parameters(Some(route.names().map(in_path).chain(route.parameters.iter().cloned())))
        .request_body(body)
        .security(SecurityRequirement::new(SECURITY, std::iter::empty::<String>()))
        .response(route.status().as_str(), response(said, "application/json", answer))
}

fn response(
    description: &str,
    content_type: &str,
    schema: utoipa::openapi::RefOr<utoipa::openapi::Schema>,
) -> utoipa::openapi::Response {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content(content_type, content).build()
}

/// Every name in a path is an id; that of a parked message is a number.
fn in_path(name: &'static str) -> Parameter {
    let (kind, format) = match name {
        "parked" => (Type::Integer, KnownFormat::Int64),
        _ => (Type::String, KnownFormat::Uuid),
    };
    let id = ObjectBuilder::new().schema_type(kind).format(Some(SchemaFormat::KnownFormat(format)));
    ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True).schema(Some(id)).build()
}

fn method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Put => HttpMethod::Put,
        Method::Post => HttpMethod::Post,
        Method::Patch => HttpMethod::Patch,
    }
}
