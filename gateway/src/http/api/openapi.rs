//! The description of the API (OpenAPI 3.1), made from the list of operations.

use serde_json::{Map, Value, json};
use turnpike_wire::limits::HISTORY_MESSAGES_MAX;
use turnpike_wire::{Disconnect, MessageId, RoomId, UserId};

use super::OPERATIONS;
use super::operation::{Access, Operation, Parameter, Place};

pub(super) const ROOM: Parameter = Parameter {
    place: Place::Path,
    name: "room",
    schema: || json!({ "$ref": "#/components/schemas/RoomId" }),
    about: "The room. `user:<id>` is a user's personal room.",
    example: "chat:lobby",
};

pub(super) const USER: Parameter = Parameter {
    place: Place::Path,
    name: "user",
    schema: || json!({ "$ref": "#/components/schemas/UserId" }),
    about: "The user.",
    example: "alice",
};

pub(super) const LIMIT: Parameter = Parameter {
    place: Place::Query,
    name: "limit",
    schema: || json!({ "type": "integer", "minimum": 0, "maximum": HISTORY_MESSAGES_MAX }),
    about: "At most so many; at least one is given.",
    example: "10",
};

/// Where a page of a listing begins.
pub(super) const CURSOR: Parameter = Parameter {
    place: Place::Query,
    name: "cursor",
    schema: || json!({ "type": "string" }),
    about: "The `cursor` of the page before, as it came.",
    example: "",
};

/// What anything may be refused with, and in which words.
const REFUSALS: &[(u16, &str)] = &[
    (400, "The request is not of the form that the operation takes."),
    (401, "No valid token. `WWW-Authenticate` says what kind is needed."),
    (403, "The token's role does not allow it, or nobody's does."),
    (404, "There is none of that name."),
    (408, "The body did not arrive in time."),
    (409, "First sent too long ago to tell whether it arrived."),
    (413, "Too large."),
    (415, "The body is not application/json."),
    (429, "Too many requests; `Retry-After` says when to try again."),
    (503, "Not possible right now; `Retry-After` says when to try again."),
];

pub(super) fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).expect("it has texts for keys");
    text.push('\n');
    text
}

fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.name()] = described(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Turnpike HTTP API",
            "version": "1",
            "description": "What backends of the product ask of the gateway. Errors have the codes of the client protocol.",
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A JWT, or an API key of the configuration, which has the role `service`.",
                },
            },
            "schemas": schemas(),
        },
    })
}

fn described(operation: &Operation) -> Value {
    let role = match operation.access {
        Access::Service => "Needs an API key, or a token of the role `service` or `admin`.",
        Access::Admin => "Needs a token of the role `admin`.",
        Access::Media(right) => &format!(
            "Needs an API key, a token of the role `service` or `admin`, or one whose claim `media` grants `{}` of the \
             stream.",
            right.name()
        ),
    };
    let mut responses = Map::new();
    let success = json!({
        "description": "Done.",
        "content": { "application/json": { "schema": {
            "allOf": [{ "$ref": "#/components/schemas/Done" }, (operation.answer)()],
        } } },
    });
    responses.insert(operation.success.as_str().to_owned(), success);
    for (status, about) in REFUSALS {
        let may_be = match status {
            401 | 403 | 429 | 503 => true,
            408 => operation.body.is_some(),
            status => operation.refusals.contains(status),
        };
        if may_be {
            let schema = json!({ "$ref": "#/components/schemas/Failed" });
            let answer =
                json!({ "description": about, "content": { "application/json": { "schema": schema } } });
            responses.insert(status.to_string(), answer);
        }
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": format!("{} {role}", operation.description),
        "parameters": operation.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": responses,
    });
    if let Some(body) = &operation.body {
        described["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": (body.schema)(), "example": (body.example)() } },
        });
    }
    described
}

fn parameter(parameter: &Parameter) -> Value {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    let mut described = json!({
        "in": place,
        "name": parameter.name,
        "required": parameter.place == Place::Path,
        "description": parameter.about,
        "schema": (parameter.schema)(),
    });
    if !parameter.example.is_empty() {
        let number = parameter.example.parse::<u64>().ok().map(Value::from);
        described["example"] = number.unwrap_or_else(|| parameter.example.into());
    }
    described
}

