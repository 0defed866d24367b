package alter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const (
	someID  = "0198c0de-0000-7000-8000-000000000001"
	otherID = "0198c0de-0000-7000-8000-000000000002"
)

// startVault starts the fake, and a client of it that does not wait between
// tries.
func startVault(t *testing.T, config altertest.Config) (*altertest.Vault, *Client) {
	t.Helper()
	v := altertest.Start(t, config)
	return v, newTestClient(t, Config{BaseURL: v.URL})
}

func newTestClient(t testing.TB, cfg Config) *Client {
	t.Helper()
	cfg.APIKey = vaultclient.NewSecret(altertest.DefaultAPIKey)
	if cfg.Sleep == nil {
		cfg.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return c
}

func userToken(v *altertest.Vault, person string) vaultclient.Secret {
	return vaultclient.NewSecret(v.UserToken(person, time.Hour))
}

// lastBody is the body of the last call of a path.
func lastBody(t *testing.T, v *altertest.Vault, path string) string {
	t.Helper()
	for _, call := range slices.Backward(v.Calls()) {
		if call.Path == path {
			return string(call.Body)
		}
	}
	t.Fatalf("no call of %s", path)
	return ""
}

// eventually waits until the fake has seen so many calls of a path.
func eventually(t *testing.T, v *altertest.Vault, path string, calls int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for v.Count(path) < calls {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d calls, want %d", path, v.Count(path), calls)
		}
		time.Sleep(time.Millisecond)
	}
}

func wantKind(t *testing.T, err error, kind Kind) *Error {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want %q", err, kind)
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %T, want *Error", err)
	}
	return e
}

// canned answers each request alike.
type canned struct {
	status int
	body   []byte
}

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	return &http.Response{
		StatusCode: c.status, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(c.body)), Request: r,
	}, nil
}

// answerCase is a call and a good answer to it.
type answerCase struct {
	status int
	answer string
	// optional members may be absent or null; their paths, with [] for lists.
	optional []string
	// free members may have any type.
	free []string
	call func(context.Context, *Client) error
}

// check replaces each member of the good answer by each other JSON type, and
// drops it.
func (c answerCase) check(t *testing.T) {
	t.Helper()
	try := func(body []byte) error {
		return c.call(t.Context(), newTestClient(t, Config{Vault: canned{c.status, body}}))
	}
	if err := try([]byte(c.answer)); err != nil {
		t.Fatalf("good answer: %v", err)
	}
	if err := try(withMember([]byte(c.answer), "unknown_member", json.RawMessage(`{"a":[1]}`))); err != nil {
		t.Errorf("unknown member: %v", err)
	}
	for _, garbage := range []string{"", "null", "[]", `"x"`, "{", "<html>", c.answer + "x"} {
		wantKind(t, try([]byte(garbage)), ErrMalformed)
	}
	var root any
	if err := json.Unmarshal([]byte(c.answer), &root); err != nil {
		t.Fatal(err)
	}
	seen := 0
	walk(root, "", func(path string, value any, set func(any)) {
		seen++
		optional := slices.Contains(c.optional, path)
		for _, other := range []any{nil, true, 7.0, "?", []any{}, []any{nil}, map[string]any{}} {
			list, _ := value.([]any)
			nullInside := len(list) > 0 && kindOfJSON(other) == "list" && len(other.([]any)) == 1
			if other != nil && kindOfJSON(other) == kindOfJSON(value) && !nullInside || slices.Contains(c.free, path) {
				continue
			}
			set(other)
			body, err := json.Marshal(root)
			set(value)
			if err != nil {
				t.Fatal(err)
			}
			err = try(body)
			if other == nil && optional {
				if err != nil {
					t.Errorf("%s absent: %v, want no error", path, err)
				}
				continue
			}
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%s is %v: %v, want %q", path, other, err, ErrMalformed)
			}
		}
	})
	if seen == 0 {
		t.Error("the answer has no members")
	}
}

func kindOfJSON(v any) string {
	switch v.(type) {
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "list"
	case map[string]any:
		return "object"
	}
	return "null"
}

