package alter_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// difference is one between the SDK and this client that is meant. change makes
// of the SDK's recording of a step that of this client; one that changes nothing
// in a step for which it is listed fails the test.
type difference struct {
	reason string
	steps  []string // nil: all in which it changes something
	change func(step string, r *recorded)
}

// differences are all that there are, but for what is turned off in these steps:
// this client keeps tokens, asks once more with a new one when a provider refused
// a kept one, and waits out short refusals inside the call.
func differences() []difference {
	return slices.Concat(recordDifferences(), providerDifferences(), errorDifferences(), sessionDifferences())
}

// recordDifferences are about what is told to the vault of a call by the client.
func recordDifferences() []difference {
	return []difference{
		{
			reason: "the user agent is our own",
			change: record(func(_ string, body object) {
				if h, ok := body["request_headers"].(object); ok && h["User-Agent"] == "<user agent>" {
					h["User-Agent"] = alter.DefaultUserAgent
				}
			}),
		},
		{
			reason: "the vault decides on a host and a path; what stands in a query is not its business before the call",
			steps:  []string{"path and query parameters", "provider is too slow"},
			change: func(_ string, r *recorded) {
				asked := r.Calls[0]["body"].(object)["request"].(object)
				asked["url"], _, _ = strings.Cut(asked["url"].(string), "?")
			},
		},
		{
			reason: "the record has the URL as it was sent; the SDK leaves out the query that it adds",
			steps: []string{
				"injection, custom header", "injection, basic", "injection, query", "injection, further headers",
				"injection, AWS", "injection, AWS with a session",
			},
			change: record(func(_ string, body object) { body["url"] = body["url"].(string) + "?z=1+2" }),
		},
		{
			reason: "the record has the content type of a JSON body, which the SDK's HTTP library sets after it",
			steps: []string{
				"JSON body", "injection, custom header", "injection, basic", "injection, query", "injection, further headers",
			},
			change: record(func(_ string, body object) { body["request_headers"].(object)["Content-Type"] = "application/json" }),
		},
		{
			reason: "an answer is handed on while it comes, so that of a large one only the beginning was read; net/http takes its framing off",
			steps:  []string{"body above the limit of the audit"},
			change: record(func(_ string, body object) {
				body["response_body"] = "<response too large: more than 10000 bytes>"
				delete(body["response_headers"].(object), "transfer-encoding")
			}),
		},
		{
			reason: "the record says that there was no answer, not why",
			steps:  []string{"provider cuts the connection", "provider is too slow"},
			change: record(func(_ string, body object) { body["response_body"] = "<transport error>" }),
		},
		{
			reason: "a record names who made the call, not the client's caller, whose actor it is not",
			steps:  []string{"caller of the call"},
			change: header("x-alter-caller", "one-shot"),
		},
		{
			reason: "records are sent by one queue, whose key is not narrowed: constraints are about what is recorded",
			steps:  []string{"constraint of scopes"},
			change: header("x-alter-scope-constraints", ""),
		},
		{
			reason: "records are sent by one queue, which the rule of a request is not about",
			steps:  []string{"rule of a request"},
			change: header("x-alter-request-rule", ""),
		},
	}
}

// providerDifferences are about requests to providers and their answers.
func providerDifferences() []difference {
	return []difference{
		{
			reason: "a URL keeps its query; the SDK loses it when it is given parameters",
			steps:  []string{"path and query parameters"},
			change: func(_ string, r *recorded) {
				const added = "q=x+y%26z&n=2&list=a&list=b&flag=true"
				r.Provider[0]["query"] = "lost=1&" + added
				r.Outcome.(object)["body"].(object)["query"] = "lost=1&" + added
				record(func(_ string, body object) {
					body["url"] = body["url"].(string) + "&" + added
					body["response_body"] = strings.Replace(body["response_body"].(string), added, "lost=1&"+added, 1)
					body["response_headers"].(object)["content-length"] = "204"
				})("", r)
			},
		},
		{
			reason: "a request signed for AWS is sent in the form that is signed, with %20 for a blank",
			steps:  []string{"injection, AWS", "injection, AWS with a session"},
			change: func(_ string, r *recorded) {
				r.Provider[0]["query"] = "z=1%202"
				r.Outcome.([]any)[0].(object)["body"].(object)["query"] = "z=1%202"
				record(func(_ string, body object) {
					body["response_body"] = strings.Replace(body["response_body"].(string), "z=1+2", "z=1%202", 1)
					body["response_headers"].(object)["content-length"] = "132"
				})("", r)
			},
		},
		{
			reason: "a signature for AWS covers length and type of the body, too, as those of AWS's own clients do",
			steps:  []string{"injection, AWS", "injection, AWS with a session"},
			change: func(_ string, r *recorded) {
				lines := r.Provider[0]["credential"].([]any)
				lines[0] = strings.Replace(lines[0].(string), "SignedHeaders=", "SignedHeaders=content-length;content-type;", 1)
			},
		},
		{
			reason: "the credential is in exactly one header of its name, whatever the caller sent",
			steps:  []string{"header of the caller in other letters than the injected one"},
			change: func(_ string, r *recorded) {
				lines := r.Provider[0]["credential"].([]any)
				r.Provider[0]["credential"] = slices.DeleteFunc(lines, func(line any) bool { return line == "x-token: mine" })
			},
		},
		{
			reason: "a provider's answer is the caller's to judge, whatever its status, but for those that the person has to mend",
			steps: []string{
				"provider answers 403", "provider answers 404", "provider answers 429", "provider answers 500", "provider answers 503",
			},
			change: func(step string, r *recorded) {
				if told := r.Outcome.(object); told["error"] == "ProviderAPIError" {
					mode := strings.TrimPrefix(step, "provider answers ")
					r.Outcome = object{"status": told["status_code"], "body": object{"error": mode}}
				}
			},
		},
		{
			reason: "how often the vault itself tried a provider is of no use to a caller",
			steps:  []string{"retries told by the vault"},
			change: func(_ string, r *recorded) { r.Outcome = nil },
		},
	}
}