fn schemas() -> Value {
    let id = |bytes_max: usize| json!({ "type": "string", "pattern": "^[A-Za-z0-9._:@-]+$", "maxLength": bytes_max });
    let number = || json!({ "type": "integer", "minimum": 0 });
    let named = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let many = |name: &str| json!({ "type": "array", "items": named(name) });
    let exact = |required: &[&str], properties: Value| json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties });
    let open = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    let age = json!({ "type": "integer", "minimum": 0, "description": "Milliseconds since it was first sent under this id, if it is sent again." });
    let volatile = json!({ "type": "boolean", "description": "Not kept, not numbered, and dropped for members that read slowly." });
    let status = json!({ "type": "string", "enum": ["online", "busy", "away", "invisible"] });
    let codes: Vec<u16> = Disconnect::ALL.iter().map(|why| why.code()).collect();
    json!({
        "RoomId": id(RoomId::BYTES_MAX),
        "UserId": id(UserId::BYTES_MAX),
        "MessageId": id(MessageId::BYTES_MAX),
        "Empty": { "type": "object" },
        "Done": open(&["ok"], json!({ "ok": { "const": true } })),
        "Error": open(&["code", "reason", "message", "retryable"], json!({
            "code": { "type": "integer" },
            "reason": { "type": "string" },
            "message": { "type": "string", "description": "For whoever reads the log." },
            "retryable": { "type": "boolean", "description": "Whether the same request may succeed later, unchanged." },
            "retry_after_ms": number(),
        })),
        "Failed": open(&["ok", "error"], json!({
            "ok": { "const": false },
            "error": named("Error"),
            "request_id": {
                "type": "string",
                "description": "The `X-Request-Id` of the request, or the one that was given to it; not of a message in a batch.",
            },
        })),
        "NewMessage": exact(&["from", "body"], json!({
            "from": named("UserId"),
            "body": { "description": "Any JSON. It is passed on as it came." },
            "id": named("MessageId"),
            "age_ms": age,
            "volatile": volatile.clone(),
        })),
        "BatchMessage": exact(&["room", "from", "body"], json!({
            "room": named("RoomId"),
            "from": named("UserId"),
            "body": { "description": "Any JSON. It is passed on as it came." },
            "id": named("MessageId"),
            "age_ms": age,
            "volatile": volatile,
        })),
        "Batch": exact(&["messages"], json!({
            "messages": { "type": "array", "maxItems": 100, "items": named("BatchMessage") },
        })),
        "Sent": open(&["id", "epoch", "seq", "ts"], json!({
            "id": named("MessageId"),
            "epoch": number(),
            "seq": { "type": "integer", "minimum": 0, "description": "Its place in the room; of a volatile message, where the room stood." },
            "ts": { "type": "integer", "description": "Milliseconds since 1970." },
            "duplicate": { "const": true, "description": "It was there already." },
        })),
        "Outcomes": open(&["outcomes"], json!({
            "outcomes": { "type": "array", "items": { "oneOf": [
                { "allOf": [named("Done"), named("Sent")] },
                named("Failed"),
            ] } },
        })),
        "Message": open(&["room", "epoch", "seq", "id", "from", "ts", "body"], json!({
            "room": named("RoomId"),
            "epoch": number(),
            "seq": number(),
            "id": { "type": "string" },
            "from": named("UserId"),
            "ts": { "type": "integer", "description": "Milliseconds since 1970." },
            "body": {},
        })),
        "History": open(&["epoch", "messages", "more"], json!({
            "epoch": number(),
            "messages": many("Message"),
            "more": { "type": "boolean", "description": "There are more in the direction of reading." },
        })),
        "Member": open(&["user", "status", "devices"], json!({
            "user": named("UserId"),
            "status": { "type": "string", "enum": ["online", "busy", "away"] },
            "activity": { "type": "object" },
            "devices": { "type": "array", "items": { "type": "string" } },
        })),
        "PresencePage": open(&["count", "members"], json!({
            "count": { "type": "integer", "minimum": 0, "description": "Of all who are there." },
            "members": many("Member"),
            "cursor": named("UserId"),
        })),
        "Room": open(&["room", "epoch", "seq"], json!({ "room": named("RoomId"), "epoch": number(), "seq": number() })),
        "RoomPage": open(&["rooms"], json!({ "rooms": many("Room"), "cursor": { "type": "string" } })),
        "Stream": open(&["stream", "since", "publishers", "viewers"], json!({
            "stream": named("RoomId"),
            "node": { "type": "string", "description": "Where it is published." },
            "since": { "type": "integer", "description": "Milliseconds since 1970." },
            "publishers": number(),
            "viewers": number(),
        })),
        "Recording": open(&["stream", "on", "recording"], json!({
            "stream": named("RoomId"),
            "on": { "type": "boolean", "description": "Whether the stream is recorded from here on." },
            "recording": { "type": "string", "description": "What the names of its files begin with." },
        })),
        "StreamPage": open(&["streams"], json!({ "streams": many("Stream"), "cursor": { "type": "string" } })),
        "Device": open(&["device", "status"], json!({
            "device": { "type": "string" },
            "node": { "type": "string" },
            "status": status,
            "activity": { "type": "object" },
        })),
        "Inbox": open(&["epoch", "seq", "received", "read", "unread"], json!({
            "epoch": number(), "seq": number(), "received": number(), "read": number(), "unread": number(),
        })),
        "User": open(&["user", "status", "devices", "inbox"], json!({
            "user": named("UserId"),
            "status": { "type": "string", "enum": ["online", "busy", "away", "invisible", "offline"] },
            "devices": many("Device"),
            "last_seen": { "type": "integer", "description": "Milliseconds since 1970; of a user who is not connected." },
            "inbox": named("Inbox"),
        })),
        "Dismissal": exact(&[], json!({ "code": { "type": "integer", "enum": codes, "default": Disconnect::Revoked.code() } })),
        "NewRevocation": exact(&[], json!({
            "token": { "type": "string", "description": "The `jti` of a token." },
            "expires_at": { "type": "integer", "minimum": 0, "description": "The token's `exp`, if it is known: for so long it is remembered." },
            "user": named("UserId"),
            "not_before": { "type": "integer", "minimum": 0, "description": "Seconds since 1970. Tokens issued earlier count no more." },
            "connection": { "type": "string", "description": "The id of a connection, as in `session` and in webhooks." },
        })),
        "Revocation": open(&["kind", "id", "until"], json!({
            "kind": { "type": "string", "enum": ["token", "user", "connection"] },
            "id": { "type": "string" },
            "not_before": { "type": "integer", "description": "Of a user: seconds since 1970." },
            "until": { "type": "integer", "description": "Milliseconds since 1970. Until then it is remembered." },
        })),
        "RevocationPage": open(&["revocations"], json!({ "revocations": many("Revocation"), "cursor": { "type": "string" } })),
        "RealtimeHealth": open(&["node", "nodes", "connections"], json!({
            "node": { "type": "string" },
            "nodes": number(),
            "connections": number(),
        })),
        "Monitoring": open(&["node", "nodes", "counters"], json!({
            "node": { "type": "string" },
            "nodes": { "type": "array", "items": { "type": "string" } },
            "counters": { "type": "object", "additionalProperties": number() },
        })),
        "Breaker": open(&["name", "state", "failures"], json!({
            "name": { "type": "string" },
            "state": { "type": "string", "enum": ["closed", "half_open", "open"] },
            "failures": { "type": "integer", "minimum": 0, "description": "In a row." },
            "retry_after_ms": number(),
        })),
        "CircuitBreakers": open(&["node", "faults", "breakers"], json!({
            "node": { "type": "string" },
            "faults": { "type": "array", "items": { "type": "string" } },
            "breakers": many("Breaker"),
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_DOCS=1 cargo test -p turnpike-gateway` writes it anew.
    #[test]
    fn the_document_describes_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, text()).unwrap();
        }
        let document = std::fs::read_to_string(path).unwrap();
        assert!(
            document == text(),
            "docs/openapi.json differs from the code; run UPDATE_DOCS=1 cargo test -p turnpike-gateway"
        );
    }

    #[test]
    fn whatever_is_referred_to_is_there() {
        let text = text();
        let schemas = schemas();
        let referred =
            text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap());
        let referred: std::collections::BTreeSet<&str> = referred.collect();
        for name in &referred {
            assert!(schemas.get(name).is_some(), "{name}");
        }
        assert_eq!(referred.len(), schemas.as_object().unwrap().len(), "and nothing else");
    }
}