// walk calls visit for each member, however deep, with a function that replaces
// it.
func walk(v any, path string, visit func(path string, value any, set func(any))) {
	switch x := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(x)) {
			at := strings.TrimPrefix(path+"."+name, ".")
			visit(at, x[name], func(to any) { x[name] = to })
			walk(x[name], at, visit)
		}
	case []any:
		for i := range x {
			if i > 0 {
				break
			}
			visit(path+"[]", x[i], func(to any) { x[i] = to })
			walk(x[i], path+"[]", visit)
		}
	}
}

func withMember(body []byte, name string, value json.RawMessage) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil {
		return body
	}
	m[name] = value
	out, _ := json.Marshal(m)
	return out
}

func discardResult[T any](_ T, err error) error { return err }

const (
	inAnHour = `"2026-11-23T09:00:00.000000Z"`
	gateJSON = `{"approval_id":"` + someID + `","expires_at":` + inAnHour + `,"expires_in":600,"approval_url":"https://vault.example/a"}`
)

// answerCases are all answers that are read, by name.
func answerCases() map[string]answerCase {
	token := vaultclient.NewSecret("t")
	return map[string]answerCase{
		"proxy result": {
			status: 200,
			answer: `{"status_code":200,"headers":{"content-type":"text/plain"},"body_b64":"aGk=","body_truncated":false,
				"duration_ms":12,"credential_hint":"…abc","approval_id":"` + someID + `"}`,
			optional: []string{"headers", "body_truncated", "duration_ms", "credential_hint", "approval_id"},
			call:     func(ctx context.Context, c *Client) error { return discardResult(c.Proxy(ctx, proxyOf("GET"))) },
		},
		"pending approval": {
			status: 202,
			answer: `{"approval_id":"` + someID + `","approval_group_id":"` + otherID + `","status":"pending","expires_at":` + inAnHour +
				`,"expires_in":600,"approval_url":"https://vault.example/a","gates":[` + gateJSON + `]}`,
			call: func(ctx context.Context, c *Client) error { return discardResult(c.Proxy(ctx, proxyOf("GET"))) },
		},
		"approval status": {
			status: 200,
			answer: `{"approval_id":"` + someID + `","approval_group_id":"` + otherID + `","status":"executed","gates":[{"approval_id":"` + someID +
				`","status":"approved","expires_at":` + inAnHour + `,"decided_at":` + inAnHour + `}],"expires_at":` + inAnHour + `,"decided_at":` + inAnHour +
				`,"decision_reason":"yes","executed_at":` + inAnHour + `,"execution_error":"none","has_result":true}`,
			optional: []string{"gates[].decided_at", "decided_at", "decision_reason", "executed_at", "execution_error"},
			call:     func(ctx context.Context, c *Client) error { return discardResult(c.ApprovalStatus(ctx, someID, 0)) },
		},
		"approval result": {
			status: 200, answer: `{"status_code":404,"headers":{},"body_b64":""}`, optional: []string{"headers"},
			call: func(ctx context.Context, c *Client) error { return discardResult(c.ApprovalResult(ctx, someID)) },
		},
		"auth session": {
			status: 201, answer: `{"session_token":"s","auth_url":"https://idp.example","expires_in":600,"expires_at":` + inAnHour + `}`,
			call: func(ctx context.Context, c *Client) error { return discardResult(c.CreateAuthSession(ctx)) },
		},
		"signed in": {
			status: 200, answer: `{"status":"completed","user_token":"jwt","user_info":{"sub":"alice"}}`,
			optional: []string{"user_info"}, free: []string{"user_info.sub"},
			call: func(ctx context.Context, c *Client) error { return discardResult(c.PollAuthSession(ctx, token, 0)) },
		},
		"connect session": {
			status: 201,
			answer: `{"session_token":"s","connect_url":"https://vault.example","expires_in":600,"expires_at":` + inAnHour +
				`,"single_provider":true,"direct":false,"scope_constraint_warnings":["w"]}`,
			optional: []string{"single_provider", "direct", "scope_constraint_warnings"},
			call: func(ctx context.Context, c *Client) error {
				return discardResult(c.CreateConnectSession(ctx, ConnectOptions{}))
			},
		},
		"connect pending": {
			status:   200,
			answer:   `{"status":"pending","declined_providers":[{"provider_id":"google","error_code":"access_denied","declined_at":` + inAnHour + `}]}`,
			optional: []string{"declined_providers", "declined_providers[].declined_at"},
			call:     func(ctx context.Context, c *Client) error { return discardResult(c.PollConnectSession(ctx, token)) },
		},
		"connected": {
			status: 200,
			answer: `{"status":"completed","grants":[{"grant_id":"` + someID + `","provider_id":"google","account_identifier":"a","scopes":["read"],
				"api_base_url":"https://api.example","operation":"reauth","grant_policy":{"expires_at":` + inAnHour + `,"created_by":"end_user","created_at":` + inAnHour + `},
				"delegation":{"agent_id":"a","delegable":true,"policy_refused":false}}],"failed_grants":[{"provider_id":"slack","reason":"r","message":"m"}]}`,
			optional: []string{
				"grants[].account_identifier", "grants[].scopes", "grants[].api_base_url", "grants[].operation", "grants[].grant_policy",
				"grants[].grant_policy.expires_at", "grants[].grant_policy.created_by", "grants[].grant_policy.created_at",
				"grants[].delegation", "grants[].delegation.policy_refused", "failed_grants",
			},
			// A completed session without grants is an end of its own.
			free: []string{"grants"},
			call: func(ctx context.Context, c *Client) error { return discardResult(c.PollConnectSession(ctx, token)) },
		},
		"grants": {
			status: 200,
			answer: `{"grants":[{"grant_kind":"oauth","grant_id":"` + someID + `","provider_id":"google","scopes":["read"],"account_identifier":"a",
				"account_display_name":"A","api_base_url":"https://api.example","status":"active","scope_mismatch":false,"needs_reconnect":false,
				"expires_at":` + inAnHour + `,"grant_expires_at":` + inAnHour + `,"created_at":` + inAnHour + `,"last_used_at":` + inAnHour + `,"principal_type":"user",
				"access_via":"ownership","delegated_at":` + inAnHour + `,"delegated_agent_ids":["x"],"label":"l","credential_id":"c","grant_policy":{},
				"parent_grant_id":"p","depth":1,"delegable":true,"scope_constraint":["read"]}],"total":1,"limit":100,"offset":0,"has_more":false}`,
			optional: []string{
				"grants[].grant_kind", "grants[].scopes", "grants[].account_identifier", "grants[].account_display_name", "grants[].api_base_url",
				"grants[].scope_mismatch", "grants[].needs_reconnect", "grants[].expires_at", "grants[].grant_expires_at", "grants[].last_used_at",
				"grants[].access_via", "grants[].delegated_at", "grants[].delegated_agent_ids", "grants[].label", "grants[].credential_id",
				"grants[].grant_policy", "grants[].parent_grant_id", "grants[].depth", "grants[].delegable", "grants[].scope_constraint",
			},
			call: func(ctx context.Context, c *Client) error { return discardResult(c.ListGrants(ctx, GrantFilter{})) },
		},
		"secret grants": {
			status: 200,
			answer: `{"grants":[{"grant_kind":"managed_secret","grant_id":"` + someID + `","managed_secret_id":"i","managed_secret_slug":"s","managed_secret_name":"n",
				"agent_id":"a","status":"active","created_at":` + inAnHour + `,"principal_type":"group","access_via":"ms_delegation","credential_kind":"developer",
				"credential_label":"l"}],"total":1,"limit":100,"offset":0,"has_more":false}`,
			optional: []string{"grants[].agent_id", "grants[].access_via", "grants[].credential_kind", "grants[].credential_label"},
			// Without its kind it would be an OAuth grant, which lacks a provider.
			call: func(ctx context.Context, c *Client) error { return discardResult(c.ListGrants(ctx, GrantFilter{})) },
		},
		"revoked": {
			status: 200, answer: `{"success":true,"message":"m","grant_id":"` + someID + `","revoked_at":` + inAnHour + `}`,
			call: func(ctx context.Context, c *Client) error {
				return discardResult(c.RevokeGrant(ctx, someID, RevokeOptions{}))
			},
		},
		"delegated": {
			status:   201,
			answer:   `{"grant_id":"g","grant_kind":"oauth","parent_grant_id":"p","depth":1,"delegable":false,"status":"active","expires_at":` + inAnHour + `}`,
			optional: []string{"expires_at"},
			call: func(ctx context.Context, c *Client) error {
				return discardResult(c.DelegateGrant(ctx, someID, DelegateOptions{ToAgentID: otherID}))
			},
		},
		"secret granted": {
			status:   201,
			answer:   `{"grant_id":"` + someID + `","principal_type":"system","label":"l","created_at":` + inAnHour + `,"credential_id":"c"}`,
			optional: []string{"label", "credential_id"},
			call: func(ctx context.Context, c *Client) error {
				return discardResult(c.CreateSecretGrant(ctx, someID, SecretGrantOptions{}))
			},
		},
		"secret session": {
			status: 201,
			answer: `{"session_token":"s","connect_url":"https://vault.example","expires_in":600,"expires_at":` + inAnHour + `,"delegable_requested":false,
				"path":"fast_path","existing_grant_id":"g","direct":false,"secret_slug":"stripe","template_slug":"stripe","agent_id":"a"}`,
			optional: []string{"delegable_requested", "path", "existing_grant_id", "direct", "template_slug", "agent_id"},
			call: func(ctx context.Context, c *Client) error {
				return discardResult(c.CreateSecretConnectSession(ctx, SecretConnectOptions{Provider: "stripe", UserToken: token}))
			},
		},
		"verified": {
			status: 200, answer: `{"sub":"alice"}`,
			call: func(ctx context.Context, c *Client) error { return discardResult(c.VerifyUserToken(ctx, token)) },
		},
		"identity": {
			status: 200,
			answer: `{"app_id":"a","app_user_id":"u","external_subject_id":"alice","idp_id":"i","user_status":"active","group_ids":["g"],"agent_id":"x",
				"actor_id":"y","trace":{"run_id":"r","thread_id":"t"},"email":"e","display_name":"n"}`,
			optional: []string{
				"app_user_id", "external_subject_id", "idp_id", "user_status", "group_ids", "agent_id", "actor_id", "trace", "trace.run_id",
				"trace.thread_id", "email", "display_name",
			},
			call: func(ctx context.Context, c *Client) error {
				return discardResult(c.ResolveIdentity(ctx, IdentityQuery{}))
			},
		},
		"assertion": {
			status: 200, answer: `{"token":"a.b.c","expires_at":` + inAnHour + `,"identity":{"app_id":"a"}}`,
			call: func(ctx context.Context, c *Client) error {
				return discardResult(c.AssertIdentity(ctx, IdentityQuery{}, AssertionOptions{Audience: "https://aud.example"}))
			},
		},
	}
}

func proxyOf(method string) ProxyRequest {
	return ProxyRequest{Grant: Grant{ID: someID}, Method: method, URL: "https://api.example/x"}
}

func TestAnswers(t *testing.T) {
	for name, c := range answerCases() {
		t.Run(name, func(t *testing.T) { c.check(t) })
	}
}

// FuzzAnswers feeds each call any answer: it gives a result or a typed error.
func FuzzAnswers(f *testing.F) {
	cases := answerCases()
	names := slices.Sorted(maps.Keys(cases))
	for i, name := range names {
		f.Add(i, cases[name].status, []byte(cases[name].answer))
	}
	f.Fuzz(func(t *testing.T, which, status int, body []byte) {
		c := cases[names[((which%len(names))+len(names))%len(names)]]
		if status < 200 || status > 599 {
			status = c.status
		}
		err := c.call(t.Context(), newTestClient(t, Config{Vault: canned{status, body}}))
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("status %s: error %T, want *Error", strconv.Itoa(status), err)
		}
		if err != nil && e.Kind == "" {
			t.Errorf("an error without a kind: %v", err)
		}
	})
}