// errorDifferences are about errors of /sdk/token.
func errorDifferences() []difference {
	return []difference{
		{
			reason: "the scopes that the key lacks are told",
			steps:  []string{"error 403 insufficient_scope"},
			change: outcome("missing_scopes", []any{"tokens:retrieve"}),
		},
		{
			reason: "the code is told",
			steps:  []string{"error 403 scope_mismatch"},
			change: outcome("code", "scope_mismatch"),
		},
		{
			reason: "status and code are told, and that something is not set up; the SDK takes the message for the code",
			steps:  []string{"error 404 secret_not_found", "error 409 managed_oauth_scope_approval_required"},
			change: func(step string, r *recorded) {
				words := strings.Fields(step)
				r.Outcome = object{"error": "ConnectConfigError", "code": words[2], "status_code": map[string]float64{"404": 404, "409": 409}[words[1]]}
			},
		},
		{
			reason: "which limit was met changes nothing for the caller",
			steps:  []string{"error 429 rate_limit_exceeded"},
			change: outcome("scope", nil),
		},
		{
			reason: "Retry-After counts with a 503, too (RFC 9110 section 10.2.3)",
			steps:  []string{"error 503 caller_agent_resolution_error"},
			change: outcome("retry_after", 2.0),
		},
		{
			reason: "Retry-After counts with a 503, too (RFC 9110 section 10.2.3)",
			steps:  []string{"error 503 oops"},
			change: outcome("retry_after", 7.0),
		},
		{
			reason: "a 404 without a code is another server's, or a wrong address, and no reason to ask the person for a grant",
			steps:  []string{"error 404 detail Not Found"},
			change: outcome("error", "BackendError"),
		},
		{
			reason: "the status of an answer that breaks the protocol, or breaks off, is told",
			steps: []string{
				"answer 200 without JSON", "token answer with no grant", "token answer with grant in upper case",
				"token answer with header host", "token answer with format without token",
				"token answer with line break in the token", "token answer with empty token",
				"token answer with negative life", "token answer with end without zone",
				"token answer with scopes as text", "token answer with unknown injection",
				"vault cuts the connection, half",
			},
			change: outcome("status_code", 200.0),
		},
	}
}

// sessionDifferences are about how sessions end.
func sessionDifferences() []difference {
	status := difference{
		reason: "the status is that of the poll; the SDK tells none, or invents one",
		steps:  []string{"auth session, expired", "connect poll, expired", "connect poll, all failed", "connect poll, policy not applied"},
		change: outcome("status_code", 200.0),
	}
	code := difference{
		reason: "the code with which a session ended is told",
		change: func(step string, r *recorded) {
			_, told, _ := strings.Cut(step, " ends with ")
			r.Outcome.(object)["code"] = told
		},
	}
	for _, end := range []string{"access_denied", "service_unavailable", "identity_provider_inactive", "identity_group_name_ambiguous"} {
		code.steps = append(code.steps, "auth session ends with "+end)
	}
	for _, end := range []string{
		"connect_denied", "connect_config_error", "invalid_client", "service_unavailable", "identity_provider_inactive", "anything_else",
	} {
		code.steps = append(code.steps, "connect poll ends with "+end)
	}
	status.steps = append(status.steps, code.steps...)
	return []difference{
		status, code,
		{
			reason: "the code with which a session ended is told",
			steps:  []string{"connect poll, all failed"},
			change: outcome("code", "grant_activation_failed"),
		},
		{
			reason: "the code with which a session ended is told",
			steps:  []string{"connect poll, policy not applied"},
			change: outcome("code", "grant_policy_application_failed"),
		},
	}
}

// record changes what is told of a call beside it.
func record(change func(step string, body object)) func(string, *recorded) {
	return func(step string, r *recorded) {
		for _, c := range r.Background {
			if body, ok := c["body"].(object); ok && c["path"] == "/sdk/oauth/audit/api-call" {
				change(step, body)
			}
		}
	}
}

// header sets a header of the records, or, with no value, takes it out.
func header(name, value string) func(string, *recorded) {
	return func(_ string, r *recorded) {
		for _, c := range r.Background {
			if c["header"].(object)[name] = value; value == "" {
				delete(c["header"].(object), name)
			}
		}
	}
}

// outcome sets a field of an error, or, with no value, takes it out.
func outcome(field string, value any) func(string, *recorded) {
	return func(_ string, r *recorded) {
		if r.Outcome.(object)[field] = value; value == nil {
			delete(r.Outcome.(object), field)
		}
	}
}

// applyDifferences makes of the SDK's recording what is wanted of this client.
func applyDifferences(t *testing.T, python recording) {
	t.Helper()
	for _, d := range differences() {
		steps := d.steps
		if steps == nil {
			steps = python.names
		}
		changes := 0
		for _, name := range steps {
			r := python.steps[name]
			if r == nil {
				t.Errorf("step %q is not there; listed: %s", name, d.reason)
				continue
			}
			before := string(jsonOf(t, r))
			d.change(name, r)
			if before != string(jsonOf(t, r)) {
				changes++
			} else if d.steps != nil {
				t.Errorf("step %q has no such difference; listed: %s", name, d.reason)
			}
		}
		if changes == 0 {
			t.Errorf("no step has this difference: %s", d.reason)
		}
	}
}
